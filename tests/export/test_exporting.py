"""From a reference to a checked file, and what happens when it cannot be."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from benchbox.errors import ArtifactError, StoreError, UsageError
from benchbox.export import exporting
from benchbox.export.exporting import artifact_from_source
from benchbox.export.reuse import cached_artifact
from benchbox.models.building import module_from_source
from benchbox.models.sources import resolve
from benchbox.schema.artifact import BatchRange, OnnxArtifact
from benchbox.schema.model import ModelSource, Precision
from benchbox.stats.inputs import seeded_arrays
from benchbox.store.artifact_files import artifacts_under, read_artifact, sha256_of

LENET = resolve("lenet5", input_shape=None, weights=None)


def everything(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


def test_expected_outputs_are_pytorchs_in_float64(lenet: OnnxArtifact, export_root: Path) -> None:
    with np.load(export_root / lenet.expected_path) as stored:
        expected = stored["output"]
    module = module_from_source(LENET, seed=0).double()
    inputs = seeded_arrays(lenet.inputs, seed=lenet.seed, samples=lenet.expected_samples)["input"]
    with torch.inference_mode():
        exact = module(torch.from_numpy(inputs.astype(np.float64))).numpy()
    assert np.linalg.norm(expected - exact) / np.linalg.norm(exact) < 1e-6


def test_the_artifact_tells_what_it_is(lenet: OnnxArtifact, export_root: Path) -> None:
    path = export_root / lenet.path
    assert sha256_of(path) == lenet.sha256
    assert path.stat().st_size == lenet.size_bytes
    assert lenet.opset == 20
    assert lenet.expected_by == f"pytorch {torch.__version__}"
    assert lenet.evaluator.startswith("onnxruntime ")
    assert [(hop.source, hop.target, hop.passed) for hop in lenet.hops] == [
        ("pytorch-fp64", "pytorch-fp32", True),
        ("pytorch-fp32", "onnx-fp32", True),
    ]
    assert all(0 < hop.rel_l2_error < 1e-5 and hop.top1_agreement == 1.0 for hop in lenet.hops)
    assert lenet.expected_form == "pytorch-fp32"


def test_fp16_is_derived_from_the_fp32_file(lenet: OnnxArtifact, export_root: Path) -> None:
    half = artifact_from_source(LENET, precision=Precision.FP16, root=export_root)
    assert [(hop.source, hop.target) for hop in half.hops] == [
        ("pytorch-fp64", "pytorch-fp32"),
        ("pytorch-fp32", "onnx-fp32"),
        ("onnx-fp32", "onnx-fp16-emulated"),
    ]
    assert 1e-5 < half.hops[2].rel_l2_error < 1e-2
    full, cast = (onnx.load(str(export_root / artifact.path)).graph for artifact in (lenet, half))
    assert {node.name for node in full.node} <= {node.name for node in cast.node}
    assert half.size_bytes < 0.6 * lenet.size_bytes
    assert set(artifacts_under(export_root)) >= {lenet, half}


def test_the_cache_answers_until_something_changes(lenet: OnnxArtifact, export_root: Path, tmp_path: Path) -> None:
    assert cached_artifact(LENET, precision=Precision.FP32, root=export_root) == lenet
    assert cached_artifact(LENET, precision=Precision.FP32, root=export_root, seed=1) is None
    assert cached_artifact(LENET, precision=Precision.FP32, root=tmp_path) is None
    torch.save(module_from_source(LENET, seed=0).state_dict(), tmp_path / "weights.pt")
    weighted = dataclasses.replace(LENET, weights=str(tmp_path / "weights.pt"))
    assert cached_artifact(weighted, precision=Precision.FP32, root=export_root) is None


@pytest.mark.parametrize(
    "damage",
    [
        "truncated",
        "card",
        *(pytest.param(damage, marks=pytest.mark.nightly) for damage in ("missing", "expected", "version")),
    ],
)
def test_a_damaged_file_is_not_taken_from_the_cache(damage: str, tmp_path: Path) -> None:
    artifact = artifact_from_source(LENET, precision=Precision.FP32, root=tmp_path)
    path = tmp_path / artifact.path
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-10])
    elif damage == "card":
        path.with_suffix(".json").write_text("{")
    elif damage == "version":
        card = path.with_suffix(".json")
        card.write_text(card.read_text().replace("benchbox.artifact/2", "benchbox.artifact/1"))
    else:
        (path if damage == "missing" else tmp_path / artifact.expected_path).unlink()
    assert cached_artifact(LENET, precision=Precision.FP32, root=tmp_path) is None
    said: list[str] = []
    again = artifact_from_source(LENET, precision=Precision.FP32, root=tmp_path, say=said.append)
    assert again.sha256 == artifact.sha256
    assert "is made again: " in said[0]
    assert cached_artifact(LENET, precision=Precision.FP32, root=tmp_path) is not None


@pytest.mark.parametrize("text", ["{", "3", '{"schema": "benchbox.artifact/1"}', '{"schema": "benchbox.artifact/2"}'])
def test_a_damaged_card_is_left_out_with_a_warning(text: str, tmp_path: Path) -> None:
    folder = tmp_path / "engines" / "onnx"
    folder.mkdir(parents=True)
    (folder / "net-fp32-0.json").write_text(text)
    with pytest.raises(StoreError, match=r"net-fp32-0\.json"):
        read_artifact(folder / "net-fp32-0.json")
    said: list[str] = []
    assert artifacts_under(tmp_path, say=said.append) == ()
    assert "net-fp32-0.json" in said[0]


def test_wrong_outputs_leave_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = exporting.canonicalise

    def broken(proto: onnx.ModelProto, *args: object, **kwargs: object) -> None:
        real(proto, *args, **kwargs)
        bias = next(tensor for tensor in proto.graph.initializer if tensor.name == "fc2.bias")
        bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + 1, bias.name))

    monkeypatch.setattr(exporting, "canonicalise", broken)
    with pytest.raises(ArtifactError, match="beyond tolerance"):
        artifact_from_source(LENET, precision=Precision.FP32, root=tmp_path)
    assert everything(tmp_path) == []


def test_an_unwritable_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "engines").write_text("in the way")
    with pytest.raises(StoreError, match="engines"):
        artifact_from_source(LENET, precision=Precision.FP32, root=tmp_path)


def test_batch_ranges_are_kept_and_checked(tmp_path: Path) -> None:
    sizes = BatchRange(minimum=2, optimum=4, maximum=4)
    artifact = artifact_from_source(LENET, precision=Precision.FP32, root=tmp_path, batch=sizes)
    assert artifact.batch == sizes
    assert artifact.expected_samples == 2 + 4
    other = BatchRange(minimum=1, optimum=1, maximum=8)
    assert cached_artifact(LENET, precision=Precision.FP32, root=tmp_path, batch=other) is None
    again = artifact_from_source(LENET, precision=Precision.FP32, root=tmp_path, batch=other)
    assert (again.batch, again.sha256) == (other, artifact.sha256)
    assert cached_artifact(LENET, precision=Precision.FP32, root=tmp_path) == again


def foreign(
    path: Path, *, batch: int | str = "batch", width: int | str = 4, kind: int = TensorProto.FLOAT
) -> ModelSource:
    """A small network that somebody else exported."""
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    weight = np.linspace(-1, 1, 12).reshape(4, 3).astype(dtype)
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w"], ["y"], name="product"),
            helper.make_node("Relu", ["y"], ["z"], name="r"),
        ],
        "net",
        [helper.make_tensor_value_info("x", kind, [batch, width])],
        [helper.make_tensor_value_info("z", kind, [batch, 3])],
        [numpy_helper.from_array(weight, "w")],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="other")
    onnx.save(proto, str(path))
    return resolve(str(path), input_shape=None, weights=None)


def test_a_foreign_file_is_used_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    artifact = artifact_from_source(foreign(path), precision=Precision.FP32, root=tmp_path)
    assert Path(artifact.path) == path
    assert artifact.sha256 == sha256_of(path)
    assert (artifact.opset, artifact.exporter, artifact.params) == (17, "other", None)
    assert artifact.expected_by.startswith("onnxruntime")
    assert artifact.hops[0].source == "onnx-unoptimised"
    half = artifact_from_source(foreign(path), precision=Precision.FP16, root=tmp_path)
    assert half.hops[-1].target == "onnx-fp16-emulated"


def test_a_fixed_batch_stays_fixed(tmp_path: Path) -> None:
    artifact = artifact_from_source(foreign(tmp_path / "net.onnx", batch=2), precision=Precision.FP32, root=tmp_path)
    assert artifact.inputs[0].shape == (2, 4)
    assert artifact.batch == BatchRange(minimum=2, optimum=2, maximum=2)


def test_a_file_is_in_the_precision_of_its_weights(tmp_path: Path) -> None:
    source = foreign(tmp_path / "half.onnx", kind=TensorProto.FLOAT16)
    assert artifact_from_source(source, precision=Precision.FP16, root=tmp_path).precision is Precision.FP16
    with pytest.raises(UsageError, match="in fp16, not in fp32"):
        artifact_from_source(source, precision=Precision.FP32, root=tmp_path)


def test_free_dimensions_must_be_given(tmp_path: Path) -> None:
    source = foreign(tmp_path / "net.onnx", width="features")
    with pytest.raises(UsageError, match="--input"):
        artifact_from_source(source, precision=Precision.FP32, root=tmp_path)
    bound = dataclasses.replace(source, input_shape=(4,))
    assert artifact_from_source(bound, precision=Precision.FP32, root=tmp_path).inputs[0].shape == (None, 4)
    for wrong in ((4, 4), (5,)):
        with pytest.raises((UsageError, ArtifactError)):
            artifact_from_source(
                dataclasses.replace(source, input_shape=wrong), precision=Precision.FP32, root=tmp_path
            )


@pytest.mark.parametrize("precision", [Precision.FP32, Precision.FP16, Precision.INT8])
def test_a_file_in_the_cache_of_the_hub_is_taken_through_its_links(tmp_path: Path, precision: Precision) -> None:
    """models--org--net/snapshots/1a2b/net.onnx and its data are links to blobs/, called by their hashes."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Relu", ["h"], ["y"])]
    weight = np.random.default_rng(0).standard_normal((8, 4)).astype(np.float32)
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", size]) for name, size in (("x", 8), ("y", 4)))
    graph = helper.make_graph(nodes, "net", [x], [y], [numpy_helper.from_array(weight, "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "1a2b"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    onnx.save(model, str(blobs / "net.onnx"), save_as_external_data=True, location="net.data", size_threshold=0)
    for name, blob in (("net.onnx", "3f5c"), ("net.data", "9e1d")):
        (blobs / name).rename(blobs / blob)
        (snapshot / name).symlink_to(Path("..", "..", "blobs", blob))
    source = resolve(str(snapshot / "net.onnx"), input_shape=None, weights=None)
    artifact = artifact_from_source(source, precision=precision, root=tmp_path)
    assert artifact.model == "net"
    assert artifact.hops[-1].passed
    assert not any("onnx.checker" in warning for warning in artifact.warnings)
    (blobs / "9e1d").write_bytes((2 * weight).tobytes())  # another network's weights are not taken for these
    again = artifact_from_source(source, precision=precision, root=tmp_path)
    assert (again.recipe, again.expected_path) != (artifact.recipe, artifact.expected_path)


@pytest.mark.parametrize("damage", ["empty", "text", "truncated", "cyclic", "external"])
def test_bad_files_are_named(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    source = foreign(path)
    proto = onnx.load(str(path))
    if damage == "empty":
        path.write_bytes(b"")
    elif damage == "text":
        path.write_text("no network at all")
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:-30])
    elif damage == "cyclic":
        proto.graph.node[0].input[0] = "z"
        path.write_bytes(proto.SerializeToString())
    else:
        onnx.save(proto, str(path), save_as_external_data=True, location="net.data", size_threshold=0)
        (tmp_path / "net.data").unlink()
    with pytest.raises(ArtifactError, match=r"net\.onnx"):
        artifact_from_source(source, precision=Precision.FP32, root=tmp_path / "root")
    assert everything(tmp_path / "root") == []


class Untraceable(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise ValueError("only on Tuesdays")


def untraceable() -> torch.nn.Module:
    return Untraceable()


def test_a_network_that_cannot_be_traced_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    source = resolve("test_exporting:untraceable", input_shape=(4,), weights=None)
    with pytest.raises(ArtifactError, match="only on Tuesdays"):
        artifact_from_source(source, precision=Precision.FP32, root=tmp_path)
    assert everything(tmp_path) == []


def test_precisions_that_are_not_made_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="tf32"):
        artifact_from_source(LENET, precision=Precision.TF32, root=tmp_path)


@pytest.mark.nightly
def test_auxiliary_heads_are_further_outputs(tmp_path: Path) -> None:
    """Main output first; the same checkpoint without them says what was left out, in fp16 too."""
    source = resolve("googlenet_aux", input_shape=None, weights=None)
    full = artifact_from_source(source, precision=Precision.FP16, root=tmp_path)
    assert [(spec.name, spec.shape) for spec in full.outputs] == [(f"output_{i}", (None, 1000)) for i in range(3)]
    assert [hop.passed for hop in full.hops] == [True, True, True]
    weights = tmp_path / "full.pt"
    module = module_from_source(source, seed=0)
    torch.save(module.state_dict(), weights)
    said: list[str] = []
    plain = resolve("googlenet", input_shape=None, weights=str(weights))
    half = artifact_from_source(plain, precision=Precision.FP16, root=tmp_path, say=said.append)
    warning = f"20 tensors of auxiliary heads in {weights} were left out: aux1, aux2"
    assert warning in said
    assert warning in half.warnings
    with np.load(tmp_path / full.expected_path) as ours, np.load(tmp_path / half.expected_path) as alone:
        assert np.array_equal(ours["output_0"], alone["output"])
