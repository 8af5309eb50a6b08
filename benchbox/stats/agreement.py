"""How far are two sets of outputs apart, and how far may they be?

The tolerances are for outputs of whole networks relative to their size, not for single operations:

* fp32: reordered sums of a few thousand products differ by some 1e-6 relative; folding batch
  normalisation into weights and Winograd convolutions add a decade or two. 1e-4 leaves room for both and
  still catches a wrong constant, a swapped channel or a missing bias.
* fp64: as fp32: networks in fp64 hold parts in fp32, and what was executed is proven from the runtime's own report.
* tf32: 10 mantissa bits, as fp16, but fp32's range.
* fp16: unit roundoff 2^-11 = 4.9e-4 a rounding; errors of some tens of layers add up to about 1e-3.
* bf16: unit roundoff 2^-8, eight times fp16's.
* int8: a tensor that spans k standard deviations is rounded with an error of k/127/sqrt(12) of its size, 1 to 2 % for
  k of 5 to 8; errors of some tens of layers are independent, and most are averaged out by the sums behind them.
  Zoo networks with calibrated ranges give 2 to 5 %; a range that does not fit gives far more than 10 %.
* fp8 (E4M3): three mantissa bits, so a value is off by up to 2^-4 and 2.6 % in the mean square, weights as well as
  activations, at any range. Zoo networks give 5 to 12 %.
* int4 weights: sixteen steps for a block whose largest weight is some 2.7 standard deviations of it: an error of a
  tenth of a product's size, independent in every product: a chain of n without residuals loses sqrt(n) times that.
  A transformer of four layers gives 9 %. A runtime reads the very same weights: it is held to the tolerance of what
  the products compute in.

They hold for every output by itself: a small output must not hide behind a large one. An output of a function with a
range of its own (Sigmoid) is computed to some 1e-7 of that range, however small its values are: it is right, too, if no
value is off by more than ``FLOOR`` of the range. Equal infinities are equal, and so is NaN where both are NaN. Whole
numbers (classes, indices) are right, too, if as few differ as the relative error allows: the size of their difference
means nothing.

A detector lists its rows by their scores. Two rows whose scores are closer than the tolerance are in either order as
right: such rows are compared in the order of the reference, and the hop says how many had moved.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
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


# For functions with a range of size 1: eight roundings of fp32 (2^-24 each).
FLOOR = 8 * 2.0**-24

TOLERANCES: Mapping[Precision, Tolerance] = {
    Precision.FP64: Tolerance(rel_l2_error=1e-4, cosine=0.999999),
    Precision.FP32: Tolerance(rel_l2_error=1e-4, cosine=0.999999),
    Precision.TF32: Tolerance(rel_l2_error=1e-2, cosine=0.9999),
    Precision.FP16: Tolerance(rel_l2_error=1e-2, cosine=0.9999),
    Precision.BF16: Tolerance(rel_l2_error=8e-2, cosine=0.997),
    Precision.INT8: Tolerance(rel_l2_error=0.1, cosine=0.995),
    Precision.FP8: Tolerance(rel_l2_error=0.2, cosine=0.98),
    Precision.INT4: Tolerance(rel_l2_error=0.3, cosine=0.95),
}


def runtime_tolerance(precision: Precision, fallback: Precision) -> Tolerance:
    """How far a runtime may be from what the very file that it runs gives.

    Weights of four bits are the same in both: what is left is the rounding of what their products compute in.

    Args:
        precision: of the file.
        fallback: what everything in it computes in that is not quantised.
    """
    return TOLERANCES[fallback if precision is Precision.INT4 else precision]


def hop_from_outputs(
    source: str,
    target: str,
    reference: Mapping[str, NDArray[np.generic]],
    outputs: Mapping[str, NDArray[np.generic]],
    tolerance: Tolerance,
    *,
    bounded: Collection[str] = (),
    ranked: Collection[str] = (),
) -> Hop:
    """The distance of ``outputs`` from ``reference``, output by output, in float64: the worst of them.

    A missing output, another shape, and what is finite on one side only never pass: the errors are then infinite, and
    the hop's ``fault`` says where and how often.

    Args:
        source: name of the form that made ``reference``.
        target: name of the form that made ``outputs``.
        reference: arrays by output name.
        outputs: arrays by output name.
        tolerance: what is still right, for each output.
        bounded: outputs of functions whose range is of size 1, or near it.
        ranked: outputs whose rows a network lists by their scores.
    """
    distances, reordered = _distances(reference, outputs, tolerance, bounded), 0
    if ranked and not all(found.passed for found in distances):
        ordered, moved = in_order_of(reference, outputs, ranked, tolerance)
        again = _distances(reference, ordered, tolerance, bounded) if moved else distances
        if moved and all(found.passed for found in again):
            distances, outputs, reordered = again, ordered, moved
    # The output to name is one that does not pass, the farthest of those.
    worst = max(distances, key=lambda found: (not found.passed, found.rel_l2_error), default=_Distance())
    comparable = not any(found.fault for found in distances)
    return Hop(
        source=source,
        target=target,
        max_abs_error=max((found.max_abs_error for found in distances), default=0.0),
        rel_l2_error=max((found.rel_l2_error for found in distances), default=0.0),
        cosine=min((found.cosine for found in distances), default=1.0),
        passed=all(found.passed for found in distances),
        top1_agreement=_top1_agreement(reference, outputs) if comparable else None,
        output=worst.name if len(distances) > 1 else "",
        fault=worst.fault,
        reordered=reordered,
    )


def _distances(
    reference: Mapping[str, NDArray[np.generic]],
    outputs: Mapping[str, NDArray[np.generic]],
    tolerance: Tolerance,
    bounded: Collection[str],
) -> list[_Distance]:
    return [
        _distance(name, reference.get(name), outputs.get(name), tolerance, bounded=name.partition("#")[0] in bounded)
        for name in dict.fromkeys((*reference, *outputs))
    ]


def in_order_of(
    reference: Mapping[str, NDArray[np.generic]],
    outputs: Mapping[str, NDArray[np.generic]],
    ranked: Collection[str],
    tolerance: Tolerance,
) -> tuple[dict[str, NDArray[np.generic]], int]:
    """The outputs with rows of tied scores in the order of the reference, and how many rows that moves.

    Rows stay where they are without scores that fall from row to row in both and agree within the tolerance, and where
    a row would have to come from farther away than a tie: it is compared with another one then, and does not pass.

    Args:
        reference: arrays by output name.
        outputs: arrays by output name.
        ranked: outputs whose rows are listed by their scores; those of one inference are one list.
        tolerance: scores within its relative error of the largest one are tied.
    """
    made, moved = dict(outputs), 0
    lists: dict[str, list[str]] = {}
    for name, array in reference.items():
        other = outputs.get(name)
        if name.partition("#")[0] in ranked and other is not None and other.shape == array.shape and array.ndim:
            lists.setdefault(name.partition("#")[2], []).append(name)
    for names in lists.values():
        scores = _scores_of([(reference[name], outputs[name]) for name in names], tolerance)
        if scores is None:
            continue
        lead = scores[0].shape
        rows = [name for name in names if reference[name].shape[: len(lead)] == lead]
        flat = {name: outputs[name].reshape(-1, lead[-1], *outputs[name].shape[len(lead) :]).copy() for name in rows}
        for place in range(int(np.prod(lead[:-1]))):
            wanted = [reference[name].reshape(flat[name].shape)[place] for name in rows]
            order = _order_in_ties(
                wanted,
                [flat[name][place] for name in rows],
                (scores[0].reshape(-1, lead[-1])[place], scores[1].reshape(-1, lead[-1])[place]),
                tolerance,
            )
            moved += int((order != np.arange(lead[-1])).sum())
            for name in rows:
                flat[name][place] = flat[name][place][order]
        made.update({name: array.reshape(outputs[name].shape) for name, array in flat.items()})
    return made, moved


_Pair = tuple["NDArray[np.generic]", "NDArray[np.generic]"]
# Every row is compared with every other one.
_MOST_ROWS = 1024


def _scores_of(arrays: Sequence[_Pair], tolerance: Tolerance) -> _Pair | None:
    """What falls from row to row in the reference and in the outputs, and agrees: an output, or a column of one."""
    columns = [
        (wanted[..., column], got[..., column])
        for wanted, got in arrays
        if wanted.ndim > 1
        for column in range(wanted.shape[-1])
    ]
    for wanted, got in (*arrays, *columns):
        known = wanted.dtype.kind == "f" and wanted.size > 0 and wanted.ndim > 0 and 1 < wanted.shape[-1] <= _MOST_ROWS
        if not known or not (np.isfinite(wanted).all() and np.isfinite(got).all()):
            continue
        falls = all((np.diff(array.astype(np.float64), axis=-1) <= 0).all() for array in (wanted, got))
        if falls and np.ptp(wanted) > 0 and _distance("", wanted, got, tolerance, bounded=False).passed:
            return wanted, got
    return None


def _order_in_ties(
    wanted: Sequence[NDArray[np.generic]], got: Sequence[NDArray[np.generic]], scores: _Pair, tolerance: Tolerance
) -> NDArray[np.intp]:
    """Which row of ``got`` is each row of ``wanted``, the nearest first; all as they are where ties do not say."""
    count = len(scores[0])
    stay = np.arange(count)
    apart = np.zeros((count, count))
    for one, other in zip(wanted, got, strict=True):
        a, b = (np.nan_to_num(array.astype(np.float64).reshape(count, -1)) for array in (one, other))
        scale = np.maximum(np.abs(a).max(axis=0), np.finfo(np.float64).tiny)
        a, b = a / scale, b / scale
        apart += np.maximum((a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T, 0) / a.shape[1]
    band = tolerance.rel_l2_error * float(np.abs(scores[0]).max())
    apart[np.abs(scores[0].astype(np.float64)[:, None] - scores[1].astype(np.float64)[None]) > band] = np.inf
    order, free = np.full(count, -1), np.full(count, fill_value=True)
    nearest = np.argsort(apart, axis=None, kind="stable")[: int(np.isfinite(apart).sum())]
    for row, place in zip(*np.unravel_index(nearest, apart.shape), strict=True):
        if order[row] < 0 and free[place]:
            order[row], free[place] = place, False
    return order if (order >= 0).all() else stay


def distance_in_words(hop: Hop) -> str:
    """The errors of a hop, and which output has them; where outputs cannot be subtracted, why."""
    if hop.fault:
        return hop.fault
    where = f"output {hop.output}: " if hop.output else ""
    return (
        f"{where}max abs error {hop.max_abs_error:.3g}, relative L2 error {hop.rel_l2_error:.3g}, "
        f"cosine {hop.cosine:.6f}"
    )


@dataclass(frozen=True, kw_only=True)
class _Distance:
    """How far one output is from what was expected; ``fault`` says why it cannot be said in numbers."""

    name: str = ""
    max_abs_error: float = 0.0
    rel_l2_error: float = 0.0
    cosine: float = 1.0
    passed: bool = True
    fault: str = ""


def _distance(
    name: str,
    reference: NDArray[np.generic] | None,
    output: NDArray[np.generic] | None,
    tolerance: Tolerance,
    *,
    bounded: bool,
) -> _Distance:
    if reference is None or output is None:
        return _no_distance(name, f"output {name} is {'missing' if output is None else 'not expected'}")
    if reference.shape != output.shape:
        return _no_distance(name, f"output {name} has shape {output.shape}, expected {reference.shape}")
    a, b = (array.astype(np.float64).ravel() for array in (reference, output))
    finite_a, finite_b = np.isfinite(a), np.isfinite(b)
    if not (finite_a.all() and finite_b.all()):
        unlike = ~(finite_a & finite_b) & ~((a == b) | (np.isnan(a) & np.isnan(b)))
        if unlike.any():
            return _no_distance(
                name,
                f"output {name}: {int(unlike.sum())} of {a.size} values differ in not being finite "
                f"({_not_finite(b)}, expected {_not_finite(a)})",
            )
        a, b = (np.where(finite_a, array, 0.0) for array in (a, b))
    size_a, size_b, apart = (float(np.linalg.norm(vector)) for vector in (a, b, a - b))
    relative = apart / size_a if size_a else (0.0 if apart == 0 else float("inf"))
    cosine = float(a @ b) / (size_a * size_b) if size_a and size_b else float(size_a == size_b)
    most = float(np.abs(a - b).max(initial=0.0))
    whole = reference.dtype.kind in "iub" and a.size > 0
    return _Distance(
        name=name,
        max_abs_error=most,
        rel_l2_error=relative,
        cosine=min(1.0, cosine),
        passed=(relative <= tolerance.rel_l2_error and cosine >= tolerance.cosine)
        or (bounded and most <= FLOOR)
        or (whole and float((a != b).mean()) <= tolerance.rel_l2_error),
    )


def _no_distance(name: str, fault: str) -> _Distance:
    infinite = float("inf")
    return _Distance(name=name, max_abs_error=infinite, rel_l2_error=infinite, cosine=0.0, passed=False, fault=fault)


def _not_finite(values: NDArray[np.float64]) -> str:
    infinite, undefined = int(np.isinf(values).sum()), int(np.isnan(values).sum())
    return f"{infinite} infinite and {undefined} NaN" if infinite or undefined else "all finite"


def worse_hop(one: Hop, other: Hop) -> Hop:
    """The worst of two hops between the same forms, error by error."""
    worst = max((one, other), key=lambda hop: (not hop.passed, hop.rel_l2_error))
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
        output=worst.output,
        fault=worst.fault,
        reordered=max(one.reordered, other.reordered),
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
