"""Networks of the kinds that people deploy, from PyTorch: counted as by hand, and run in every precision."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest
from real_networks import REAL, exported, with_suppression

from benchbox.backends.base import BACKENDS, Compiler, OpenRequest
from benchbox.backends.eight_bit import instruction_sets, saturates
from benchbox.backends.once import infer_once, opened_session
from benchbox.cost.counting import cost_from_graph
from benchbox.errors import ArtifactError
from benchbox.export.engines import engine_from_artifact
from benchbox.export.exporting import artifact_from_source
from benchbox.graph.graph import graph_from_file
from benchbox.jobs.prepare import graph_precision
from benchbox.models.sources import resolve
from benchbox.schema.artifact import OnnxArtifact
from benchbox.schema.model import Precision
from benchbox.stats.agreement import TOLERANCES, hop_from_outputs
from benchbox.stats.batches import joined, samples_of
from benchbox.stats.inputs import arrays_of_samples

DERIVED = (Precision.FP16, Precision.BF16, Precision.INT8)
ON_A_PUSH = ("lstm", "unet")


def _artifact(path: Path, precision: Precision) -> OnnxArtifact:
    source = resolve(str(path), input_shape=None, weights=None)
    return artifact_from_source(source, precision=precision, root=path.parent)


def _right_on(backend: str, artifact: OnnxArtifact, root: Path, precision: Precision | None = None) -> bool:
    """Whether a backend gives what the judge of the file gave, on its first inference."""
    batch = artifact.fixed_batch or 1
    precision = precision or artifact.precision
    request = OpenRequest(
        precision=precision,
        threads=1,
        inputs=tuple(spec.at_batch(batch) for spec in artifact.inputs),
        outputs=tuple(spec.at_batch(batch) for spec in artifact.outputs),
        onnx_path=root / artifact.path,
    )
    samples = np.arange(batch)
    feed = arrays_of_samples(artifact.inputs, seed=artifact.seed, numbers=samples.tolist())
    with opened_session(BACKENDS.get(backend), request) as session:
        made = joined([infer_once(session, feed)], artifact.outputs)
    with np.load(root / str(artifact.expected_path)) as stored:
        expected = samples_of(dict(stored), artifact.outputs, samples=samples, inferences=1)
    return hop_from_outputs("judge", backend, expected, made, TOLERANCES[precision]).passed


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "name", [name if name in ON_A_PUSH else pytest.param(name, marks=pytest.mark.nightly) for name in REAL]
)
def test_a_real_network_is_counted_and_run_in_every_precision(name: str, tmp_path: Path) -> None:
    path = exported(name, tmp_path)
    assert cost_from_graph(graph_from_file(path), model=name, sha256="").macs == REAL[name].macs
    plain = _artifact(path, Precision.FP32)
    assert not plain.unchecked
    for precision in DERIVED:  # run by ONNX Runtime, 16 bits emulated, and compared with the fp32 graph
        assert _artifact(path, precision).hops[-1].passed
    for backend in ("onnxruntime", "openvino"):
        assert _right_on(backend, plain, tmp_path), backend
    assert _right_on("onnxruntime", _artifact(path, Precision.INT8), tmp_path)


@pytest.mark.nightly
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("name", REAL)
def test_a_backend_runs_a_real_network_in_what_it_has(name: str, backend: str, tmp_path: Path) -> None:
    """The file that it is given in a precision: OpenVINO makes bf16 of the fp32 file itself, where the CPU has it."""
    path = exported(name, tmp_path)
    ran = []
    for precision in (Precision.FP32, *DERIVED):
        if BACKENDS.get(backend).refusal(precision):
            continue
        artifact = _artifact(path, graph_precision(backend, precision))
        # Without VNNI OpenVINO's sums of bytes saturate: how far off that is depends on the weights.
        off = precision is Precision.INT8 and backend == "openvino" and saturates(instruction_sets())
        assert _right_on(backend, artifact, tmp_path, precision) or off, precision
        ran.append(precision)
    assert {Precision.FP32, Precision.INT8} <= set(ran)


# What the builder of TensorRT-RTX 1.7 stumbles over, and its words; its parser takes all of these networks, also on a
# machine without a GPU.
NOT_BUILT = {("lstm", Precision.FP16): "Mismatched number of elements in reshape"}


@pytest.mark.nightly
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("precision", [Precision.FP32, Precision.FP16, Precision.INT8])
@pytest.mark.parametrize("name", REAL)
def test_an_engine_of_a_real_network_is_built(name: str, precision: Precision, tmp_path: Path) -> None:
    compiler = BACKENDS.get("tensorrt-rtx")
    assert isinstance(compiler, Compiler)
    artifact = _artifact(exported(name, tmp_path), precision)
    build = functools.partial(
        engine_from_artifact, artifact, compiler=compiler, precision=precision, root=tmp_path, targets=("sm86",)
    )
    if (name, precision) in NOT_BUILT:
        with pytest.raises(ArtifactError, match="cannot build an engine") as refusal:
            build(batch=artifact.batch)
        assert NOT_BUILT[name, precision] in refusal.value.values
        return
    assert build(batch=artifact.batch).engine.size_bytes > 0


@pytest.mark.filterwarnings("ignore")
def test_a_detector_with_suppression_is_measured_where_its_cost_is_not_known(tmp_path: Path) -> None:
    path = with_suppression(exported("detector", tmp_path))
    with pytest.raises(ArtifactError, match="cannot be inferred") as refusal:
        graph_from_file(path)
    assert "NonMaxSuppression" in refusal.value.values
    artifact = _artifact(path, Precision.FP32)
    assert artifact.outputs[0].shape == (1, None, 4)
    for backend in ("onnxruntime", "openvino"):
        assert _right_on(backend, artifact, tmp_path), backend
