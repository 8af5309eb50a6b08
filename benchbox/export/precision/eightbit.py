"""Which eight-bit numbers are there, and what is the nearest one?

int8 has 127 steps on each side (-128 is not used: ranges are symmetric). fp8 is E4M3FN: four bits of exponent, three of
mantissa, no infinity, largest value 448 (Micikevicius et al. 2022, arXiv 2209.05433).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchbox.schema.model import Precision

if TYPE_CHECKING:
    import onnx

FP8_MAX = 448.0
# Sixteen of the smallest steps between fp16 numbers: a scale is rounded up by less than a sixteenth.
_SMALLEST_HALF_SCALE = 2.0**-20


@dataclass(frozen=True, kw_only=True)
class Format:
    """An eight-bit format: its precision and its largest value."""

    precision: Precision
    largest: float

    def codes(self, scaled: np.ndarray) -> np.ndarray:
        """The nearest value's code of every element (ties to even, saturated): int8, or the bits of fp8 as uint8."""
        if self.precision is Precision.INT8:
            return np.asarray(np.clip(np.rint(scaled), -self.largest, self.largest), dtype=np.int8)
        return _fp8_codes(scaled)

    def tensor(self, scaled: np.ndarray, name: str) -> onnx.TensorProto:
        """Values, divided by their scale already, as a constant of an ONNX graph."""
        from onnx import TensorProto

        kind = TensorProto.INT8 if self.precision is Precision.INT8 else TensorProto.FLOAT8E4M3FN
        array = np.asarray(scaled)
        data = np.ascontiguousarray(self.codes(array))
        return TensorProto(name=name, data_type=kind, dims=array.shape, raw_data=data.tobytes())


FORMATS: Mapping[Precision, Format] = {
    Precision.INT8: Format(precision=Precision.INT8, largest=127.0),
    Precision.FP8: Format(precision=Precision.FP8, largest=FP8_MAX),
}


def scales_of(tops: np.ndarray, form: Format, kind: type[np.floating]) -> np.ndarray:
    """The step of each range, float32 but exact in ``kind``; 1 for a range of nothing but zeros.

    Args:
        tops: largest magnitude of each range.
        form: whose largest value stands for it.
        kind: numpy type that the scales are stored in.
    """
    scales = np.where(tops > 0, tops.astype(np.float64) / form.largest, 1.0)
    smallest = _SMALLEST_HALF_SCALE if kind is np.float16 else float(np.finfo(np.float32).tiny)
    stored = np.asarray(np.clip(scales, smallest, float(np.finfo(kind).max)).astype(kind))
    if kind is np.float16:  # rounded up, so that the range is covered; what is rounded by it uses the stored value
        stored = np.where(stored < scales, np.nextafter(stored, np.float16(np.inf)), stored)
    return np.asarray(stored, dtype=np.float32)


def fp8_values() -> np.ndarray:
    """Every magnitude of E4M3FN by its code, 0 to 126; code 127 is NaN."""
    codes = np.arange(127)
    exponent, mantissa = codes >> 3, codes & 7
    normal = (1 + mantissa / 8) * 2.0 ** (exponent - 7)
    return np.where(exponent == 0, mantissa * 2.0**-9, normal)


def _fp8_codes(scaled: np.ndarray) -> np.ndarray:
    magnitudes = fp8_values()
    middles = ((magnitudes[1:] + magnitudes[:-1]) / 2).astype(np.float32)  # exact: four mantissa bits
    size = np.abs(np.asarray(scaled, dtype=np.float32))
    codes = np.searchsorted(middles, size, side="left")
    tied = (codes < len(middles)) & (size == middles[np.minimum(codes, len(middles) - 1)])
    codes += tied & (codes % 2 == 1)
    return np.asarray(codes | (np.signbit(scaled).astype(np.int64) << 7), dtype=np.uint8)
