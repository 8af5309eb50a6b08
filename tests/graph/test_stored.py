"""What follows from constants is a constant: for parameters, weight bytes, activations and work."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from graphs import cost_from_onnx, model_of, saved
from onnx import TensorProto, helper, numpy_helper

from benchbox.graph.stored import WHOLE, constants_of, holds_numbers, stored_tensors, with_dense_weights
from benchbox.schema.cost import NetworkCost

node = helper.make_node
RNG = np.random.default_rng(0)


def floats(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def network(*, as_nodes: bool) -> onnx.ModelProto:
    """Two convolutions and a linear layer, whose weights are initialisers or Constant nodes: 10,602 parameters."""
    weights = {
        "w1": floats(8, 3, 3, 3),
        "b1": floats(8),
        "w2": floats(16, 8, 1, 1),
        "fc": floats(16 * 64, 10),
        "fb": floats(10),
        "shape": np.array([0, -1], np.int64),
    }
    nodes = [
        node("Conv", ["x", "w1", "b1"], ["c1"], "conv1", pads=[1] * 4, strides=[2, 2]),
        node("Relu", ["c1"], ["r1"], "relu1"),
        node("Conv", ["r1", "w2"], ["c2"], "conv2"),
        node("Reshape", ["c2", "shape"], ["f"], "flat"),
        node("MatMul", ["f", "fc"], ["m"], "fc"),
        node("Add", ["m", "fb"], ["y"], "fc_bias"),
    ]
    if not as_nodes:
        return model_of(nodes, inputs={"x": ["N", 3, 16, 16]}, weights=weights)
    stored = [node("Constant", [], [name], value=numpy_helper.from_array(array)) for name, array in weights.items()]
    return model_of([*stored, *nodes], inputs={"x": ["N", 3, 16, 16]})


def sparse(name: str, array: np.ndarray) -> onnx.SparseTensorProto:
    """The values that are not zero, by their place in the flattened tensor."""
    places = np.flatnonzero(array)
    return helper.make_sparse_tensor(
        numpy_helper.from_array(array.ravel()[places], name), numpy_helper.from_array(places), list(array.shape)
    )


@pytest.mark.parametrize("form", ["initialiser", "node", "node with places of two numbers"])
def test_a_sparse_weight_counts_as_the_dense_one_that_it_stands_for(form: str, tmp_path: Path) -> None:
    weight = floats(16, 8)
    weight[weight < 0.5] = 0
    nodes = [node("MatMul", ["x", "w"], ["h"], "product"), node("Reshape", ["h", "shape"], ["y"], "reshape")]
    shape = np.array([0, 4, 2], np.int64)
    dense = model_of(nodes, inputs={"x": ["N", 16]}, weights={"w": weight, "shape": shape})
    stored = sparse("w", weight)
    if form.endswith("numbers"):
        pairs = np.argwhere(weight)
        values = numpy_helper.from_array(weight[weight != 0], "w")
        stored = helper.make_sparse_tensor(values, numpy_helper.from_array(pairs), [16, 8])
    if form == "initialiser":
        model = model_of(nodes, inputs={"x": ["N", 16]})
        model.graph.sparse_initializer.extend([stored, sparse("shape", shape)])
    else:
        constants = [
            node("Constant", [], ["w"], "w", sparse_value=stored),
            node("Constant", [], ["shape"], "s", sparse_value=sparse("shape", shape)),
        ]
        model = model_of([*constants, *nodes], inputs={"x": ["N", 16]})
    found, twin = (cost_from_onnx(saved(tmp_path / f"{k}.onnx", one)) for k, one in enumerate((model, dense)))
    assert (found.params, found.macs) == (128, 128)
    assert numbers(found) == numbers(twin)


def test_sparse_weights_are_written_out_and_large_ones_keep_their_shape_only() -> None:
    weight = floats(300, 300)
    weight[weight < 2] = 0
    model = model_of([node("MatMul", ["x", "w"], ["y"])], inputs={"x": ["N", 300]})
    model.graph.sparse_initializer.append(sparse("w", weight))
    shape_alone = stored_tensors(model.graph)["w"]
    assert (list(shape_alone.dims), holds_numbers(shape_alone)) == ([300, 300], False)
    (written,) = with_dense_weights(model, most=WHOLE).graph.initializer
    assert (numpy_helper.to_array(written) == weight).all()
    assert not model.graph.sparse_initializer


def numbers(cost: NetworkCost) -> tuple[int, ...]:
    return (
        cost.params,
        cost.macs,
        cost.flops,
        cost.weight_bytes,
        cost.activation_bytes,
        cost.peak_activation_bytes,
        sum(layer.weight_bytes for layer in cost.layers),
    )


def test_constant_nodes_are_weights(tmp_path: Path) -> None:
    costs = [
        cost_from_onnx(saved(tmp_path / f"{as_nodes}.onnx", network(as_nodes=as_nodes))) for as_nodes in (False, True)
    ]
    assert (costs[0].params, costs[0].weight_bytes) == (10_602, 42_424)
    assert numbers(costs[0]) == numbers(costs[1])


def derived(kind: str) -> tuple[list[onnx.NodeProto], dict[str, np.ndarray], int]:
    """How the (16, 8) weight "w" is made of what the file stores, that, and its bytes."""
    if kind == "cast":
        half = floats(16, 8).astype(np.float16)
        return [node("Cast", ["w16"], ["w"], "cast", to=TensorProto.FLOAT)], {"w16": half}, 256
    if kind == "transpose":
        return [node("Transpose", ["wt"], ["w"], "t", perm=[1, 0])], {"wt": floats(8, 16)}, 512
    if kind == "reshape":
        shape = np.array([16, 8], np.int64)
        return [node("Reshape", ["flat", "shape"], ["w"], "r")], {"flat": floats(128), "shape": shape}, 528
    if kind == "identity":
        return [node("Identity", ["own"], ["w"], "same")], {"own": floats(16, 8)}, 512
    if kind == "dequantised":
        stored = {"q": np.ones((16, 8), np.int8), "s": np.ones(8, np.float32), "z": np.zeros(8, np.int8)}
        return [node("DequantizeLinear", ["q", "s", "z"], ["w"], "dq", axis=1)], stored, 128 + 32 + 8
    stored = {"wt": floats(8, 16).astype(np.float16)}
    return (
        [
            node("Cast", ["wt"], ["w32"], "cast", to=TensorProto.FLOAT),
            node("Identity", ["w32"], ["same"], "same"),
            node("Transpose", ["same"], ["w"], "t", perm=[1, 0]),
        ],
        stored,
        256,
    )


@pytest.mark.parametrize("kind", ["cast", "transpose", "reshape", "identity", "dequantised", "several"])
def test_what_is_computed_from_weights_is_a_weight(kind: str, tmp_path: Path) -> None:
    nodes, weights, stored_bytes = derived(kind)
    weights["b"] = floats(8)
    model = model_of([*nodes, node("Gemm", ["x", "w", "b"], ["y"], "fc")], inputs={"x": ["N", 16]}, weights=weights)
    cost = cost_from_onnx(saved(tmp_path / "net.onnx", model))
    layers = {layer.name: layer for layer in cost.layers}
    assert (cost.params, layers["fc"].params) == (136, 136)
    assert cost.weight_bytes == layers["fc"].weight_bytes == stored_bytes + 32
    assert cost.flops == 2 * 128
    assert cost.activation_bytes == 32
    assert cost.peak_activation_bytes == 64 + 32


def test_what_depends_on_an_input_or_on_chance_is_no_constant() -> None:
    model = model_of(
        [
            node("Cast", ["w"], ["a"], to=TensorProto.FLOAT16),
            node("Add", ["x", "w"], ["b"]),
            node("RandomNormalLike", ["w"], ["c"]),
            node("Mul", ["c", "w"], ["d"]),
            node("Constant", [], ["e"], value_floats=[1.0, 2.0]),
            node("Add", ["e", "w"], ["f"]),
        ],
        inputs={"x": [2]},
        outputs=["b", "d"],
        weights={"w": floats(2)},
    )
    stored = stored_tensors(model.graph)
    assert constants_of(model.graph, stored) == {"w": ("w",), "e": ("e",), "a": ("w",), "f": ("e", "w")}
    assert list(stored["e"].dims) == [2]


def params(tmp_path: Path, nodes: Sequence[onnx.NodeProto], weights: dict[str, np.ndarray], shape: list[int]) -> int:
    model = model_of(nodes, inputs={"x": ["N", *shape]}, weights=weights)
    return cost_from_onnx(saved(tmp_path / "net.onnx", model), allow_unknown=True).params


def test_a_weight_that_two_layers_read_counts_once(tmp_path: Path) -> None:
    nodes = [
        node("Identity", ["w"], ["v"]),
        node("MatMul", ["x", "w"], ["a"]),
        node("MatMul", ["a", "v"], ["b"]),
        node("MatMul", ["b", "w"], ["y"]),
    ]
    assert params(tmp_path, nodes, {"w": floats(4, 4)}, [4]) == 16


def test_eight_bit_weights_count(tmp_path: Path) -> None:
    scale, zero = np.float32(0.1), np.uint8(0)
    table = {"t": np.ones((20, 4), np.uint8), "s": scale, "z": zero, "rows": np.arange(3)}
    nodes = [
        node("Gather", ["t", "rows"], ["g"]),
        node("DequantizeLinear", ["g", "s", "z"], ["d"]),
        node("Add", ["x", "d"], ["y"]),
    ]
    assert params(tmp_path, nodes, table, [3, 4]) == 80
    weights = {"w": np.ones((5, 3, 3, 3), np.int8), "b": np.ones(5, np.int32), "s": scale, "zx": zero, "zw": np.int8(0)}
    nodes = [
        node("QuantizeLinear", ["x", "s", "zx"], ["q"]),
        node("QLinearConv", ["q", "s", "zx", "w", "s", "zw", "s", "zx", "b"], ["c"]),
        node("DequantizeLinear", ["c", "s", "zx"], ["y"]),
    ]
    assert params(tmp_path, nodes, weights, [3, 8, 8]) == 135 + 5
    weights = {"w": np.ones((6, 4), np.int8), "ws": np.ones(4, np.float32), "b": floats(4)}
    nodes = [
        node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
        node("MatMulInteger", ["q", "w", "z"], ["m"]),
        node("Cast", ["m"], ["f"], to=TensorProto.FLOAT),
        node("Mul", ["s", "ws"], ["scale"]),
        node("Mul", ["f", "scale"], ["a"]),
        node("Add", ["a", "b"], ["y"]),
    ]
    assert params(tmp_path, nodes, weights, [6]) == 24 + 4


def recurrent(state: np.ndarray) -> dict[str, np.ndarray]:
    return {"w": floats(1, 28, 5), "r": floats(1, 28, 7), "b": floats(1, 56), "h": state}


@pytest.mark.parametrize(("state", "learnt"), [(np.zeros((1, 2, 7), np.float32), 0), (floats(1, 2, 7), 14)])
def test_a_state_of_zeros_is_no_parameter(state: np.ndarray, learnt: int, tmp_path: Path) -> None:
    nodes = [node("LSTM", ["x", "w", "r", "b", "", "h", "h"], ["y"], hidden_size=7)]
    model = model_of(nodes, inputs={"x": [6, 2, 5]}, weights=recurrent(state))
    assert cost_from_onnx(saved(tmp_path / "net.onnx", model)).params == 392 + learnt


def test_scales_sizes_and_literals_are_no_parameters(tmp_path: Path) -> None:
    sizes = {"scales": np.array([1, 1, 2, 2], np.float32), "low": np.float32(0), "two": np.float32(2)}
    nodes = [
        node("Resize", ["x", "", "scales"], ["a"], mode="nearest"),
        node("Clip", ["a", "low"], ["b"]),
        node("Pow", ["b", "two"], ["c"]),
        node("Mul", ["c", "two"], ["y"]),  # read twice: a literal
    ]
    assert params(tmp_path, nodes, sizes, [3, 4, 4]) == 0


def test_a_learnt_scalar_counts(tmp_path: Path) -> None:
    nodes = [node("Gemm", ["x", "w"], ["a"]), node("Mul", ["a", "t"], ["y"])]
    assert params(tmp_path, nodes, {"w": floats(16, 8), "t": np.float32(3)}, [16]) == 129
