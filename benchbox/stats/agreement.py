"""How far are two sets of outputs apart, and how far may they be?

The tolerances are for outputs of whole networks relative to their size, not for single operations:

* fp32: reordered sums of a few thousand products differ by some 1e-6 relative; folding batch
  normalisation into weights and Winograd convolutions add a decade or two. 1e-4 leaves room for both and
  still catches a wrong constant, a swapped channel or a missing bias.
* tf32: 10 mantissa bits, as fp16, but fp32's range.
* fp16: unit roundoff 2^-11 = 4.9e-4 a rounding; errors of some tens of layers add up to about 1e-3.
* bf16: unit roundoff 2^-8, eight times fp16's.
* int8: a tensor that spans k standard deviations is rounded with an error of k/127/sqrt(12) of its size, 1 to 2 % for
  k of 5 to 8; errors of some tens of layers are independent, and most are averaged out by the sums behind them.
  Zoo networks with calibrated ranges give 2 to 5 %; a range that does not fit gives far more than 10 %.
* fp8 (E4M3): three mantissa bits, so a value is off by up to 2^-4 and 2.6 % in the mean square, weights as well as
  activations, at any range. Zoo networks give 5 to 12 %.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchbox.schema.artifact import Hop
from benchbox.schema.model import Precision

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """The largest relative L2 error and the smallest cosine that outputs may have and still count as right."""

    rel_l2_error: float
    cosine: float


TOLERANCES: Mapping[Precision, Tolerance] = {
    Precision.FP32: Tolerance(rel_l2_error=1e-4, cosine=0.999999),
    Precision.TF32: Tolerance(rel_l2_error=1e-2, cosine=0.9999),
    Precision.FP16: Tolerance(rel_l2_error=1e-2, cosine=0.9999),
    Precision.BF16: Tolerance(rel_l2_error=8e-2, cosine=0.997),
    Precision.INT8: Tolerance(rel_l2_error=0.1, cosine=0.995),
    Precision.FP8: Tolerance(rel_l2_error=0.2, cosine=0.98),
}


def hop_from_outputs(
    source: str,
    target: str,
    reference: Mapping[str, NDArray[np.generic]],
    outputs: Mapping[str, NDArray[np.generic]],
    tolerance: Tolerance,
) -> Hop:
    """The distance of ``outputs`` from ``reference``, all outputs taken together, in float64.

    A missing output, another shape, NaN or infinity never passes: the errors are then infinite.

    Args:
        source: name of the form that made ``reference``.
        target: name of the form that made ``outputs``.
        reference: arrays by output name.
        outputs: arrays by output name.
        tolerance: what is still right.
    """
    alike = reference.keys() == outputs.keys() and all(
        reference[name].shape == outputs[name].shape for name in reference
    )
    a = _flat(reference) if alike else np.zeros(1)
    b = _flat(outputs) if alike else np.zeros(1)
    if not alike or not (np.isfinite(a).all() and np.isfinite(b).all()):
        infinite = float("inf")
        return Hop(
            source=source, target=target, max_abs_error=infinite, rel_l2_error=infinite, cosine=0.0, passed=False
        )
    size_a, size_b, apart = (float(np.linalg.norm(vector)) for vector in (a, b, a - b))
    relative = apart / size_a if size_a else (0.0 if apart == 0 else float("inf"))
    cosine = float(a @ b) / (size_a * size_b) if size_a and size_b else float(size_a == size_b)
    return Hop(
        source=source,
        target=target,
        max_abs_error=float(np.abs(a - b).max(initial=0.0)),
        rel_l2_error=relative,
        cosine=min(1.0, cosine),
        passed=relative <= tolerance.rel_l2_error and cosine >= tolerance.cosine,
        top1_agreement=_top1_agreement(reference, outputs),
    )


def worse_hop(one: Hop, other: Hop) -> Hop:
    """The worst of two hops between the same forms, error by error."""
    return Hop(
        source=one.source,
        target=one.target,
        max_abs_error=max(one.max_abs_error, other.max_abs_error),
        rel_l2_error=max(one.rel_l2_error, other.rel_l2_error),
        cosine=min(one.cosine, other.cosine),
        passed=one.passed and other.passed,
        top1_agreement=min(
            (share for share in (one.top1_agreement, other.top1_agreement) if share is not None), default=None
        ),
    )


def _top1_agreement(
    reference: Mapping[str, NDArray[np.generic]], outputs: Mapping[str, NDArray[np.generic]]
) -> float | None:
    """Share of samples with the same largest score, over all outputs that are rows of at least two scores."""
    rows = [name for name, array in reference.items() if array.ndim == 2 and array.shape[1] > 1 and len(array)]
    if not rows:
        return None
    agreeing = [np.asarray(reference[name]).argmax(axis=1) == np.asarray(outputs[name]).argmax(axis=1) for name in rows]
    return float(np.concatenate(agreeing).mean())


def _flat(arrays: Mapping[str, NDArray[np.generic]]) -> NDArray[np.float64]:
    return np.concatenate([arrays[name].astype(np.float64).ravel() for name in sorted(arrays)])
