"""Bad layers that were put into networks on purpose are found, and no other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchbox.errors import ArtifactError, UsageError
from benchbox.export.exporting import artifact_from_source
from benchbox.export.precision.bisection import BisectionRequest, bisection_from_request
from benchbox.models.sources import resolve
from benchbox.schema.accuracy import Bisection
from benchbox.schema.derivation import Derivation
from benchbox.schema.model import Precision
from benchbox.stats.agreement import TOLERANCES, Tolerance

WIDTH = 32


def saved(path: Path, scales: dict[str, float], nodes: list[onnx.NodeProto]) -> str:
    """A network of dense layers, each with seeded weights of its own scale."""
    rng = np.random.default_rng(5)
    weights = [
        numpy_helper.from_array((rng.normal(0, WIDTH**-0.5, (WIDTH, WIDTH)) * scale).astype(np.float32), f"{name}.w")
        for name, scale in scales.items()
    ]
    border = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", WIDTH]) for name in ("input", "output")]
    graph = helper.make_graph(nodes, "net", border[:1], border[1:], weights)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(proto, full_check=True)
    onnx.save(proto, str(path))
    return str(path)


def dense(name: str, source: str, target: str) -> onnx.NodeProto:
    return helper.make_node("MatMul", [source, f"{name}.w"], [target], name=name)


def one_bad_layer(path: Path) -> str:
    """The weights of ``bad[1]`` are beyond fp16's range, what it reads and writes is not."""
    nodes = [
        dense("small", "input", "a"),
        helper.make_node("Tanh", ["a"], ["b"], name="tanh"),
        dense("bad[1]", "b", "c"),
        dense("last", "c", "output"),
    ]
    return saved(path, {"small": 1e-3, "bad[1]": 1e6, "last": 1e-2}, nodes)


def overflowing(path: Path) -> str:
    """What ``up`` writes is beyond fp16's range, ``relu`` hands it on, ``down`` brings it back."""
    nodes = [
        dense("first", "input", "a"),
        dense("up", "a", "b"),
        helper.make_node("Relu", ["b"], ["c"], name="relu"),
        dense("down", "c", "d"),
        dense("last", "d", "output"),
    ]
    return saved(path, {"first": 10.0, "up": 3e4, "down": 1e-3, "last": 1.0}, nodes)


def bisected(
    path: str, root: Path, precision: Precision = Precision.FP16, *, tolerance: Tolerance | None = None
) -> Bisection:
    source = resolve(path, input_shape=None, weights=None)
    original = artifact_from_source(source, precision=Precision.FP32, root=root)
    request = BisectionRequest(
        original=original,
        source=source,
        precision=precision,
        derivation=Derivation(),
        tolerance=tolerance or TOLERANCES[precision],
        root=root,
    )
    return bisection_from_request(request)


def test_one_bad_layer_is_named(tmp_path: Path) -> None:
    found = bisected(one_bad_layer(tmp_path / "net.onnx"), tmp_path)
    assert not found.before.passed
    assert found.exclude == ("bad[1]",)
    assert found.restored.passed
    worst = found.layers[0]
    assert (worst.node, worst.op) == ("bad[1]", "MatMul")
    assert worst.before < 1e-2 < worst.after
    assert worst.added == pytest.approx((worst.after**2 - worst.before**2) ** 0.5)
    assert {layer.node for layer in found.layers} == {"small", "tanh", "bad[1]", "last"}


def test_an_overflow_is_the_layers_that_write_and_read_it(tmp_path: Path) -> None:
    found = bisected(overflowing(tmp_path / "net.onnx"), tmp_path)
    assert found.before.rel_l2_error == float("inf")
    assert found.exclude == ("up", "relu", "down")
    assert found.restored.passed
    assert found.layers[0].node == "up"
    assert found.layers[0].added == float("inf")
    assert [layer.added for layer in found.layers if layer.node in {"relu", "down"}] == [0.0, 0.0]


def old_with_a_function(path: Path) -> str:
    """Opset 7, a scalar inside, and a layer that is a local function."""
    body = [helper.make_node("MatMul", ["a", "b"], ["c"]), helper.make_node("Tanh", ["c"], ["d"])]
    layer = helper.make_function("local", "Layer", ["a", "b"], ["d"], body, [helper.make_opsetid("", 7)])
    nodes = [
        helper.make_node("Layer", ["input", "first.w"], ["h"], domain="local"),
        helper.make_node("ReduceMax", ["h"], ["most"], keepdims=0),
        helper.make_node("Add", ["h", "most"], ["moved"]),
        helper.make_node("MatMul", ["moved", "last.w"], ["output"]),
    ]
    names = ("input", "first.w", "last.w", "output")
    shapes = ([4, WIDTH], [WIDTH, WIDTH], [WIDTH, WIDTH], [4, WIDTH])
    border = [helper.make_tensor_value_info(name, 1, shape) for name, shape in zip(names, shapes, strict=True)]
    rng = np.random.default_rng(5)
    weights = [
        numpy_helper.from_array(rng.normal(0, WIDTH**-0.5, (WIDTH, WIDTH)).astype(np.float32), name)
        for name in names[1:3]
    ]
    graph = helper.make_graph(nodes, "net", border[:3], border[3:], weights)
    opsets = [helper.make_opsetid("", 7), helper.make_opsetid("local", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8, functions=[layer]), str(path))
    return str(path)


@pytest.mark.parametrize("precision", [Precision.FP16, Precision.INT8])
def test_old_graphs_with_functions_and_scalars_are_compared(precision: Precision, tmp_path: Path) -> None:
    found = bisected(old_with_a_function(tmp_path / "net.onnx"), tmp_path, precision)
    assert found.before.passed
    assert sum(layer.node.startswith("MatMul") or "MatMul" in layer.node for layer in found.layers) == 2


def test_the_same_network_is_within_tolerance_in_bf16(tmp_path: Path) -> None:
    found = bisected(overflowing(tmp_path / "net.onnx"), tmp_path, Precision.BF16)
    assert found.before.passed
    assert found.exclude == ()
    assert found.before == found.restored
    assert found.before.target == "onnx-bf16-emulated"
    assert len(found.layers) == 5


@pytest.mark.parametrize("precision", [Precision.BF16, Precision.FP16, Precision.INT8, Precision.FP8])
def test_a_tighter_tolerance_is_restored(precision: Precision, tmp_path: Path) -> None:
    path = one_bad_layer(tmp_path / "net.onnx")
    loose = bisected(path, tmp_path, precision, tolerance=Tolerance(rel_l2_error=1e3, cosine=-1))
    assert loose.exclude == ()
    less = Tolerance(rel_l2_error=0.8 * loose.before.rel_l2_error, cosine=-1)
    found = bisected(path, tmp_path, precision, tolerance=less)
    assert found.exclude
    assert found.restored.rel_l2_error <= less.rel_l2_error
    assert found.conversions > 2


def test_what_no_list_restores_is_an_error_with_its_numbers(tmp_path: Path) -> None:
    """One layer at least must be left to quantise."""
    with pytest.raises(ArtifactError, match=r"(?s)no exclude list.*net in int8.*1e-07.*2 of 3 layers excluded"):
        bisected(
            one_bad_layer(tmp_path / "net.onnx"),
            tmp_path,
            Precision.INT8,
            tolerance=Tolerance(rel_l2_error=1e-7, cosine=-1),
        )


def test_the_only_layer_that_is_quantised_cannot_be_excluded(tmp_path: Path) -> None:
    """Nothing would be left without it, which is no fault of the user's."""
    nodes = [dense("only", "input", "a"), helper.make_node("Relu", ["a"], ["output"], name="relu")]
    path = saved(tmp_path / "net.onnx", {"only": 1.0}, nodes)
    with pytest.raises(ArtifactError, match=r"(?s)no exclude list.*net in int8.*0 of 1 layers excluded"):
        bisected(path, tmp_path, Precision.INT8, tolerance=Tolerance(rel_l2_error=1e-7, cosine=-1))


def test_outputs_whose_sizes_nobody_knows_are_named(tmp_path: Path) -> None:
    """Parts of a sequence: onnx's inference says nothing of their sizes."""
    nodes = [
        dense("only", "input", "a"),
        helper.make_node("SplitToSequence", ["a"], ["parts"], name="split", axis=1),
        helper.make_node("ConcatFromSequence", ["parts"], ["output"], name="join", axis=1),
    ]
    proto = onnx.load(saved(tmp_path / "net.onnx", {"only": 1.0}, nodes))
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    onnx.save(proto, str(tmp_path / "net.onnx"))
    with pytest.raises(ArtifactError, match=r"(?s)outputs of net cannot be compared.*output: no fp32 tensor"):
        bisected(str(tmp_path / "net.onnx"), tmp_path)


@pytest.mark.parametrize("precision", [Precision.FP16, Precision.INT8])
def test_sizes_that_a_file_claims_wrongly_do_no_harm(precision: Precision, tmp_path: Path) -> None:
    nodes = [dense("only", "input", "a"), dense("other", "a", "b"), helper.make_node("Relu", ["b"], ["output"], "relu")]
    proto = onnx.load(saved(tmp_path / "net.onnx", {"only": 1.0, "other": 1.0}, nodes))
    proto.graph.value_info.append(helper.make_tensor_value_info("a", TensorProto.FLOAT, ["batch", 2 * WIDTH]))
    onnx.save(proto, str(tmp_path / "net.onnx"))
    found = bisected(str(tmp_path / "net.onnx"), tmp_path, precision)
    assert {layer.node for layer in found.layers} >= {"only", "other"}


def test_a_spectrum_has_the_sizes_that_it_has(tmp_path: Path) -> None:
    """onnx's inference says 16 frequencies of a frame of 16, of which the default, one side, has 9."""
    nodes = [helper.make_node("STFT", ["input", "step", "window"], ["output"], name="spectrum")]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 64, 1])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["batch", 7, 9, 2])],
        [
            numpy_helper.from_array(np.array(8), "step"),
            numpy_helper.from_array(np.hanning(16).astype(np.float32), "window"),
        ],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "net.onnx"
    )
    found = bisected(str(tmp_path / "net.onnx"), tmp_path)
    assert [layer.node for layer in found.layers] == ["spectrum"]


def test_a_norm_written_in_steps_is_bisected(tmp_path: Path) -> None:
    """ONNX Runtime fuses its steps, and fails where some of them are in fp32 and some in fp16."""
    constants = {"two": 2.0, "epsilon": 1e-12, "gain": [1.5] * WIDTH, "shift": [0.5] * WIDTH}
    nodes = [
        dense("only", "input", "a"),
        helper.make_node("ReduceMean", ["a"], ["mean"], name="mean", axes=[-1]),
        helper.make_node("Sub", ["a", "mean"], ["d"], name="sub"),
        helper.make_node("Pow", ["d", "two"], ["square"], name="square"),
        helper.make_node("ReduceMean", ["square"], ["variance"], name="variance", axes=[-1]),
        helper.make_node("Add", ["variance", "epsilon"], ["safe"], name="safe"),
        helper.make_node("Sqrt", ["safe"], ["deviation"], name="deviation"),
        helper.make_node("Div", ["d", "deviation"], ["n"], name="divide"),
        helper.make_node("Mul", ["n", "gain"], ["g"], name="scale"),
        helper.make_node("Add", ["g", "shift"], ["output"], name="shift_by"),
    ]
    weights = [numpy_helper.from_array(np.array(value, np.float32), name) for name, value in constants.items()]
    weights.append(numpy_helper.from_array(np.eye(WIDTH, dtype=np.float32), "only.w"))
    border = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", WIDTH]) for name in ("input", "output")]
    graph = helper.make_graph(nodes, "net", border[:1], border[1:], weights)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "net.onnx"
    )
    found = bisected(str(tmp_path / "net.onnx"), tmp_path, tolerance=Tolerance(rel_l2_error=1e-5, cosine=-1))
    assert found.restored.passed


def test_a_precision_without_a_graph_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="tf32 cannot be bisected"):
        bisected(
            one_bad_layer(tmp_path / "net.onnx"),
            tmp_path,
            Precision.TF32,
            tolerance=Tolerance(rel_l2_error=0.1, cosine=0.9),
        )
