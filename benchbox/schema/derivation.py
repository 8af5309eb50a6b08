"""How is a network's low precision derived from its fp32 graph, and what was it derived with?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import PurePath

from benchbox.schema.model import Precision


class CalibrationMethod(StrEnum):
    """How the range of a tensor follows from the values seen: all of them, or cut where that loses least.

    ``AWQ_CLIP`` is ModelOpt's alone, for weights of four bits: each block is cut where its products lose least.
    """

    MINMAX = "minmax"
    ENTROPY = "entropy"
    PERCENTILE = "percentile"
    AWQ_CLIP = "awq_clip"


class Converter(StrEnum):
    """Who makes the low precision of the fp32 graph: this package, or NVIDIA ModelOpt."""

    BENCHBOX = "benchbox"
    MODELOPT = "modelopt"


@dataclass(frozen=True, kw_only=True)
class Derivation:
    """What the user wants of a derived precision.

    ``exclude`` are patterns of node names (``layer4.*``) that stay in ``fallback``. ``fallback`` is what everything
    that is not quantised computes in: fp32 or fp16. ``calibration`` is a folder of images, a folder of arrays or one
    file of arrays; None means seeded synthetic inputs.
    """

    exclude: tuple[str, ...] = ()
    fallback: Precision = Precision.FP32
    calibration: str | None = None
    method: CalibrationMethod = CalibrationMethod.MINMAX
    converter: Converter = Converter.BENCHBOX

    def for_precision(self, precision: Precision) -> Derivation:
        """The choices that apply to a precision: one command may name several precisions."""
        if precision in (Precision.INT8, Precision.FP8):
            return self
        if precision is Precision.INT4:
            return replace(self, method=USUAL.method)
        if precision in (Precision.FP16, Precision.BF16):
            return Derivation(exclude=self.exclude, converter=self.converter)
        return Derivation()

    @property
    def variant(self) -> str:
        """The choices that set one derived graph apart from another of the same precision, "" for the usual ones."""
        usual = USUAL
        parts = [f"exclude={','.join(self.exclude)}" if self.exclude else ""]
        parts += [f"fallback={self.fallback}" if self.fallback is not usual.fallback else ""]
        parts += [f"calibration={PurePath(self.calibration).name}" if self.calibration else ""]
        parts += [f"method={self.method}" if self.method is not usual.method else ""]
        parts += [f"converter={self.converter}" if self.converter is not usual.converter else ""]
        return " ".join(part for part in parts if part)


USUAL = Derivation()


@dataclass(frozen=True, kw_only=True)
class Quantization:
    """What a quantised graph was made with.

    ``data`` says in words what it was calibrated on, ``digest`` is the sha256 of that, ``samples`` how many samples
    were used. ``quantized`` of ``quantizable`` convolutions and matrix products got Q/DQ nodes. ``folder`` is where the
    data lay, an absolute path, "" for synthetic ones.
    """

    method: CalibrationMethod
    data: str
    synthetic: bool
    digest: str
    samples: int
    exclude: tuple[str, ...]
    fallback: Precision
    quantized: int
    quantizable: int
    folder: str = ""
