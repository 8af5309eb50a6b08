"""OpenVINO runs what was asked for, and says so from what it executes; real OpenVINO on this machine's CPU."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from operators import model_of_operator

from benchbox.backends.base import BACKENDS, ConvertingBackend, LayeredSession, OpenRequest
from benchbox.backends.openvino import cpu as home
from benchbox.backends.openvino.cpu import OpenVinoBackend, OpenVinoSession, cpu_capabilities, quiet_runtime, reason_of
from benchbox.backends.openvino.runtime_model import (
    executed_precisions,
    layers_from_runtime,
    matrix_operations,
    nodes_from_runtime_model,
)
from benchbox.cost.counting import cost_from_graph
from benchbox.cost.executed.attribution import attribution
from benchbox.errors import ArtifactError, EnvironmentLackError, UsageError
from benchbox.export.exporting import artifact_from_source
from benchbox.export.precision.casting import cast_from_float
from benchbox.graph.graph import graph_from_file
from benchbox.jobs.prepare import graph_precision
from benchbox.models.sources import resolve
from benchbox.schema.artifact import OnnxArtifact, TensorSpec
from benchbox.schema.derivation import Derivation
from benchbox.schema.model import Precision
from benchbox.schema.proof import UNREPORTED
from benchbox.stats.inputs import seeded_arrays

BACKEND = OpenVinoBackend()
needs_bf16 = pytest.mark.skipif("BF16" not in cpu_capabilities(), reason="runs on a CPU that computes in bf16")
needs_int8 = pytest.mark.skipif("INT8" not in cpu_capabilities(), reason="runs on a CPU on which OpenVINO has int8")
needs_no_fp16 = pytest.mark.skipif("FP16" in cpu_capabilities(), reason="runs on a CPU that does not compute in fp16")


@pytest.fixture(scope="module")
def lenet_int8(lenet_fp32: OnnxArtifact, backend_root: Path, exports: Any) -> OnnxArtifact:
    return exports.copy_to(backend_root, "lenet5", "int8")  # type: ignore[no-any-return]


def request_for(
    artifact: OnnxArtifact,
    root: Path,
    *,
    precision: Precision | None = None,
    batch: int = 2,
    threads: int = 1,
    inspect: bool = False,
) -> OpenRequest:
    return OpenRequest(
        precision=precision or artifact.precision,
        threads=threads,
        inputs=tuple(dataclasses.replace(spec, shape=(batch, *spec.shape[1:])) for spec in artifact.inputs),
        outputs=tuple(dataclasses.replace(spec, shape=(batch, *spec.shape[1:])) for spec in artifact.outputs),
        onnx_path=root / artifact.path,
        inspect=inspect,
    )


def outputs(request: OpenRequest, *, backend: str = "openvino", seed: int = 3) -> dict[str, np.ndarray]:
    session = BACKENDS.get(backend).open(request)
    session.upload(0, seeded_arrays(request.inputs, seed=seed, samples=request.inputs[0].shape[0] or 1))
    session.enqueue(0)
    session.synchronize()
    made = session.download(0)
    session.close()
    return made


def executed(request: OpenRequest) -> dict[str, int]:
    session = BACKEND.open(dataclasses.replace(request, inspect=True))
    seen = session.evidence().executed
    session.close()
    assert seen is not None
    return dict(seen)


def has_vnni() -> bool:
    path = Path("/proc/cpuinfo")
    return path.exists() and "vnni" in path.read_text()


def relative_error(made: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.linalg.norm(made - wanted) / np.linalg.norm(wanted))


def graph_request(
    tmp_path: Path, nodes: list[onnx.NodeProto], shapes: dict[str, list[int]], **made: object
) -> OpenRequest:
    """A file of these nodes with inputs of these shapes and the output "out" of the first one's shape."""
    first = next(iter(shapes.values()))
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, first)],
    )
    imports = [helper.make_opsetid("", 20), helper.make_opsetid("acme", 1)]
    path = tmp_path / "graph.onnx"
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=10), path)
    return OpenRequest(
        precision=Precision.FP32,
        threads=1,
        inputs=tuple(TensorSpec(name=name, dtype="float32", shape=tuple(shape)) for name, shape in shapes.items()),
        outputs=(TensorSpec(name="out", dtype="float32", shape=tuple(first)),),
        onnx_path=path,
        inspect=True,
    )


@pytest.mark.parametrize("batch", [1, 3])
def test_fp32_is_onnx_runtimes_at_any_batch_size(batch: int, lenet_fp32: OnnxArtifact, backend_root: Path) -> None:
    request = request_for(lenet_fp32, backend_root, batch=batch)
    made, wanted = outputs(request)["output"], outputs(request, backend="onnxruntime")["output"]
    assert made.shape == (batch, 10)
    assert relative_error(made, wanted) < 1e-5


@needs_bf16
def test_left_alone_openvino_leaves_fp32_and_here_it_does_not(lenet_fp32: OnnxArtifact, backend_root: Path) -> None:
    """The trap that the pin is for: the same file, no precision asked for, and other types are executed."""
    runtime = quiet_runtime()
    model = runtime.Core().read_model(str(backend_root / lenet_fp32.path))
    model.reshape({"input": [2, *lenet_fp32.inputs[0].shape[1:]]})
    alone = runtime.Core().compile_model(model, "CPU", {}).get_runtime_model()
    matrices = matrix_operations(model)
    layers = layers_from_runtime(nodes_from_runtime_model(alone), matrices=matrices, hint="bf16")
    chosen = executed_precisions(layers, matrices)
    assert chosen.get("bf16", 0) > 0
    assert executed(request_for(lenet_fp32, backend_root)) == {"fp32": sum(chosen.values())}


@needs_bf16
def test_bf16_is_executed_from_the_fp32_file(lenet_fp32: OnnxArtifact, backend_root: Path) -> None:
    half = request_for(lenet_fp32, backend_root, precision=Precision.BF16)
    assert executed(half) == {"bf16": 4}
    error = relative_error(outputs(half)["output"], outputs(request_for(lenet_fp32, backend_root))["output"])
    assert 1e-4 < error < 2e-2, "bf16 rounds to 8 bits: more than fp32 differs by, and not much more"


@needs_int8
def test_the_quantised_graph_is_executed_in_8_bits(lenet_int8: OnnxArtifact, backend_root: Path) -> None:
    session = BACKEND.open(request_for(lenet_int8, backend_root, inspect=True))
    assert isinstance(session, OpenVinoSession)
    assert session.evidence().executed == {"int8": 4}
    assert session.evidence().options["INFERENCE_PRECISION_HINT"] == "f32", "what is not quantised stays fp32"
    nodes = nodes_from_runtime_model(session._compiled.get_runtime_model())
    convolutions = [node for node in nodes if node.kind == "Convolution"]
    assert convolutions
    assert {kind for node in convolutions for kind in node.inputs[:2]} <= {"i8", "u8"}
    session.close()
    request = request_for(lenet_int8, backend_root)
    exact = outputs(dataclasses.replace(request, exact=True), backend="onnxruntime")["output"]
    # 8-bit kernels keep sums of two products in 16 bits on x86 without VNNI, where they saturate.
    assert relative_error(outputs(request)["output"], exact) < (2e-2 if has_vnni() else 0.1)


def test_what_is_left_out_of_int8_is_told(backend_root: Path) -> None:
    source = resolve("lenet5", input_shape=None, weights=None)
    artifact = artifact_from_source(
        source, precision=Precision.INT8, root=backend_root, derivation=Derivation(exclude=("conv1",))
    )
    seen = executed(request_for(artifact, backend_root))
    assert seen == {"fp32": 1, "int8": 3}


def test_pins_are_read_back_from_the_compiled_model(lenet_fp32: OnnxArtifact, backend_root: Path) -> None:
    session = BACKEND.open(request_for(lenet_fp32, backend_root))
    evidence = session.evidence()
    assert evidence.executed is None, "evidence of types is only for sessions opened for it"
    assert evidence.providers == ("CPU",)
    assert evidence.versions == {"openvino": quiet_runtime().__version__}
    wanted = {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": "1",
        "NUM_STREAMS": "1",
        "PERFORMANCE_HINT": "LATENCY",
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0",
    }
    assert wanted.items() <= evidence.options.items()
    session.close()


def test_threads_that_are_not_given_are_not_claimed(lenet_fp32: OnnxArtifact, backend_root: Path) -> None:
    """OpenVINO never takes more threads than there are CPUs: the record must say how many there were."""
    far_too_many = 4096
    session = BACKEND.open(request_for(lenet_fp32, backend_root, threads=far_too_many))
    assert 1 <= session.evidence().threads < far_too_many
    session.close()


@needs_bf16
def test_generated_layers_with_matrix_products_count(tmp_path: Path) -> None:
    """Attention becomes one generated layer. At bf16 it says f32 and gives what bf16 gives: so nothing is claimed."""
    nodes = [
        helper.make_node("Transpose", ["k"], ["kt"], perm=[0, 1, 3, 2], name="turn"),
        helper.make_node("MatMul", ["q", "kt"], ["scores"], name="scores"),
        helper.make_node("Softmax", ["scores"], ["weights"], axis=-1, name="weights"),
        helper.make_node("MatMul", ["weights", "v"], ["out"], name="mixed"),
    ]
    request = graph_request(tmp_path, nodes, {name: [1, 4, 64, 32] for name in "qkv"})
    assert set(executed(request)) == {"fp32"}
    assert set(executed(dataclasses.replace(request, precision=Precision.BF16))) <= {"bf16", UNREPORTED}
    made = outputs(dataclasses.replace(request, precision=Precision.BF16))["out"]
    assert relative_error(made, outputs(request)["out"]) > 1e-4


def test_executed_layers_cover_the_network(lenet_fp32: OnnxArtifact, backend_root: Path) -> None:
    session = BACKEND.open(request_for(lenet_fp32, backend_root, batch=1, inspect=True))
    assert isinstance(session, LayeredSession)
    session.upload(0, seeded_arrays(lenet_fp32.inputs, seed=0, samples=1))
    layers = session.executed_layers(warmup=2, iterations=5)
    session.close()
    assert all(0 < len(layer.times_s) <= 5 for layer in layers)
    assert {layer.executed for layer in layers if layer.kind in ("Convolution", "FullyConnected")} == {"fp32"}
    graph = graph_from_file(backend_root / lenet_fp32.path, batch=1, input_shape=lenet_fp32.inputs[0].shape[1:])  # type: ignore[arg-type]
    joined = attribution(graph, cost_from_graph(graph, model="lenet5", sha256=""), layers)
    assert joined.uncovered_macs == 0


def test_precisions_that_the_cpu_lacks_are_refused(
    monkeypatch: pytest.MonkeyPatch, lenet_fp32: OnnxArtifact, backend_root: Path
) -> None:
    assert BACKEND.refusal(Precision.FP32) is None
    for precision in (Precision.TF32, Precision.FP8):
        assert BACKEND.refusal(precision)
    monkeypatch.setattr(home, "cpu_capabilities", lambda: frozenset({"FP32"}))
    for precision in (Precision.FP16, Precision.BF16, Precision.INT8):
        assert "on this CPU" in (BACKEND.refusal(precision) or "")
        with pytest.raises(UsageError, match=f"cannot run {precision}"):
            BACKEND.open(request_for(lenet_fp32, backend_root, precision=precision))


@needs_no_fp16
def test_a_precision_that_openvino_exchanges_in_silence_is_seen(
    monkeypatch: pytest.MonkeyPatch, lenet_fp32: OnnxArtifact, backend_root: Path
) -> None:
    """Were the list of capabilities wrong, the hint that is read back would still tell."""
    monkeypatch.setattr(home, "cpu_capabilities", lambda: frozenset({"FP16"}))
    with pytest.raises(UsageError, match="f16 was asked for, OpenVINO took"):
        BACKEND.open(request_for(lenet_fp32, backend_root, precision=Precision.FP16))


def test_a_damaged_file_is_an_artifact_error(tmp_path: Path, lenet_fp32: OnnxArtifact, backend_root: Path) -> None:
    bad = tmp_path / "bad.onnx"
    whole = (backend_root / lenet_fp32.path).read_bytes()
    for data in (b"no network", whole[: len(whole) // 2], b""):
        bad.write_bytes(data)
        with pytest.raises(ArtifactError, match=r"bad\.onnx") as caught:
            BACKEND.open(dataclasses.replace(request_for(lenet_fp32, backend_root), onnx_path=bad))
        assert "Exception from" not in str(caught.value), "OpenVINO's own source files say nothing to a user"


def test_an_unknown_operator_is_named(tmp_path: Path) -> None:
    node = helper.make_node("Blob", ["x"], ["out"], domain="acme", name="odd")
    with pytest.raises(ArtifactError, match=r"acme\.Blob"):
        BACKEND.open(graph_request(tmp_path, [node], {"x": [1, 3]}))


def test_inputs_that_the_file_does_not_have(lenet_fp32: OnnxArtifact, backend_root: Path) -> None:
    request = request_for(lenet_fp32, backend_root)
    for spec in (
        dataclasses.replace(request.inputs[0], name="picture"),
        dataclasses.replace(request.inputs[0], dtype="int64"),
        dataclasses.replace(request.inputs[0], shape=(2, 7, 5, 5)),
    ):
        with pytest.raises(ArtifactError, match="cannot compile"):
            BACKEND.open(dataclasses.replace(request, inputs=(spec,)))


def test_without_openvino_its_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, lenet_fp32: OnnxArtifact, backend_root: Path
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(EnvironmentLackError, match=r"benchbox\[openvino\]"):
        BACKEND.open(request_for(lenet_fp32, backend_root))
    assert not BACKEND.probe().usable
    monkeypatch.setattr(home, "_DISTRIBUTION", "a-package-that-is-not-there")
    assert "benchbox[openvino]" in BACKEND.probe().remedy


def test_openvino_without_its_cpu_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    assert BACKEND.probe().usable
    core = SimpleNamespace(available_devices=["GPU"])
    monkeypatch.setattr(home, "quiet_runtime", lambda: SimpleNamespace(Core=lambda: core))
    state = BACKEND.probe()
    assert not state.usable
    assert "no CPU plugin here; devices: GPU" in state.reason


def test_reasons_are_one_line() -> None:
    raw = "Exception from src/core.cpp:84:\nCheck 'false' failed at src/a.cpp:1:\nModel wasn't\n  fully converted.\n\n"
    assert reason_of(RuntimeError(raw)) == "Model wasn't fully converted."
    assert reason_of(RuntimeError("")) == "RuntimeError"


def test_fp32_files_are_given_where_openvino_converts(tmp_path: Path) -> None:
    assert isinstance(BACKEND, ConvertingBackend)
    assert not isinstance(BACKENDS.get("onnxruntime"), ConvertingBackend)
    assert graph_precision("openvino", Precision.BF16) is Precision.FP32
    assert graph_precision("openvino", Precision.INT8) is Precision.INT8
    assert graph_precision("onnxruntime", Precision.FP16) is Precision.FP16
    own = tmp_path / "own.onnx"
    for precision in (Precision.BF16, Precision.FP16):
        onnx.save(cast_from_float(model_of_operator("Conv"), precision)[0], str(own))
        source = resolve(str(own), input_shape=None, weights=None)
        assert graph_precision("openvino", precision, source=source) is precision, "it is in it already"
        assert graph_precision("openvino", Precision.FP32, source=source) is Precision.FP32
    with pytest.raises(UsageError, match="excludes no nodes"):
        graph_precision("openvino", Precision.BF16, Derivation(exclude=("fc",)))


TELLTALE = """
import pathlib
class Telemetry:
    def __init__(self, *args, **kwargs): pass
    def send_event(self, *args): pathlib.Path({sent!r}).touch()
"""


@pytest.mark.parametrize("quiet", [False, True], ids=["plain import", "ours"])
def test_nothing_is_sent_home(quiet: bool, tmp_path: Path) -> None:
    """A package that pretends to be OpenVINO's telemetry sees its plain import, and not ours."""
    fake = tmp_path / "site" / "openvino_telemetry"
    (fake / "backend").mkdir(parents=True)
    sent = tmp_path / "sent"
    (fake / "__init__.py").write_text(TELLTALE.format(sent=str(sent)))
    (fake / "backend" / "__init__.py").touch()
    (fake / "backend" / "backend_ga4.py").touch()
    ours = "from benchbox.backends.openvino.cpu import quiet_runtime; quiet_runtime().Core()"
    subprocess.run(
        [sys.executable, "-c", ours if quiet else "import openvino"],
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site"), "HOME": str(tmp_path)},
        check=True,
        timeout=120,
    )
    assert sent.exists() is not quiet


@needs_bf16
@needs_int8
def test_run_from_the_command_line(benchbox: Callable, short: tuple[str, ...]) -> None:
    ran = benchbox("run", "lenet5", "--backend", "openvino", "--precision", "fp32,bf16,int8", "--json", *short)
    assert ran.status == 0, ran.err
    records = {record["key"]["precision"]: record for record in ran.document["records"]}
    assert {name: record["evidence"]["executed"] for name, record in records.items()} == {
        "fp32": {"fp32": 4},
        "bf16": {"bf16": 4},
        "int8": {"int8": 4},
    }
    last = {name: record["correctness"]["hops"][-1] for name, record in records.items()}
    assert {name: hop["to"] for name, hop in last.items()} == {name: f"openvino-{name}" for name in records}
    assert last["bf16"]["from"] == "pytorch-fp32"
    assert last["fp32"]["rel_l2_error"] < last["bf16"]["rel_l2_error"]
    assert records["bf16"]["onnx_sha256"] == records["fp32"]["onnx_sha256"] != records["int8"]["onnx_sha256"]
    assert not any(flag["code"] == "PRECISION_NOT_EXECUTED" for record in records.values() for flag in record["flags"])
