"""Which ONNX file holds one operator alone, to see how fast a device is at most?

``gemm:M,N,K`` is one matrix product of two inputs, so that nothing can be folded or packed ahead of time.
``conv:M,N,K`` is the same arithmetic as networks have it: a 1x1 convolution of K to N channels over M pixels with
constant weights, which runtimes pack. ``stream:OP:BYTES`` is one elementwise operator that moves so many bytes. Nothing
has a batch axis.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchbox.schema.artifact import BatchRange, Drawn, OnnxArtifact, TensorSpec, Values
from benchbox.schema.model import Precision
from benchbox.stats.inputs import arrays_of_samples
from benchbox.tensor_types import array_type

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

OPSET = 21
STREAMS = ("add", "relu")
# Of each side 8-bit values of 6 bits: pairs of products then fit in 16 bits, and no kernel saturates.
_SMALL = 64
_BY = "numpy, in fp32"
_TYPES = {"float32": "FLOAT", "float16": "FLOAT16", "uint8": "UINT8", "int8": "INT8"}


@dataclass(frozen=True, kw_only=True)
class _Operation:
    """One operator of two operands; ``constant`` says whether the second is an initializer."""

    operator: str
    first: tuple[int, ...]
    second: tuple[int, ...]
    made: tuple[int, ...]
    constant: bool = False

    def of(self, a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float32]:
        """The result in fp32."""
        a, b = a.astype(np.float32), b.astype(np.float32)
        if self.operator == "MatMul":
            return np.asarray(a @ b, dtype=np.float32)
        pixels = b.reshape(b.shape[:2]) @ a.reshape(a.shape[1], -1)
        return np.asarray(pixels.reshape(self.made), dtype=np.float32)


def gemm_artifact(
    root: Path, shape: tuple[int, int, int], precision: Precision, *, unsigned: bool = True
) -> OnnxArtifact:
    """Writes one MatMul with its expected outputs under a root.

    Args:
        root: a folder of the caller's.
        shape: M, N and K: (M, K) times (K, N).
        precision: fp32 (as which a converting backend is given the file too), fp16, or int8: dequantised 8-bit inputs
            and a quantised output, which runtimes fuse into an 8-bit product.
        unsigned: in int8 the first operand is unsigned, as CPUs have it; else both are signed, as GPUs have it.
    """
    m, n, k = shape
    operation = _Operation(operator="MatMul", first=(m, k), second=(k, n), made=(m, n))
    return _of_two(root, f"gemm:{m},{n},{k}", operation, precision, unsigned=unsigned)


def convolution_artifact(
    root: Path, shape: tuple[int, int, int], precision: Precision, *, unsigned: bool = True
) -> OnnxArtifact:
    """Writes one 1x1 convolution with constant weights: the arithmetic of ``gemm_artifact`` with the same arguments.

    Raises ValueError where M, the number of pixels, is no square.
    """
    m, n, k = shape
    side = math.isqrt(m)
    if side * side != m:
        raise ValueError(f"{m} pixels are not a square picture")
    operation = _Operation(
        operator="Conv", first=(1, k, side, side), second=(n, k, 1, 1), made=(1, n, side, side), constant=True
    )
    return _of_two(root, f"conv:{m},{n},{k}", operation, precision, unsigned=unsigned)


def stream_artifact(root: Path, operator: str, size_bytes: int) -> OnnxArtifact:
    """Writes one Add (two inputs, one output) or Relu (one of each) in fp32, which together have so many bytes."""
    names = ["a", "b"] if operator == "add" else ["a"]
    elements = max(1, size_bytes // (4 * (len(names) + 1)))
    inputs = tuple(_spec(name, "float32", (elements,)) for name in names)
    given = _given(inputs)
    expected = given["a"] + given["b"] if operator == "add" else np.maximum(given["a"], 0)
    from onnx import helper

    node = helper.make_node("Add" if operator == "add" else "Relu", names, ["c"], name="product")
    title = f"stream:{operator}:{size_bytes}"
    return _stored(root, title, inputs, _spec("c", "float32", (elements,)), [node], [], expected, Precision.FP32)


def moved_bytes(artifact: OnnxArtifact) -> int:
    """Bytes that one inference reads and writes at least."""
    return sum(
        int(array_type(spec.dtype).itemsize) * int(np.prod([size or 0 for size in spec.shape]))
        for spec in (*artifact.inputs, *artifact.outputs)
    )


def _of_two(root: Path, name: str, operation: _Operation, precision: Precision, *, unsigned: bool) -> OnnxArtifact:
    if precision is Precision.INT8:
        return _quantised(root, name, operation, unsigned=unsigned)
    from onnx import helper, numpy_helper

    dtype = "float16" if precision is Precision.FP16 else "float32"
    operands = (_spec("a", dtype, operation.first), _spec("b", dtype, operation.second))
    given = _given(operands)
    expected = operation.of(given["a"], given["b"]).astype(dtype)
    constants = [numpy_helper.from_array(given["b"], "b")] if operation.constant else []
    node = helper.make_node(operation.operator, ["a", "b"], ["c"], name="product")
    inputs = operands[:1] if operation.constant else operands
    return _stored(root, name, inputs, _spec("c", dtype, operation.made), [node], constants, expected, precision)


def _quantised(root: Path, name: str, operation: _Operation, *, unsigned: bool) -> OnnxArtifact:
    first = "uint8" if unsigned else "int8"
    low = 0 if unsigned else 1 - _SMALL
    operands = (
        _spec("a", first, operation.first, values=_integers(low, _SMALL)),
        _spec("b", "int8", operation.second, values=_integers(1 - _SMALL, _SMALL)),
    )
    given = _given(operands)
    product = operation.of(given["a"], given["b"])
    # Four standard deviations of the sums reach the ends of the 8 bits.
    scale = float(np.float32(max(float(product.std()), 1.0) * 4 / 127))
    # The output is of the type of the first input: what ONNX Runtime asks of a product that it fuses.
    zero = 128 if unsigned else 0
    kind = np.iinfo(first)
    expected = np.clip(np.rint(product / np.float32(scale)) + zero, kind.min, kind.max).astype(first)
    from onnx import helper, numpy_helper

    constants = [
        numpy_helper.from_array(np.array(1.0, dtype=np.float32), "one"),
        numpy_helper.from_array(np.array(scale, dtype=np.float32), "scale"),
        numpy_helper.from_array(np.zeros((), dtype=first), "zero_a"),
        numpy_helper.from_array(np.zeros((), dtype=np.int8), "zero_b"),
        numpy_helper.from_array(np.array(zero, dtype=first), "zero_c"),
    ]
    if operation.constant:
        constants.append(numpy_helper.from_array(given["b"], "b"))
    nodes = [
        helper.make_node("DequantizeLinear", ["a", "one", "zero_a"], ["a_real"], name="a.dequantised"),
        helper.make_node("DequantizeLinear", ["b", "one", "zero_b"], ["b_real"], name="b.dequantised"),
        helper.make_node(operation.operator, ["a_real", "b_real"], ["c_real"], name="product"),
        helper.make_node("QuantizeLinear", ["c_real", "scale", "zero_c"], ["c"], name="c.quantised"),
    ]
    inputs = operands[:1] if operation.constant else operands
    output = _spec("c", first, operation.made)
    return _stored(root, name, inputs, output, nodes, constants, expected, Precision.INT8)


def _integers(low: int, high: int) -> Values:
    return Values(drawn=Drawn.ROWS, text=f"seeded, {low} to {high - 1}", low=low, high=high)


def _spec(name: str, dtype: str, shape: tuple[int, ...], *, values: Values | None = None) -> TensorSpec:
    return TensorSpec(name=name, dtype=dtype, shape=shape, batch_axis=None, values=values)


def _given(inputs: Sequence[TensorSpec]) -> dict[str, NDArray[Any]]:
    return arrays_of_samples(inputs, seed=0, numbers=[0])


def _stored(
    root: Path,
    name: str,
    inputs: Sequence[TensorSpec],
    output: TensorSpec,
    nodes: Sequence[onnx.NodeProto],
    constants: Sequence[onnx.TensorProto],
    expected: NDArray[Any],
    precision: Precision,
) -> OnnxArtifact:
    from onnx import TensorProto, helper

    def value(spec: TensorSpec) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(spec.name, getattr(TensorProto, _TYPES[spec.dtype]), list(spec.shape))

    graph = helper.make_graph(list(nodes), "ceiling", [*map(value, inputs)], [value(output)], list(constants))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
    content = model.SerializeToString()
    stem = f"{name.replace(':', '-').replace(',', 'x')}-{precision}-{inputs[0].dtype}"
    (root / f"{stem}.onnx").write_bytes(content)
    outputs: dict[str, Any] = {f"{output.name}#0": expected}  # of inference 0, as no axis counts samples
    np.savez(root / f"{stem}.npz", **outputs)
    return OnnxArtifact(
        model=name,
        source=name,
        precision=precision,
        opset=OPSET,
        path=f"{stem}.onnx",
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
        params=0,
        batch=BatchRange(minimum=1, optimum=1, maximum=1),
        inputs=tuple(inputs),
        outputs=(output,),
        exporter="onnx.helper",
        evaluator=_BY,
        expected_by=_BY,
        expected_path=f"{stem}.npz",
        expected_samples=1,
        seed=0,
        recipe="",
        hops=(),
    )
