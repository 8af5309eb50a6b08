"""What do the eight-bit products of a file give where no kernel can saturate?

On x86 without VNNI sums of two products of an unsigned and a signed byte are kept in 16 bits, and saturate. A judge
must not share that: QLinearConv, QLinearMatMul, ConvInteger and MatMulInteger are written as what they mean, a
convolution or a product of the dequantised or widened numbers. Sums below 2^24 are exact in fp32, larger ones are off
by some 1e-7 of their size.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from benchbox.graph.opset import STANDARD_DOMAINS, standard_opset
from benchbox.graph.stored import stored_tensors

if TYPE_CHECKING:
    import onnx

_Made = Iterator["onnx.NodeProto"]
# The opset in which DequantizeLinear got an axis.
_PER_AXIS = 13


def with_exact_products(proto: onnx.ModelProto) -> onnx.ModelProto | None:
    """A copy without eight-bit products of ONNX's own operators, as far as they can be written so; None without any."""
    nodes, opset = list(proto.graph.node), standard_opset(proto)
    dims = {name: list(tensor.dims) for name, tensor in stored_tensors(proto.graph).items()}
    places = {place for place, node in enumerate(nodes) if _is_writable(node, dims, opset)}
    if not places:
        return None
    made = copy.deepcopy(proto)
    del made.graph.node[:]
    for place, node in enumerate(nodes):
        written = _PRODUCTS[node.op_type](node, f"benchbox.exact.{place}", opset) if place in places else [node]
        made.graph.node.extend(written)
    return made


def has_products(graph: onnx.GraphProto) -> bool:
    """Whether a graph holds eight-bit products of ONNX's own operators."""
    return any(node.op_type in _PRODUCTS and node.domain in STANDARD_DOMAINS for node in graph.node)


def _is_writable(node: onnx.NodeProto, dims: Mapping[str, list[int]], opset: int) -> bool:
    """Whether it is such a product, with scales and zero points that broadcast or that DequantizeLinear takes."""
    if node.op_type not in _PRODUCTS or node.domain not in STANDARD_DOMAINS:
        return False

    def is_one(place: int) -> bool:
        return place >= len(node.input) or math.prod(dims.get(node.input[place], [])) == 1

    if node.op_type == "ConvInteger":
        return is_one(2) and is_one(3)
    if node.op_type == "MatMulInteger":
        return is_one(2)
    return opset >= _PER_AXIS or (is_one(1) and is_one(4))


def _convolved(node: onnx.NodeProto, prefix: str, opset: int) -> _Made:
    """QLinearConv: x and its scale and zero point, w and its own, those of y, a bias in the scale of the products."""
    from onnx import TensorProto, helper

    x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero, *bias = node.input
    yield helper.make_node("DequantizeLinear", [x, x_scale, x_zero], [f"{prefix}.x"])
    yield _dequantised([w, w_scale, w_zero], f"{prefix}.w", 0, opset)
    inputs = [f"{prefix}.x", f"{prefix}.w"]
    if bias and bias[0]:
        yield helper.make_node("Cast", [bias[0]], [f"{prefix}.sums"], to=TensorProto.FLOAT)
        yield helper.make_node("Mul", [x_scale, w_scale], [f"{prefix}.step"])
        yield helper.make_node("Mul", [f"{prefix}.sums", f"{prefix}.step"], [f"{prefix}.b"])
        inputs.append(f"{prefix}.b")
    yield _like(node, "Conv", inputs, f"{prefix}.y")
    yield helper.make_node("QuantizeLinear", [f"{prefix}.y", y_scale, y_zero], list(node.output))


def _multiplied(node: onnx.NodeProto, prefix: str, opset: int) -> _Made:
    """QLinearMatMul: a and b with their scales and zero points, those of y."""
    from onnx import helper

    a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero = node.input
    for name, (data, scale, zero) in {"a": (a, a_scale, a_zero), "b": (b, b_scale, b_zero)}.items():
        # Scales of rows or columns lie along the axis that they belong to.
        yield _dequantised([data, scale, zero], f"{prefix}.{name}", -2 if name == "a" else -1, opset)
    yield helper.make_node("MatMul", [f"{prefix}.a", f"{prefix}.b"], [f"{prefix}.y"])
    yield helper.make_node("QuantizeLinear", [f"{prefix}.y", y_scale, y_zero], list(node.output))


def _summed(operator: str) -> Callable[[onnx.NodeProto, str, int], _Made]:
    """ConvInteger and MatMulInteger: the sums themselves, of the numbers less their zero points."""

    def made(node: onnx.NodeProto, prefix: str, opset: int) -> _Made:
        from onnx import TensorProto, helper

        parts = []
        for place in (0, 1):
            wide = f"{prefix}.{place}"
            yield helper.make_node("Cast", [node.input[place]], [wide], to=TensorProto.FLOAT)
            zero = node.input[place + 2] if len(node.input) > place + 2 else ""
            if zero:
                yield helper.make_node("Cast", [zero], [f"{wide}.zero"], to=TensorProto.FLOAT)
                yield helper.make_node("Sub", [wide, f"{wide}.zero"], [f"{wide}.shifted"])
                wide = f"{wide}.shifted"
            parts.append(wide)
        yield _like(node, operator, parts, f"{prefix}.y")
        yield helper.make_node("Cast", [f"{prefix}.y"], list(node.output), to=TensorProto.INT32)

    return made


def _dequantised(inputs: list[str], output: str, axis: int, opset: int) -> onnx.NodeProto:
    from onnx import helper

    plain = helper.make_node("DequantizeLinear", inputs, [output])
    plain.attribute.extend([helper.make_attribute("axis", axis)] if opset >= _PER_AXIS else [])
    return plain


def _like(node: onnx.NodeProto, operator: str, inputs: list[str], output: str) -> onnx.NodeProto:
    from onnx import helper

    plain = helper.make_node(operator, inputs, [output], node.name)
    plain.attribute.extend(node.attribute)
    return plain


_PRODUCTS: dict[str, Callable[[onnx.NodeProto, str, int], _Made]] = {
    "QLinearConv": _convolved,
    "QLinearMatMul": _multiplied,
    "ConvInteger": _summed("Conv"),
    "MatMulInteger": _summed("MatMul"),
}
