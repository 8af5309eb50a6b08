"""What is asked of a conversion to another precision, and what comes back?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchbox.export.precision.samples import CalibrationData
from benchbox.schema.artifact import TensorSpec
from benchbox.schema.derivation import Derivation, Quantization
from benchbox.schema.model import Precision

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True, kw_only=True)
class Derived:
    """A graph of another precision, what it was quantised with if it was, and what must be said about it."""

    proto: onnx.ModelProto
    warnings: tuple[str, ...] = ()
    quantization: Quantization | None = None


@dataclass(frozen=True, kw_only=True)
class DerivingRequest:
    """An fp32 graph and what is to become of it; ``data`` only where the precision is calibrated.

    ``ranges`` are those of the tensors if they are known already.
    """

    proto: onnx.ModelProto
    precision: Precision
    derivation: Derivation
    inputs: tuple[TensorSpec, ...]
    data: CalibrationData | None = None
    ranges: Mapping[str, float] | None = None
