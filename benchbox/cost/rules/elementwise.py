"""What do functions of single elements cost?

Each basic operation (addition, multiplication, division, comparison, root, exponential, logarithm, trigonometric
function) counts one. That is a convention, not a cycle count: it says how many operations the formula has.
"""

from __future__ import annotations

from benchbox.cost.rule import RULES, OpCost
from benchbox.graph.node import NodeView

# Operations per output element, from the formula of the ONNX operator.
PER_ELEMENT: dict[str, int] = {
    # one operation
    **dict.fromkeys(
        [
            "Add",
            "Sub",
            "Mul",
            "Div",
            "Mod",
            "Pow",
            "Min",
            "Max",
            "Relu",
            "Neg",
            "Abs",
            "Sqrt",
            "Reciprocal",
            "Exp",
            "Log",
            "Floor",
            "Ceil",
            "Round",
            "Sign",
            "Sin",
            "Cos",
            "Tan",
            "Asin",
            "Acos",
            "Atan",
            "Sinh",
            "Cosh",
            "Asinh",
            "Acosh",
            "Atanh",
            "Erf",
            "Tanh",
            "Equal",
            "Greater",
            "GreaterOrEqual",
            "Less",
            "LessOrEqual",
            "And",
            "Or",
            "Xor",
            "Not",
            "BitwiseAnd",
            "BitwiseOr",
            "BitwiseXor",
            "BitwiseNot",
            "BitShift",
            "Where",
            "IsNaN",
            "IsInf",
            # one draw
            "Bernoulli",
            "Multinomial",
            "RandomNormal",
            "RandomNormalLike",
            "RandomUniform",
            "RandomUniformLike",
        ],
        1,
    ),
    "Clip": 2,  # two comparisons
    "LeakyRelu": 2,  # comparison, product
    "PRelu": 2,
    "ThresholdedRelu": 1,
    "Shrink": 3,  # two comparisons, one sum
    "Elu": 4,  # comparison, exp, difference, product
    "Celu": 5,  # Elu with a division
    "Selu": 5,  # Elu with a second product
    "Sigmoid": 4,  # negation, exp, sum, division
    "HardSigmoid": 4,  # product, sum, two comparisons
    "HardSwish": 5,  # HardSigmoid with constants, times x
    "Swish": 5,  # Sigmoid, times x
    "SwiGLU": 6,  # Swish of the gate, times the other input
    "Softplus": 3,  # exp, sum, log
    "Softsign": 3,  # absolute value, sum, division
    "Mish": 5,  # Softplus, tanh, product
    "Gelu": 5,  # x/2 · (1 + erf(x/√2)): division, erf, sum, two products
}


def per_element(node: NodeView) -> OpCost:
    """Operations per element times elements of the output."""
    return OpCost(elementwise=PER_ELEMENT[node.op] * node.outputs[0].elements)


def joined(node: NodeView) -> OpCost:
    """Sum and Mean of n tensors: n-1 additions, for Mean one division."""
    count = len(node.inputs) - (1 if node.op == "Sum" else 0)
    return OpCost(elementwise=count * node.outputs[0].elements)


for _operator in PER_ELEMENT:
    RULES.register(_operator, per_element)
for _operator in ("Sum", "Mean"):
    RULES.register(_operator, joined)
