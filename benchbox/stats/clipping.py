"""Where should the range of a quantised tensor end: at its largest value, or before?

Both answers are read off a histogram of absolute values whose last bin ends at the largest one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BINS = 2048
# Levels of magnitude that eight signed bits have.
LEVELS = 128
# Candidates of the entropy search are this many bins apart: 1/128 of the range.
STRIDE = 16
# Probability given to a bin that quantisation left empty, so that its divergence is finite.
EMPTY = 1e-9


def histogram_of(values: NDArray[np.floating], top: float) -> NDArray[np.int64]:
    """How many absolute values lie in each of ``BINS`` equal bins between 0 and ``top``; larger ones in the last."""
    if not top > 0:
        counts = np.zeros(BINS, dtype=np.int64)
        counts[0] = values.size
        return counts
    places, scale = np.abs(values.ravel()), BINS / top
    if scale > float(np.finfo(places.dtype).max):  # of values next to nothing: in their own type it would be infinite
        places = places.astype(np.float64)
    places *= scale
    np.minimum(places, BINS - 1, out=places)
    return np.bincount(places.astype(np.int32), minlength=BINS)


def percentile_threshold(counts: NDArray[np.int64], top: float, *, share: float) -> float:
    """The magnitude below which this share of the values lies, interpolated inside its bin.

    Args:
        counts: of ``histogram_of``.
        top: where the last bin ends.
        share: between 0 and 1, for example 0.9999.
    """
    running = np.cumsum(counts)
    wanted = share * float(running[-1])
    place = int(np.searchsorted(running, wanted))
    before = float(running[place - 1]) if place else 0.0
    inside = (wanted - before) / float(counts[place]) if counts[place] else 1.0
    return top * (place + inside) / len(counts)


def entropy_threshold(counts: NDArray[np.int64], top: float) -> float:
    """The range whose 128 levels keep most of the distribution (Migacz, GTC 2017: 8-bit inference with TensorRT).

    For every candidate range, P is the histogram cut there with the rest added to its last bin, Q the same histogram
    without the rest, merged to 128 levels and spread again over the bins that had values. The candidate with the
    smallest divergence KL(P||Q) wins; of equal ones the widest. The first bin counts as its neighbour: zeros, half of
    what a ReLU gives, are exact at every range and would else pull the range down.

    Args:
        counts: of ``histogram_of``.
        top: where the last bin ends.
    """
    if not top > 0:
        return 0.0
    weights = counts.astype(np.float64)
    weights[0] = weights[1]
    if not weights.any():
        return top
    best, lowest = len(counts), np.inf
    for end in range(len(counts), LEVELS - 1, -STRIDE):
        divergence = _divergence(weights, end)
        if divergence < lowest:
            best, lowest = end, divergence
    return top * best / len(counts)


def _divergence(weights: NDArray[np.float64], end: int) -> float:
    inside = weights[:end]
    p = inside.copy()
    p[-1] += weights[end:].sum()
    level = np.arange(end) * LEVELS // end
    filled = inside > 0
    sums = np.bincount(level, weights=inside, minlength=LEVELS)
    members = np.bincount(level, weights=filled, minlength=LEVELS)
    means = np.divide(sums, members, out=np.zeros(LEVELS), where=members > 0)
    q = np.where(filled, means[level], 0.0)
    if not q.any():
        return float("inf")
    p /= p.sum()
    q = np.maximum(q / q.sum(), EMPTY)
    seen = p > 0
    return float(np.sum(p[seen] * np.log(p[seen] / q[seen])))
