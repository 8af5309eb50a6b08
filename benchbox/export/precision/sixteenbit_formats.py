"""What is a 16-bit number format, and what do fp32 values lose when they are rounded to it?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from benchbox.schema.model import Precision


@dataclass(frozen=True, kw_only=True)
class SixteenBit:
    """fp16 or bf16.

    ``exponent`` masks the exponent in the bits of a number. ``opset`` is the first ONNX opset in which the operators of
    convolutional networks take the format.
    """

    precision: Precision
    largest: float
    exponent: int
    opset: int

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """The numpy type; that of bf16 comes with onnx."""
        if self.precision is Precision.FP16:
            return np.dtype(np.float16)
        import ml_dtypes

        made: np.dtype[np.generic] = np.dtype(ml_dtypes.bfloat16)
        return made

    @property
    def onnx_type(self) -> int:
        """The type's number in ONNX."""
        from onnx import TensorProto

        return int(TensorProto.FLOAT16 if self.precision is Precision.FP16 else TensorProto.BFLOAT16)

    @property
    def onnx_name(self) -> str:
        """The type as operator schemas spell it."""
        return "tensor(float16)" if self.precision is Precision.FP16 else "tensor(bfloat16)"


FORMATS: Mapping[Precision, SixteenBit] = {
    Precision.FP16: SixteenBit(precision=Precision.FP16, largest=65504.0, exponent=0x7C00, opset=1),
    # Convolutions and poolings take bfloat16 since opset 22.
    Precision.BF16: SixteenBit(precision=Precision.BF16, largest=255 * 2.0**120, exponent=0x7F80, opset=22),
}
_SIZE = np.uint16(0x7FFF)


@dataclass
class Rounding:
    """Rounds fp32 values to the nearest of a format, to even on ties, saturating; counts the losses."""

    form: SixteenBit
    values: int = 0
    saturated: int = 0
    zeroed: int = 0
    subnormal: int = 0

    def rounded(self, array: np.ndarray) -> np.ndarray:
        """The array in the format. Infinity and NaN stay; a finite value that would round to infinity is saturated."""
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            made: np.ndarray = np.asarray(array, dtype=np.float32).astype(self.form.dtype)
        size = made.view(np.uint16) & _SIZE
        self.values += made.size
        infinite = size == self.form.exponent
        if infinite.any():
            lost = infinite & np.isfinite(array)
            self.saturated += int(np.count_nonzero(lost))
            made = np.where(lost, np.copysign(self.form.largest, array).astype(self.form.dtype), made)
        # Zeros and subnormals are the numbers below the first normal one.
        low = np.flatnonzero(size < (self.form.exponent & -self.form.exponent))
        if low.size:
            zeros = low[size.reshape(-1)[low] == 0]
            self.subnormal += low.size - zeros.size
            self.zeroed += int(np.count_nonzero(np.asarray(array).reshape(-1)[zeros]))
        return made

    def warnings(self) -> tuple[str, ...]:
        """One sentence per kind of loss; empty if nothing was lost."""
        name = self.form.precision
        kinds = (
            (self.saturated, f"are beyond {name}'s range and were saturated to ±{self.form.largest:.6g}"),
            (self.zeroed, f"are too small for {name} and became zero"),
            (self.subnormal, f"became {name} subnormals and lost digits"),
        )
        return tuple(f"{count} of {self.values} weights {what}" for count, what in kinds if count)


def emulated_format(precision: Precision, fallback: Precision) -> SixteenBit | None:
    """The 16-bit format that a graph of this precision has tensors in, None for one without."""
    return FORMATS.get(precision) or FORMATS.get(fallback)
