"""Every backend answers to the same contract, and tells what it was really given."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import sys
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch

from benchbox.backends.base import BACKENDS, OpenRequest, Session
from benchbox.backends.null import NullBackend
from benchbox.backends.onnxruntime.cpu import OnnxRuntimeSession
from benchbox.errors import ArtifactError, EnvironmentLackError
from benchbox.models.building import module_from_source
from benchbox.models.sources import resolve
from benchbox.schema.artifact import OnnxArtifact
from benchbox.schema.model import Precision
from benchbox.stats.inputs import seeded_arrays

SOURCE = resolve("lenet5", input_shape=None, weights=None)
REAL = ("onnxruntime", "openvino", "pytorch")
RUN_FP16 = ("onnxruntime", "pytorch")  # OpenVINO only where the CPU has it


def request_for(
    artifact: OnnxArtifact, root: Path, *, batch: int = 2, slots: int = 1, inspect: bool = False, threads: int = 1
) -> OpenRequest:
    return OpenRequest(
        precision=artifact.precision,
        threads=threads,
        inputs=tuple(dataclasses.replace(spec, shape=(batch, *spec.shape[1:])) for spec in artifact.inputs),
        outputs=tuple(dataclasses.replace(spec, shape=(batch, *spec.shape[1:])) for spec in artifact.outputs),
        slots=slots,
        onnx_path=root / artifact.path,
        module=lambda: module_from_source(SOURCE, seed=0),
        inspect=inspect,
    )


def run_slot(session: Session, slot: int, arrays: dict[str, np.ndarray]) -> np.ndarray:
    session.upload(slot, arrays)
    session.enqueue(slot)
    session.synchronize()
    return session.download(slot)["output"]


def exact(arrays: dict[str, np.ndarray]) -> np.ndarray:
    module = module_from_source(SOURCE, seed=0)
    with torch.inference_mode():
        made: np.ndarray = module(torch.from_numpy(arrays["input"])).numpy()
    return made


@pytest.mark.parametrize(("name", "half"), [*((name, False) for name in REAL), *((name, True) for name in RUN_FP16)])
def test_outputs_are_pytorchs(
    name: str, half: bool, lenet_fp32: OnnxArtifact, lenet_fp16: OnnxArtifact, backend_root: Path
) -> None:
    artifact = lenet_fp16 if half else lenet_fp32
    session = BACKENDS.get(name).open(request_for(artifact, backend_root))
    arrays = seeded_arrays(artifact.inputs, seed=3, samples=2)
    made = run_slot(session, 0, arrays)
    assert made.dtype == np.float32
    wanted = exact(arrays)
    assert np.linalg.norm(made - wanted) / np.linalg.norm(wanted) < (5e-3 if half else 1e-5)
    session.close()


@pytest.mark.parametrize("name", REAL)
def test_slots_keep_their_own_inputs_and_outputs(name: str, lenet_fp32: OnnxArtifact, backend_root: Path) -> None:
    session = BACKENDS.get(name).open(request_for(lenet_fp32, backend_root, slots=3))
    inputs = [seeded_arrays(lenet_fp32.inputs, seed=seed, samples=2) for seed in range(3)]
    for slot, arrays in enumerate(inputs):
        session.upload(slot, arrays)
    kept = [{name: array.copy() for name, array in arrays.items()} for arrays in inputs]
    for arrays in inputs:
        arrays["input"][:] = 0  # the session must have its own copies
    for slot in (2, 0, 1):
        session.enqueue(slot)
        session.synchronize()
    for slot, arrays in enumerate(kept):
        assert np.allclose(session.download(slot)["output"], exact(arrays), atol=1e-4)
    session.close()


@pytest.mark.parametrize("name", REAL)
def test_threads_are_those_asked_for(name: str, lenet_fp32: OnnxArtifact, backend_root: Path) -> None:
    session = BACKENDS.get(name).open(request_for(lenet_fp32, backend_root, threads=2))
    evidence = session.evidence()
    assert evidence.threads == 2
    assert evidence.executed is None, "evidence of types is only for sessions opened for it"
    assert evidence.versions
    session.close()


@pytest.mark.parametrize("given", ["0", "1"])
def test_spinning_is_reported_as_the_session_has_it(
    given: str, lenet_fp32: OnnxArtifact, backend_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = OnnxRuntimeSession._options

    def options(session: OnnxRuntimeSession, *, precise: bool = True) -> Any:
        made = real(session)
        made.add_session_config_entry("session.intra_op.allow_spinning", given)
        return made

    monkeypatch.setattr(OnnxRuntimeSession, "_options", options)
    session = BACKENDS.get("onnxruntime").open(request_for(lenet_fp32, backend_root))
    assert session.evidence().options["allow_spinning"] == given
    session.close()


def test_onnx_runtimes_cpu_runs_fp16_in_fp32(
    lenet_fp16: OnnxArtifact, lenet_fp32: OnnxArtifact, backend_root: Path
) -> None:
    """The evidence comes from the runtime's own profile, not from what was asked."""
    for artifact in (lenet_fp32, lenet_fp16):
        session = BACKENDS.get("onnxruntime").open(request_for(artifact, backend_root, inspect=True))
        for seed in range(2):
            run_slot(session, 0, seeded_arrays(artifact.inputs, seed=seed, samples=2))
        assert session.evidence().executed == {"fp32": 4}
        assert session.evidence().executed == {"fp32": 4}, "asking twice changes nothing"
        assert session.evidence().providers == ("CPUExecutionProvider",)
        session.close()


def test_pytorch_runs_what_it_was_asked_for(
    lenet_fp16: OnnxArtifact, lenet_fp32: OnnxArtifact, backend_root: Path
) -> None:
    bf16 = dataclasses.replace(lenet_fp32, precision=Precision.BF16)
    for artifact, wanted in ((lenet_fp32, {"fp32": 4}), (lenet_fp16, {"fp16": 4}), (bf16, {"bf16": 4})):
        session = BACKENDS.get("pytorch").open(request_for(artifact, backend_root, inspect=True))
        for seed in range(2):
            run_slot(session, 0, seeded_arrays(artifact.inputs, seed=seed, samples=2))
        assert session.evidence().executed == wanted
        session.close()


def test_pytorch_computes_in_bf16(lenet_fp32: OnnxArtifact, backend_root: Path) -> None:
    """Rounded to 8 significant bits at every layer: far from fp32's outputs, and near those of the same roundings."""
    artifact = dataclasses.replace(lenet_fp32, precision=Precision.BF16)
    session = BACKENDS.get("pytorch").open(request_for(artifact, backend_root))
    arrays = seeded_arrays(artifact.inputs, seed=3, samples=2)
    made = run_slot(session, 0, arrays)
    session.close()
    wanted = exact(arrays)
    error = np.linalg.norm(made - wanted) / np.linalg.norm(wanted)
    assert made.dtype == np.float32
    assert 2.0**-11 < error < 2.0**-5
    assert (made == made.astype(ml_dtypes.bfloat16).astype(np.float32)).all(), "the last layer gave bf16 numbers"


def test_a_bad_file_is_an_artifact_error(tmp_path: Path, lenet_fp32: OnnxArtifact, backend_root: Path) -> None:
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"no network")
    request = dataclasses.replace(request_for(lenet_fp32, backend_root, inspect=True), onnx_path=bad)
    with pytest.raises(ArtifactError, match=r"bad\.onnx"):
        BACKENDS.get("onnxruntime").open(request)


def test_a_missing_runtime_names_its_extra(
    monkeypatch: pytest.MonkeyPatch, lenet_fp32: OnnxArtifact, backend_root: Path
) -> None:
    for name, module, extra in (
        ("onnxruntime", "onnxruntime", "cpu"),
        ("openvino", "openvino", "openvino"),
        ("pytorch", "torch", "torch"),
    ):
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(EnvironmentLackError, match=rf"benchbox\[{extra}\]"):
            BACKENDS.get(name).open(request_for(lenet_fp32, backend_root))


def test_two_wheels_of_one_runtime_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = BACKENDS.get("onnxruntime")
    assert backend.probe().usable
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "1.32.0")
    broken = backend.probe()
    assert not broken.usable
    assert "overwrite" in broken.reason


def test_every_refusal_has_a_reason() -> None:
    for name in REAL:
        backend = BACKENDS.get(name)
        assert backend.refusal(Precision.FP32) is None
        for precision in (Precision.TF32, Precision.FP8):
            assert backend.refusal(precision)
    for name in RUN_FP16:
        assert BACKENDS.get(name).refusal(Precision.FP16) is None
    assert BACKENDS.get("onnxruntime").refusal(Precision.BF16)
    assert BACKENDS.get("pytorch").refusal(Precision.BF16) is None


def test_null_lets_virtual_time_pass(lenet_fp32: OnnxArtifact, backend_root: Path) -> None:
    backend = NullBackend(inference_ns=1000, jitter=0.0, cold_factor=3.0)
    session = backend.open(request_for(lenet_fp32, backend_root))
    times = []
    for _ in range(20):
        begin = session.stopwatch.now_ns()
        session.enqueue(0)
        times.append(session.stopwatch.now_ns() - begin)
    assert times[:3] == [3000, 2000, 1500]
    assert times[-1] == 1000
    assert session.download(0)["output"].shape == (2, 10)
    assert session.stopwatch.clock == "virtual"
    assert backend.probe().usable
