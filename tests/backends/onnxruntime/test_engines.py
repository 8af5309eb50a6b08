"""Engines of ONNX Runtime's TensorRT provider: built once for all processes, and by nobody who was killed."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from pathlib import Path

from onnxruntime_on_cuda import CPU, SimulatedRuntime
from simulation import simulated

from benchbox.backends.base import OpenRequest
from benchbox.backends.cuda.choice import open_layer
from benchbox.backends.onnxruntime.cuda import CUDA, TENSORRT, OnnxRuntimeCudaSession
from benchbox.backends.onnxruntime.engines import EngineFolder, tensorrt_version
from benchbox.measure.process.opening import open_request
from benchbox.models.sources import resolve
from benchbox.schema.artifact import OnnxArtifact
from benchbox.schema.engine import RuntimeEngines
from benchbox.schema.model import Precision
from benchbox.stats.inputs import seeded_arrays
from benchbox.store.runtime_engines import prune_runtime_engines


def _request(artifact: OnnxArtifact, root: Path, folder: Path, batch: int = 2) -> OpenRequest:
    """What a worker opens, its engines under another root than the one that the tests share."""
    made = open_request(
        artifact,
        source=resolve("lenet5", input_shape=None, weights=None),
        engine=None,
        backend="onnxruntime-tensorrt",
        precision=Precision.FP32,
        threads=1,
        batch=batch,
        root=root,
    )
    assert made.kept is not None
    kept = dataclasses.replace(made.kept, folder=folder / made.kept.folder.relative_to(root.absolute()))
    return dataclasses.replace(made, kept=kept, onnx_path=root / artifact.path)


def _process(runtime: SimulatedRuntime, request: OpenRequest, artifact: OnnxArtifact) -> str:
    """What a process does; the digest that its evidence has."""
    session = OnnxRuntimeCudaSession(runtime, open_layer("cuda-bindings"), request, provider=TENSORRT, graph=False)
    try:
        session.upload(0, seeded_arrays(artifact.inputs, seed=0, samples=request.inputs[0].shape[0] or 1))
        session.enqueue(0)
        session.synchronize()
        return session.evidence().options["engine_cache"]
    finally:
        session.close()


def _runtime() -> SimulatedRuntime:
    return SimulatedRuntime([TENSORRT, CUDA, CPU])


def test_processes_run_one_engine(lenet_fp32: OnnxArtifact, backend_root: Path, tmp_path: Path) -> None:
    runtime, request = _runtime(), _request(lenet_fp32, backend_root, tmp_path)
    with simulated(target="sm89"):
        digests = {_process(runtime, request, lenet_fp32) for _ in range(3)}
        assert runtime.engines_built == 1
        assert len(digests) == 1, "the same engine in every process"
        _process(runtime, _request(lenet_fp32, backend_root, tmp_path, batch=1), lenet_fp32)
        assert runtime.engines_built == 2, "another batch size is another engine"
    with simulated(target="sm86"):
        _process(runtime, request, lenet_fp32)
        assert runtime.engines_built == 3, "and so is another GPU"
    other = dataclasses.replace(lenet_fp32, sha256="0" * 64)
    with simulated(target="sm89"):
        _process(runtime, _request(other, backend_root, tmp_path), lenet_fp32)
        assert runtime.engines_built == 4, "and other weights, which the provider does not look at"


def test_an_engine_of_a_process_that_failed_is_used_by_nobody(
    lenet_fp32: OnnxArtifact, backend_root: Path, tmp_path: Path
) -> None:
    runtime, request = _runtime(), _request(lenet_fp32, backend_root, tmp_path)
    assert request.kept is not None
    with simulated():
        _process(runtime, request, lenet_fp32)
        (whole,) = (path for path in request.kept.folder.iterdir() if not path.name.startswith("."))
        (engine,) = whole.glob("*.engine")
        # As a build leaves it that was killed while it wrote, by a process that is no more and by one that lives.
        for process in (2**22 + 1, os.getppid()):
            draft = whole.with_name(f".{whole.name}.{process}")
            draft.mkdir()
            (draft / engine.name).write_bytes(b"half of an eng")
        for file in whole.iterdir():
            file.unlink()
        whole.rmdir()
        _process(runtime, request, lenet_fp32)
        assert runtime.engines_built == 2
        left = {path.name for path in request.kept.folder.iterdir()}
    assert left == {whole.name, f".{whole.name}.{os.getppid()}"}


def test_an_error_leaves_no_engine(lenet_fp32: OnnxArtifact, backend_root: Path, tmp_path: Path) -> None:
    runtime, request = _runtime(), _request(lenet_fp32, backend_root, tmp_path)
    assert request.kept is not None
    with simulated():
        session = OnnxRuntimeCudaSession(runtime, open_layer("cuda-bindings"), request, provider=TENSORRT, graph=False)
        session.enqueue(0)
        try:
            raise ZeroDivisionError
        except ZeroDivisionError:
            session.close()
    assert list(request.kept.folder.iterdir()) == []


def test_nothing_is_kept_where_nobody_asks(lenet_fp32: OnnxArtifact, backend_root: Path, tmp_path: Path) -> None:
    runtime = _runtime()
    request = dataclasses.replace(_request(lenet_fp32, backend_root, tmp_path), kept=None)
    with simulated():
        session = OnnxRuntimeCudaSession(runtime, open_layer("cuda-bindings"), request, provider=TENSORRT, graph=False)
        assert "engine_cache" not in session.evidence().options
        session.close()
    assert runtime.asked[0][1]["trt_engine_cache_enable"] == "0"


def test_a_recipe_says_what_the_engines_are_of_and_prune_follows_it(tmp_path: Path) -> None:
    onnx = tmp_path / "engines/onnx/net.onnx"
    onnx.parent.mkdir(parents=True)
    onnx.write_bytes(b"a network")
    for name, sha256 in (("good", hashlib.sha256(b"a network").hexdigest()), ("old", "0" * 64)):
        kept = RuntimeEngines(
            folder=tmp_path / "engines/onnxruntime-tensorrt" / name,
            onnx_path="engines/onnx/net.onnx",
            onnx_sha256=sha256,
        )
        made = EngineFolder(kept, gpu="A GPU (sm89)", versions={"onnxruntime": "1.31", "tensorrt": "10.13.3"})
        (made.path / "x.engine").write_bytes(b"engine")
        made.close(keep=True)
    (recipe,) = tmp_path.glob("engines/*/good/*/recipe.json")
    assert recipe.parent.name == "A-GPU-sm89-onnxruntime-1.31-tensorrt-10.13.3"
    assert json.loads(recipe.read_text())["device"] == "A GPU (sm89)"
    (removed,) = prune_runtime_engines(tmp_path)
    assert "has changed" in removed.reason
    assert removed.size_bytes > len(b"engine")
    assert [path.name for path in (tmp_path / "engines/onnxruntime-tensorrt").iterdir()] == ["good"]
    recipe.write_text("{")
    assert prune_runtime_engines(tmp_path)[0].reason == "its recipe is damaged"


def test_without_the_library_its_version_is_unknown() -> None:
    assert tensorrt_version() == "unknown"
