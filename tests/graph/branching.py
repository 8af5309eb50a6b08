"""Networks with a branch and a loop that read tensors and weights of the graph around them."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

# What branches and loops read from outside: activations, and weights that convolutions and products outside read too.
CAPTURED = ("feat", "w2", "flat", "wf")


def tensor(name: str, *shape: int | str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def weight(name: str, *shape: int) -> onnx.TensorProto:
    values = np.random.default_rng(len(name) + sum(shape)).standard_normal(shape) / 3
    return numpy_helper.from_array(values.astype(np.float32), name)


def constant(name: str, value: float | np.integer) -> onnx.TensorProto:
    kind = np.float32 if isinstance(value, float) else None
    return numpy_helper.from_array(np.array(value, dtype=kind), name)


def body_of(
    nodes: list[onnx.NodeProto], carried: tuple[str, str], *, gathered: str | None = None, name: str = "body"
) -> onnx.GraphProto:
    """The body of a Loop that carries one [batch, 8] tensor and ends when its turns are over."""
    stay = helper.make_node("Identity", ["go"], ["on"], name=f"{name}_on")
    inputs = [
        helper.make_tensor_value_info("turn", TensorProto.INT64, []),
        helper.make_tensor_value_info("go", TensorProto.BOOL, []),
        tensor(carried[0], "batch", 8),
    ]
    outputs = [helper.make_tensor_value_info("on", TensorProto.BOOL, []), tensor(carried[1], "batch", 8)]
    outputs += [tensor(gathered, "batch", 8)] if gathered else []
    return helper.make_graph([*nodes, stay], name, inputs, outputs)


def branching(opset: int = 20) -> onnx.ModelProto:
    """A convolution, an If around another one, a third, and a Loop of three turns around a product; two outputs."""
    node = helper.make_node
    then = helper.make_graph(
        [node("Mul", ["feat", "scale"], ["t"], name="then_mul")], "then", [], [tensor("t", "batch", 8, 8, 8)]
    )
    other = helper.make_graph(
        [node("Conv", ["feat", "w2"], ["e"], pads=[1, 1, 1, 1], name="else_conv")],
        "else",
        [],
        [tensor("e", "batch", 8, 8, 8)],
    )
    body = body_of(
        [
            node("MatMul", ["state", "wf"], ["p"], name="loop_product"),
            node("Add", ["p", "flat"], ["q"], name="loop_add"),
            node("Tanh", ["q"], ["next"], name="loop_tanh"),
            node("Identity", ["next"], ["seen"], name="loop_seen"),
        ],
        ("state", "next"),
        gathered="seen",
    )
    nodes = [
        node("Conv", ["input", "w1"], ["feat"], pads=[1, 1, 1, 1], name="conv1"),
        node("ReduceMean", ["feat"], ["mean"], keepdims=0, name="mean"),
        node("Greater", ["mean", "limit"], ["large"], name="greater"),
        node("If", ["large"], ["chosen"], name="branch", then_branch=then, else_branch=other),
        node("Relu", ["chosen"], ["relu"], name="relu"),
        node("Conv", ["relu", "w2"], ["c2"], pads=[1, 1, 1, 1], name="conv2"),
        node("GlobalAveragePool", ["c2"], ["pool"], name="pool"),
        node("Flatten", ["pool"], ["flat"], name="flatten"),
        node("MatMul", ["flat", "wf"], ["start"], name="product"),
        node("Loop", ["turns", "", "start"], ["last", "all"], name="loop", body=body),
        node("MatMul", ["last", "head"], ["y"], name="head"),
        node("ReduceL2", ["all"], ["z"], keepdims=0, name="length"),
    ]
    weights = [weight("w1", 8, 3, 3, 3), weight("w2", 8, 8, 3, 3), weight("wf", 8, 8), weight("head", 8, 8)]
    weights += [constant("scale", 2.0), constant("limit", 0.0), constant("turns", np.int64(3))]
    graph = helper.make_graph(
        nodes, "net", [tensor("input", "batch", 3, 8, 8)], [tensor("y", "batch", 8), tensor("z")], weights
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def sample_of_branching() -> dict[str, np.ndarray]:
    return {"input": np.random.default_rng(1).standard_normal((2, 3, 8, 8)).astype(np.float32)}


def looping_alone() -> onnx.ModelProto:
    """A network whose only product is inside of a Loop."""
    body = body_of([helper.make_node("MatMul", ["state", "wf"], ["next"], name="inner")], ("state", "next"))
    nodes = [
        helper.make_node("Relu", ["input"], ["start"], name="relu"),
        helper.make_node("Loop", ["turns", "", "start"], ["y"], name="loop", body=body),
    ]
    weights = [weight("wf", 8, 8), constant("turns", np.int64(3))]
    graph = helper.make_graph(nodes, "net", [tensor("input", "batch", 8)], [tensor("y", "batch", 8)], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=8)


def in_half(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The same network with every tensor in fp16, inside of branches and loops and at the border too."""
    graphs = [proto.graph, *(entry.g for node in proto.graph.node for entry in node.attribute if entry.HasField("g"))]
    for graph in graphs:
        for value in (*graph.input, *graph.output):
            if value.type.tensor_type.elem_type == TensorProto.FLOAT:
                value.type.tensor_type.elem_type = TensorProto.FLOAT16
        for stored in graph.initializer:
            if stored.data_type == TensorProto.FLOAT:
                stored.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(stored).astype(np.float16), stored.name))
    return proto


def outputs_of(proto: onnx.ModelProto, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
    """By ONNX Runtime as the file says: onnx's evaluator gathers nothing in a Loop without a condition."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    made: list[np.ndarray] = session.run(None, feed)
    return made
