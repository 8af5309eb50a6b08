"""Do TensorRT and ONNX Runtime run the networks on this GPU, and do their times and outputs hold?"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from networks import BATCH, check_outputs, onnx_of, request_of, timed

from benchbox.backends.base import BACKENDS, Compiler, DeviceSession, EngineBackend
from benchbox.schema.artifact import BatchRange
from benchbox.schema.model import Precision

NETWORKS = ("lenet5", "resnet18", "resnet50")
ENGINES = ("tensorrt", "tensorrt-rtx")
RUNTIMES = ("onnxruntime-cuda", "onnxruntime-tensorrt")
EXPORT = "onnxscript"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gpu")


def _open(backend_name: str, name: str, precision: Precision, root: Path, **options: Any) -> DeviceSession:
    backend = BACKENDS.get(backend_name)
    state = backend.probe()
    if not state.usable:
        pytest.skip(f"{backend_name}: {state.reason}")
    pytest.importorskip(EXPORT, reason="torch.onnx.export needs onnxscript")
    artifact = onnx_of(name, Precision.FP32 if precision is Precision.TF32 else precision, root)
    request = request_of(name, precision, **options)
    if isinstance(backend, EngineBackend):
        from benchbox.export.engines import engine_from_artifact

        compiler = BACKENDS.get(backend.compiler)
        assert isinstance(compiler, Compiler)
        size = BatchRange(minimum=1, optimum=BATCH, maximum=BATCH)
        built = engine_from_artifact(artifact, compiler=compiler, precision=precision, root=root, batch=size)
        request = dataclasses.replace(request, engine_path=root / built.engine.path)
    else:
        request = dataclasses.replace(request, onnx_path=root / artifact.path)
    session = backend.open(request)
    assert isinstance(session, DeviceSession)
    return session


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("precision", [Precision.FP32, Precision.TF32, Precision.FP16])
@pytest.mark.parametrize("backend", [*ENGINES, *RUNTIMES])
def test_outputs(backend: str, precision: Precision, name: str, root: Path, figures: dict[str, Any]) -> None:
    session = _open(backend, name, precision, root)
    check_outputs(session, name, precision, figures)
    session.close()


@pytest.mark.parametrize("backend", ["tensorrt", "tensorrt-rtx", "onnxruntime-cuda"])
def test_graph_against_no_graph(backend: str, root: Path, figures: dict[str, Any]) -> None:
    for name, key in ((backend, "plain"), (f"{backend}-graph", "graph")):
        session = _open(name, "resnet50", Precision.FP16, root)
        check_outputs(session, "resnet50", Precision.FP16, figures)
        figures.update({f"{key}_{metric}": value for metric, value in timed(session).items()})
        figures[f"{key}_state"] = session.evidence().options["cuda_graph"]
        session.close()
    assert not figures["graph_state"].startswith("failed"), figures["graph_state"]
    assert figures["graph_gpu_time_s"] <= figures["plain_gpu_time_s"] * 1.05


@pytest.mark.parametrize("backend", [*ENGINES, "onnxruntime-cuda"])
def test_a_run_does_not_wait_for_the_device(backend: str, root: Path, figures: dict[str, Any]) -> None:
    """Starting an inference of a large network takes far less than the inference: nothing synchronises inside."""
    session = _open(backend, "resnet50", Precision.FP32, root)
    figures.update(timed(session))
    session.close()
    assert figures["enqueue_time_s"] < 0.8 * figures["latency_s"]


@pytest.mark.parametrize("backend", [*ENGINES, "onnxruntime-cuda"])
def test_memory(backend: str, root: Path, figures: dict[str, Any]) -> None:
    session = _open(backend, "resnet50", Precision.FP32, root, track_memory=True)
    check_outputs(session, "resnet50", Precision.FP32, figures)
    figures.update(session.device_memory())
    session.close()
    assert figures["device_delta"] > 25_557_032 * 4, "at least the weights"
    if "allocated_peak" in figures:
        assert figures["allocated_peak"] <= figures["device_delta"] * 1.05
