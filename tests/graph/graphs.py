"""Small ONNX files for tests of the cost model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchbox.cost.counting import cost_from_graph
from benchbox.graph.graph import graph_from_file
from benchbox.schema.cost import NetworkCost

Dims = Sequence[int | str | None]


def model_of(
    nodes: Sequence[onnx.NodeProto],
    *,
    inputs: Mapping[str, Dims],
    outputs: Sequence[str] | None = None,
    weights: Mapping[str, np.ndarray] | None = None,
    functions: Sequence[onnx.FunctionProto] = (),
    opset: int = 20,
) -> onnx.ModelProto:
    """A model of float32 inputs; its outputs are those of the last node unless they are named."""
    graph = helper.make_graph(
        list(nodes),
        "net",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs or nodes[-1].output],
        [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()],
    )
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("com.example", 1)]
    return helper.make_model(graph, opset_imports=imports, functions=list(functions))


def saved(path: Path, model: onnx.ModelProto) -> Path:
    """The path, once the model is written there."""
    path.write_bytes(model.SerializeToString())
    return path


def cost_from_onnx(
    path: Path,
    *,
    model: str = "net",
    batch: int | None = None,
    input_shape: tuple[int, ...] | None = None,
    named: Mapping[str, tuple[int, ...]] | None = None,
    allow_unknown: bool = False,
) -> NetworkCost:
    """The cost of a file, as ``benchbox flops`` counts it."""
    graph = graph_from_file(path, batch=batch, input_shape=input_shape, named=named)
    return cost_from_graph(graph, model=model, sha256="", allow_unknown=allow_unknown)


def small_network() -> onnx.ModelProto:
    """Convolution, activation, pool, dense layer: (N, 3, 8, 8) to (N, 10); 3·8·9·64 + 10·128 = 15,104 MACs."""
    node = helper.make_node
    return model_of(
        [
            node("Conv", ["x", "conv.weight", "conv.bias"], ["a"], name="conv", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
            node("Relu", ["a"], ["b"], name="relu"),
            node("MaxPool", ["b"], ["c"], name="pool", kernel_shape=[2, 2], strides=[2, 2]),
            node("Reshape", ["c", "shape"], ["d"], name="reshape"),
            node("Gemm", ["d", "fc.weight", "fc.bias"], ["y"], name="fc", transB=1),
        ],
        inputs={"x": ["batch", 3, 8, 8]},
        weights={
            "conv.weight": np.ones((8, 3, 3, 3), np.float32),
            "conv.bias": np.ones(8, np.float32),
            "shape": np.array([-1, 128], np.int64),
            "fc.weight": np.ones((10, 128), np.float32),
            "fc.bias": np.ones(10, np.float32),
        },
    )


SMALL_NETWORK_MACS = 8 * 64 * 27 + 1280
