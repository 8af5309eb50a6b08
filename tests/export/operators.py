"""Small graphs of one operator each, between a ReLU and nothing, for the tests of passes over graphs."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SHAPE = (1, 4, 6, 6)
OPSET = 20


def _weights(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape)).normal(0, 0.3, shape).astype(np.float32)


def _number(value: float) -> np.ndarray:
    return np.array(value, dtype=np.float32)


def _whole(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


@dataclass(frozen=True, kw_only=True)
class Operator:
    """Constants that an operator reads behind its first input, its attributes, and how many outputs it has."""

    constants: tuple[np.ndarray, ...] = ()
    attributes: dict[str, object] = field(default_factory=dict)
    outputs: int = 1


_PLAIN = (
    "Relu", "Sigmoid", "Tanh", "Elu", "Selu", "LeakyRelu", "HardSigmoid", "HardSwish", "Mish", "Gelu",
    "Softplus", "Softsign", "Exp", "Abs", "Neg", "Erf", "Floor", "Ceil", "Round", "Sin", "Cos", "Identity",
    "Flatten", "Sign", "Celu", "ThresholdedRelu", "Sqrt", "Sum", "Softmax", "LogSoftmax", "GlobalAveragePool",
    "GlobalMaxPool"
)  # fmt: skip
_PAIRS = {name: _weights(4, 1, 1) for name in ("Add", "Sub", "Mul", "Max", "Min", "PRelu")}
OPERATORS: dict[str, Operator] = {
    **{name: Operator() for name in _PLAIN},
    **{name: Operator(constants=(constant,)) for name, constant in _PAIRS.items()},
    **{f"Reduce{kind}": Operator(constants=(_whole(2, 3),)) for kind in ("Mean", "Sum", "Max", "L2")},
    "Div": Operator(constants=(np.abs(_weights(4, 1, 1)) + 1,)),
    "Pow": Operator(constants=(_number(2),)),
    "Clip": Operator(constants=(_number(0), _number(6))),
    "Conv": Operator(constants=(_weights(8, 4, 3, 3), _weights(8)), attributes={"pads": [1, 1, 1, 1]}),
    "ConvTranspose": Operator(constants=(_weights(4, 8, 3, 3), _weights(8))),
    "MatMul": Operator(constants=(_weights(6, 5),)),
    "Einsum": Operator(attributes={"equation": "nchw->nhwc"}),
    "MaxPool": Operator(attributes={"kernel_shape": [2, 2]}),
    "AveragePool": Operator(attributes={"kernel_shape": [2, 2]}),
    "LpPool": Operator(attributes={"kernel_shape": [2, 2]}),
    "BatchNormalization": Operator(constants=(np.abs(_weights(4)), _weights(4), _weights(4), np.abs(_weights(4)) + 1)),
    "InstanceNormalization": Operator(constants=(_weights(4), _weights(4))),
    "LayerNormalization": Operator(constants=(_weights(6), _weights(6))),
    "LRN": Operator(attributes={"size": 3}),
    "Reshape": Operator(constants=(_whole(1, -1),)),
    "Transpose": Operator(attributes={"perm": [0, 2, 3, 1]}),
    "Concat": Operator(constants=(_weights(*SHAPE),), attributes={"axis": 1}),
    "Slice": Operator(constants=(_whole(0), _whole(2), _whole(1))),
    "Gather": Operator(constants=(_whole(0, 2),), attributes={"axis": 1}),
    "Pad": Operator(constants=(_whole(0, 0, 1, 1, 0, 0, 1, 1),)),
    "Squeeze": Operator(constants=(_whole(0),)),
    "Unsqueeze": Operator(constants=(_whole(0),)),
    "Expand": Operator(constants=(_whole(2, 4, 6, 6),)),
    "Tile": Operator(constants=(_whole(1, 1, 2, 1),)),
    "DepthToSpace": Operator(attributes={"blocksize": 2}),
    "Split": Operator(constants=(_whole(2, 2),), attributes={"axis": 1}, outputs=2),
    "TopK": Operator(constants=(_whole(3),), attributes={"axis": 1}, outputs=2),
    "CumSum": Operator(constants=(np.array(1, dtype=np.int64),)),
}


def model_of_operator(name: str) -> onnx.ModelProto:
    """A graph from ``input`` through a ReLU (``first``) and the operator (``tested``) to ``output``."""
    operator = OPERATORS[name]
    constants = [numpy_helper.from_array(array, f"constant{i}") for i, array in enumerate(operator.constants)]
    outputs = ["output", "second"][: operator.outputs]
    nodes = [
        helper.make_node("Relu", ["input"], ["middle"], name="first"),
        helper.make_node(
            name, ["middle", *(tensor.name for tensor in constants)], outputs, name="tested", **operator.attributes
        ),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, SHAPE)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, None)],
        constants,
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
    output = onnx.shape_inference.infer_shapes(proto).graph.output[0]
    del proto.graph.output[:]
    proto.graph.output.append(output)
    return proto


def sample() -> dict[str, np.ndarray]:
    """An input of these graphs, in eighths: exact in both formats, so that steps (Round, TopK) are where they were."""
    values = np.random.default_rng(7).normal(0.5, 1, SHAPE)
    return {"input": (np.round(values * 8) / 8).astype(np.float32)}
