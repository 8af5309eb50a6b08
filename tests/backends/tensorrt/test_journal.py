"""What is read from the vendor's messages."""

from __future__ import annotations

from benchbox.backends.tensorrt.journal import errors_in, journal, memory_in, text_of, warnings_in
from benchbox.backends.tensorrt.vendor import Bindings
from benchbox.schema.engine import EngineMemory

NO_DRIVER = (
    "[checkMacros.cpp::catchCudaError::250] Error Code 1: Cuda Runtime (In catchCudaError at "
    "/_src/common/dispatch/checkMacros.cpp:250 (cudaError 35: CUDA driver version is insufficient))"
)


def test_memory_is_what_the_builder_announced() -> None:
    lines = [
        ("INFO", "Total Host Persistent Memory: 80 bytes"),
        ("INFO", "Total Device Persistent Memory: 0 bytes"),
        ("INFO", "Max Scratch Memory: 100 bytes"),
        ("INFO", "Total Activation Memory: 1200 bytes"),
        ("VERBOSE", "nothing about Total Weights Memory: 7 bytes"),
    ]
    assert memory_in(lines) == EngineMemory(
        activation_bytes=1200, scratch_bytes=100, device_persistent_bytes=0, host_persistent_bytes=80
    )
    assert memory_in([]) == EngineMemory()


def test_errors_name_the_operator_once_and_leave_out_the_missing_driver() -> None:
    refusal = "Cannot compile operation 'fc1' for Turing: unsupported. In compileGraph at /_src/myelin/code.cpp:20)"
    lines = [
        ("VERBOSE", "Parsing node: fc1 [Gemm]"),
        ("ERROR", refusal),
        ("ERROR", NO_DRIVER),
        ("ERROR", refusal),
    ]
    assert errors_in(lines) == ("Cannot compile operation 'fc1' (Gemm) for Turing: unsupported.",)


def test_a_missing_driver_is_the_reason_where_there_is_no_other() -> None:
    assert len(errors_in([("INFO", "fine"), ("ERROR", NO_DRIVER)])) == 1


def test_warnings_are_told_once() -> None:
    assert warnings_in([("WARNING", "slow "), ("INFO", "x"), ("WARNING", "slow")]) == ("slow",)


def test_what_nobody_reads_is_not_kept(rtx: Bindings) -> None:
    """A builder says a line for each tactic that it tries; which operator a node is, only the parser's lines say."""
    severity = rtx.api.ILogger.Severity
    said = [
        (severity.VERBOSE, "Tactic Name: sm80_xmma_fprop Time: 0.004"),
        (severity.VERBOSE, "Parsing node: fc1 [Gemm]"),
        (severity.INFO, "Total Activation Memory: 1200 bytes"),
        (severity.WARNING, "slow"),
        (severity.ERROR, "Cannot compile operation 'fc1': unsupported"),
    ]
    builder, lines = journal(rtx.api)
    runtime, short = journal(rtx.api, info=False)
    for log in (builder, runtime):
        for kind, message in said:
            log.log(kind, message)
    assert [message for _, message in lines] == [message for _, message in said[1:]]
    assert errors_in(lines) == ("Cannot compile operation 'fc1' (Gemm): unsupported",)
    assert [message for _, message in short] == ["slow", "Cannot compile operation 'fc1': unsupported"]


def test_a_real_logger_collects(rtx: Bindings) -> None:
    log, lines = journal(rtx.api)
    log.log(rtx.api.ILogger.WARNING, "mind the step")
    assert lines == [("WARNING", "mind the step")]
    assert text_of(lines) == "WARNING  mind the step\n"
