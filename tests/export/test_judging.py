"""Who judges a file from elsewhere: forms that onnx's evaluator gets wrong or lacks are compared rightly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchbox.backends.base import BACKENDS, Availability
from benchbox.errors import ArtifactError, NumericsError, UsageError
from benchbox.export.check_set import CheckSet
from benchbox.export.exporting import artifact_from_source
from benchbox.export.judging import evaluator_outputs
from benchbox.export.randomness import random_nodes
from benchbox.export.ranges import bounded_outputs, ranked_outputs
from benchbox.models.sources import resolve
from benchbox.schema.artifact import OnnxArtifact, TensorSpec
from benchbox.schema.model import Precision

NORM = {"s": (1.0, 2.0, 1.0, 1.0), "b": (0.0, 1.0, 0.0, 0.0), "m": (0.1, 0.2, 0.3, 0.4), "v": (1.0, 2.0, 1.0, 0.5)}
MICROSOFT = ("com.microsoft", 1)
Node = onnx.NodeProto


def node(operator: str, inputs: Sequence[str], outputs: Sequence[str] = ("y",), **attributes: object) -> Node:
    return helper.make_node(operator, list(inputs), list(outputs), name=f"my_{operator}", **attributes)


def network(
    path: Path,
    nodes: Sequence[Node],
    constants: Mapping[str, object] | None = None,
    *,
    shape: Sequence[int] = (4, 6, 6),
    opset: int = 17,
    domains: Sequence[tuple[str, int]] = (),
    kinds: tuple[int, int] = (TensorProto.FLOAT, TensorProto.FLOAT),
    rank: int | None = None,
) -> Path:
    """A file with one input x of free batch and one output y."""
    weights = [numpy_helper.from_array(as_array(value), name) for name, value in (constants or {}).items()]
    graph = helper.make_graph(
        list(nodes),
        "net",
        [helper.make_tensor_value_info("x", kinds[0], ["n", *shape])],
        [helper.make_tensor_value_info("y", kinds[1], [f"size{axis}" for axis in range(rank or len(shape) + 1)])],
        weights,
    )
    imports = [helper.make_opsetid(*entry) for entry in (("", opset), *domains)]
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=8), str(path))
    return path


def as_array(value: object) -> np.ndarray:
    array = np.asarray(value)
    return array.astype(np.float32) if array.dtype == np.float64 else array


def accepted(path: Path) -> OnnxArtifact:
    source = resolve(str(path), input_shape=None, weights=None)
    return artifact_from_source(source, precision=Precision.FP32, root=path.parent)


@pytest.mark.parametrize(
    ("nodes", "constants", "opset"),
    [
        ([node("BatchNormalization", ["x", *NORM])], NORM, 9),
        ([node("BatchNormalization", ["x", *NORM])], NORM, 13),
        ([node("LRN", ["x"], size=5, alpha=0.1)], {}, 13),
        ([node("Softmax", ["x"], axis=1)], {}, 11),
        ([node("Upsample", ["x", "s"], mode="nearest")], {"s": (1.0, 1.0, 2.0, 2.0)}, 9),
        ([node("Resize", ["x", "s"], mode="nearest")], {"s": (1.0, 1.0, 2.0, 2.0)}, 10),
        ([node("ConvTranspose", ["x", "w"], group=2)], {"w": np.full((4, 3, 2, 2), 0.1)}, 11),
        ([node("HardSwish", ["x"])], {}, 14),
    ],
    ids=["norm-9", "norm-13", "lrn", "softmax-11", "upsample-9", "resize-10", "grouped-transposed", "hardswish"],
)
def test_usual_forms_are_accepted(tmp_path: Path, nodes: list[Node], constants: dict[str, object], opset: int) -> None:
    artifact = accepted(network(tmp_path / "net.onnx", nodes, constants, opset=opset))
    assert artifact.expected_by.startswith("onnxruntime")
    assert "no graph optimisations" in artifact.expected_by
    assert (artifact.hops[0].source, artifact.hops[0].passed) == ("onnx-unoptimised", True)
    assert artifact.unchecked == ""


def test_eight_bit_pairs_with_channels_before_opset_19(tmp_path: Path) -> None:
    scales = {"s": (0.01, 0.02, 0.03, 0.04), "z": np.zeros(4, np.int8)}
    pair = [node("QuantizeLinear", ["x", "s", "z"], ["q"]), node("DequantizeLinear", ["q", "s", "z"])]
    source = resolve(str(network(tmp_path / "net.onnx", pair, scales, opset=13)), input_shape=None, weights=None)
    artifact = artifact_from_source(source, precision=Precision.INT8, root=tmp_path)
    assert artifact.hops[0].passed
    assert artifact.expected_by.startswith("onnxruntime")


def test_operators_of_onnx_runtime_itself(tmp_path: Path) -> None:
    path = network(
        tmp_path / "net.onnx",
        [node("BiasGelu", ["x", "b"], domain="com.microsoft")],
        {"b": np.zeros(6)},
        domains=[MICROSOFT],
    )
    assert accepted(path).hops[0].passed


def without_onnx_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BACKENDS.get("onnxruntime"), "probe", lambda: Availability(usable=False, reason="not there"))


def test_without_onnx_runtime_the_evaluator_judges_the_newer_opset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = network(tmp_path / "net.onnx", [node("BatchNormalization", ["x", *NORM])], NORM, opset=9)
    by_runtime = accepted(path)
    without_onnx_runtime(monkeypatch)
    check = CheckSet(inputs=by_runtime.inputs, outputs=by_runtime.outputs, batches=(1, 3), seed=by_runtime.seed)
    outputs = evaluator_outputs(path, check)
    with np.load(tmp_path / str(by_runtime.expected_path)) as stored:
        assert np.allclose(stored["y"], outputs["y"], rtol=1e-5, atol=1e-5)
    path.write_bytes(path.read_bytes() + b"")
    alone = artifact_from_source(
        resolve(str(path), input_shape=None, weights=None), precision=Precision.FP32, root=tmp_path / "other"
    )
    assert alone.expected_by.startswith("onnx.reference")
    assert alone.expected_form == "onnx-reference"


def test_where_nobody_can_run_it_nothing_is_claimed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = network(tmp_path / "net.onnx", [node("Mine", ["x"], domain="my.company")], domains=[("my.company", 1)])
    artifact = accepted(path)
    assert "no judge can run it" in artifact.unchecked
    assert (artifact.expected_path, artifact.outputs_path, artifact.hops) == (None, None, ())
    assert accepted(path) == artifact  # from the cache
    source = resolve(str(path), input_shape=None, weights=None)
    with pytest.raises(ArtifactError, match="cannot be checked"):
        artifact_from_source(source, precision=Precision.FP16, root=tmp_path)


def test_a_network_that_fails_on_its_inputs_is_refused(tmp_path: Path) -> None:
    """Every operator is there, but 144 values do not make rows of 100."""
    reshaped = [node("Reshape", ["x", "s"])]
    constants = {"s": np.array([-1, 100], np.int64)}
    with pytest.raises(ArtifactError) as caught:
        accepted(network(tmp_path / "net.onnx", reshaped, constants, rank=2))
    assert "evaluator" not in str(caught.value)


def test_equal_infinities_are_equal(tmp_path: Path) -> None:
    path = network(tmp_path / "net.onnx", [node("Add", ["x", "b"])], {"b": (0.0, -np.inf)}, shape=(3, 2))
    artifact = accepted(path)
    assert artifact.hops[0].passed
    half = artifact_from_source(
        resolve(str(path), input_shape=None, weights=None), precision=Precision.FP16, root=tmp_path
    )
    assert half.hops[-1].passed


NOISE = [node("RandomNormalLike", ["x"], ["r"], scale=0.1), node("Add", ["x", "r"])]
SWITCHED = {"ratio": np.float32(0.3), "on": np.array(True)}
DROPOUT = [node("Dropout", ["x", "ratio", "on"])]


@pytest.mark.parametrize(
    ("nodes", "constants", "name"),
    [
        (NOISE, {}, "my_RandomNormalLike (RandomNormalLike)"),
        (DROPOUT, SWITCHED, "my_Dropout (Dropout in training mode)"),
        (
            [node("RandomNormalLike", ["x"], ["r"], scale=0.1, seed=1.0), node("Add", ["x", "r"])],
            {},
            "my_RandomNormalLike (RandomNormalLike)",
        ),
    ],
    ids=["noise", "dropout", "seeded"],
)
def test_random_nodes_are_named(tmp_path: Path, nodes: list[Node], constants: dict[str, object], name: str) -> None:
    path = network(tmp_path / "net.onnx", nodes, constants)
    artifact = accepted(path)
    assert name in artifact.unchecked
    assert "random" in artifact.unchecked
    if any(entry.name == "seed" for each in nodes for entry in each.attribute):
        return  # its casts draw the same numbers when they start anew
    source = resolve(str(path), input_shape=None, weights=None)
    with pytest.raises(NumericsError, match="random"):
        artifact_from_source(source, precision=Precision.FP16, root=tmp_path)


def test_dropout_that_is_off_is_not_random(tmp_path: Path) -> None:
    for constants in ({"ratio": np.float32(0.3)}, {**SWITCHED, "on": np.array(False)}):
        path = network(tmp_path / "net.onnx", [node("Dropout", ["x", *constants])], constants)
        assert random_nodes(onnx.load(str(path))) == ()
        assert accepted(path).unchecked == ""


def test_noise_below_the_tolerance_is_checked(tmp_path: Path) -> None:
    quiet = [node("RandomNormalLike", ["x"], ["r"], scale=1e-7), node("Add", ["x", "r"])]
    assert accepted(network(tmp_path / "net.onnx", quiet)).unchecked == ""


def test_which_outputs_have_a_range_of_their_own(tmp_path: Path) -> None:
    through = [node("Sigmoid", ["x"], ["s"]), node("Transpose", ["s"], ["t"]), node("Flatten", ["t"])]
    assert bounded_outputs(onnx.load(str(network(tmp_path / "a.onnx", through, rank=2)))) == ("y",)
    scaled = [node("Sigmoid", ["x"], ["s"]), node("Mul", ["s", "w"])]
    assert bounded_outputs(onnx.load(str(network(tmp_path / "b.onnx", scaled, {"w": 1e-9})))) == ()


STRINGS = node("Cast", ["x"], to=TensorProto.STRING)


@pytest.mark.parametrize(
    ("nodes", "kinds", "name"),
    [
        ([STRINGS], (TensorProto.FLOAT, TensorProto.STRING), "output y"),
        ([node("Cast", ["x"], to=TensorProto.BFLOAT16)], (TensorProto.FLOAT, TensorProto.BFLOAT16), "output y"),
        ([node("Cast", ["x"], to=TensorProto.FLOAT)], (TensorProto.BFLOAT16, TensorProto.FLOAT), "input x"),
        ([node("Cast", ["x"], to=TensorProto.FLOAT)], (TensorProto.STRING, TensorProto.FLOAT), "input x"),
    ],
    ids=["string-out", "bf16-out", "bf16-in", "string-in"],
)
def test_element_types_that_cannot_be_fed_are_refused_by_name(
    tmp_path: Path, nodes: list[Node], kinds: tuple[int, int], name: str
) -> None:
    with pytest.raises(UsageError, match=name):
        accepted(network(tmp_path / "net.onnx", nodes, kinds=kinds))


@pytest.mark.parametrize("kind", ["sequence", "optional"])
def test_inputs_that_are_no_tensors_are_refused_by_name(tmp_path: Path, kind: str) -> None:
    tensor = helper.make_tensor_type_proto(TensorProto.FLOAT, ["n", 8])
    made = {"sequence": helper.make_sequence_type_proto, "optional": helper.make_optional_type_proto}[kind](tensor)
    read = {
        "sequence": node("ConcatFromSequence", ["parts"], axis=1),
        "optional": node("OptionalGetElement", ["parts"]),
    }[kind]
    graph = helper.make_graph(
        [read],
        "net",
        [helper.make_value_info("parts", made)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", None])],
    )
    path = tmp_path / "net.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), str(path))
    with pytest.raises(UsageError, match=f"input parts of .* is .*{kind}"):
        accepted(path)


def test_a_spec_of_an_unknown_size_is_allocated_when_it_is_there(tmp_path: Path) -> None:
    from benchbox.backends.once import evaluate_graph

    path = network(
        tmp_path / "net.onnx",
        [node("NonZero", ["x"])],
        shape=(3,),
        kinds=(TensorProto.FLOAT, TensorProto.INT64),
    )
    feeds = [{"x": np.eye(3, dtype=np.float32)}, {"x": np.ones((3, 3), np.float32)}]
    outputs = evaluate_graph(
        path,
        feeds,
        inputs=[TensorSpec(name="x", dtype="float32", shape=(3, 3))],
        outputs=[TensorSpec(name="y", dtype="int64", shape=(None, None))],
        precision=Precision.FP32,
    )
    assert [made["y"].shape for made in outputs] == [(2, 3), (2, 9)]


def test_a_failure_on_assumed_inputs_says_what_was_assumed(tmp_path: Path) -> None:
    sizes = helper.make_tensor_value_info("sizes", TensorProto.INT64, [1])
    path = network(tmp_path / "net.onnx", [node("Reshape", ["x", "sizes"])], shape=(6,), rank=1)
    proto = onnx.load(str(path))
    proto.graph.input.append(sizes)
    onnx.save(proto, str(path))
    with pytest.raises(ArtifactError, match="does not run on what its inputs were assumed to be") as caught:
        accepted(path)
    assert "sizes: assumed: 1" in caught.value.values
    assert "--inputs FILE.npz" in caught.value.remedy


def test_what_the_runtime_lacks_is_not_blamed_on_the_inputs(tmp_path: Path) -> None:
    """ONNX Runtime's ConvInteger takes one zero point for all weights."""
    kinds = (TensorProto.UINT8, TensorProto.INT32)
    weights = {"w": np.ones((2, 4, 2, 2), np.uint8), "xz": np.uint8(1)}
    nodes = [node("ConvInteger", ["x", "w", "xz", "wz"])]
    path = network(tmp_path / "two.onnx", nodes, {**weights, "wz": np.array([0, 1], np.uint8)}, kinds=kinds)
    source = resolve(str(path), input_shape=None, weights=None)
    judged = artifact_from_source(source, precision=Precision.INT8, root=tmp_path)
    assert judged.expected_by.startswith("onnx.reference")
    assert judged.outputs_path is None


def listing(path: Path, *, gap: float = 1e-5, cut: int = 8) -> Path:
    """A detector's tail: sixteen scores in eight pairs, the second of a pair above the first by a small share."""
    sizes = np.repeat(np.linspace(1.0, 0.3, 8), 2) * np.tile([1.0, 1.0 + gap], 8)
    constants = {
        "w": np.outer([0.5, 0.3, 0.1, 0.1], sizes),
        "table": np.random.default_rng(0).uniform(0, 100, (16, 4)),
        "count": np.array([cut], np.int64),
    }
    nodes = [
        node("MatMul", ["x", "w"], ["product"]),
        node("Abs", ["product"], ["all"]),
        node("TopK", ["all", "count"], ["scores", "places"], axis=1),
        node("Gather", ["table", "places"], ["boxes"], axis=0),
        node("Unsqueeze", ["scores", "last"], ["column"]),
        node("Concat", ["boxes", "column"], ["y"], axis=2),
    ]
    return network(path, nodes, {**constants, "last": np.array([2], np.int64)}, shape=(4,), rank=3)


@pytest.mark.parametrize("precision", [Precision.FP16, Precision.BF16])
def test_rows_of_tied_scores_may_exchange_places(precision: Precision, tmp_path: Path) -> None:
    """In 16 bits the scores of a pair are equal, and the first of them comes first."""
    source = resolve(str(listing(tmp_path / "list.onnx")), input_shape=None, weights=None)
    made = artifact_from_source(source, precision=precision, root=tmp_path)
    assert made.ranked == ("y",)
    assert [hop.reordered for hop in made.hops] == [0, 8 * made.expected_samples]
    assert made.hops[-1].passed


def test_rows_whose_scores_differ_may_not_exchange_places(tmp_path: Path) -> None:
    """A list of seven rows ends within a pair: its last row is another one in fp16."""
    source = resolve(str(listing(tmp_path / "list.onnx", cut=7)), input_shape=None, weights=None)
    with pytest.raises(NumericsError, match="beyond tolerance"):
        artifact_from_source(source, precision=Precision.FP16, root=tmp_path)


def test_only_the_tail_of_a_detector_lists_rows_by_scores(tmp_path: Path) -> None:
    proto = onnx.load(str(listing(tmp_path / "list.onnx")))
    assert ranked_outputs(proto) == ("y",)
    proto.graph.node.append(node("MatMul", ["y", "more"], ["z"]))
    proto.graph.node.append(node("Relu", ["product"], ["early"]))
    proto.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("z", "early"))
    assert ranked_outputs(proto) == ("y",), "a product makes something else of the rows"
