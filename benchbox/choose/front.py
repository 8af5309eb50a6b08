"""Which configurations are best in some respect, and how sure is each one's place on the front?

A configuration is on the Pareto front if no other is at least as good in every quality and better in one. Qualities
are uncertain, so the front is drawn many times from what the true values may be; the share of draws with a
configuration on the front is its probability of membership.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchbox.choose.candidates import Candidate
from benchbox.choose.limits import QUALITIES
from benchbox.schema.reading import Better

if TYPE_CHECKING:
    from numpy.typing import NDArray

DRAWS = 1000
# Below this probability a configuration is not worth a line.
LEAST = 0.05
# A configuration that another beats in every quality at this one-sided confidence is left out before the draws.
_SURELY = 0.9999
# Draws of what one or two processes measured may be infinite, and sums of them no numbers.
_MOST = 1e300
# A round of all draws takes as long as holding so many points against all others.
_ROUND = 8


@dataclass(frozen=True, kw_only=True)
class Member:
    """A configuration and the probability that it is on the front."""

    candidate: Candidate
    probability: float


def front_of(candidates: Sequence[Candidate], names: Sequence[str], *, seed: int = 0) -> tuple[Member, ...]:
    """The members of the front, most probable first.

    Args:
        candidates: those to compare; only those that have all of the qualities take part.
        names: of the qualities.
        seed: of the draws.
    """
    taking_part = [entry for entry in candidates if all(name in entry.amounts for name in names)]
    if not taking_part or not names:
        return ()
    near = [taking_part[place] for place in np.flatnonzero(~_surely_dominated(taking_part, names))]
    generator = np.random.default_rng(seed)
    values = np.stack(
        [
            np.stack([_costs(entry.amounts[name].draws(generator, DRAWS), name) for name in names], axis=-1)
            for entry in near
        ],
        axis=1,
    )
    shares = 1 - dominated(values).mean(axis=0)
    members = [Member(candidate=entry, probability=float(share)) for entry, share in zip(near, shares, strict=True)]
    return tuple(sorted((entry for entry in members if entry.probability >= LEAST), key=lambda m: -m.probability))


def dominated(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which points another point of the same draw dominates.

    Args:
        values: (draws, points, qualities), smaller is better in each.

    Returns:
        (draws, points).
    """
    found = np.zeros(values.shape[:2], dtype=bool)
    # A quality at a time: numpy takes ten times as long to reduce over an axis of two or three.
    finite = np.clip(values, -_MOST, _MOST)
    columns = [np.ascontiguousarray(finite[:, :, quality]) for quality in range(values.shape[2])]
    sums = finite.sum(axis=2)
    waiting = np.ones_like(found)  # neither dominated nor known to be on the front
    draws = np.arange(len(found))
    while len(draws):
        # What waits with the least sum is on the front: whatever dominates it would have a smaller one, and wait too or
        # be dominated by what was on the front before. So each draw takes as many rounds as its front has points.
        here = [column[draws] for column in columns]
        places = _least(sums[draws], here, waiting[draws])
        before = np.count_nonzero(waiting[draws])
        found[draws] |= _dominates([column[draws, places][:, None] for column in columns], here)
        waiting[draws, places] = False
        waiting[draws] &= ~found[draws]
        left = np.count_nonzero(waiting[draws], axis=1)
        settled = (before - left.sum()) / len(draws)
        draws = draws[left > 0]
        open_points = np.flatnonzero(waiting.any(axis=0))
        if _ROUND * left.max() / settled > len(open_points):  # a large front: each of its points against all is faster
            for place in open_points:
                found[:, place] |= _dominates(columns, [column[:, place, None] for column in columns]).any(axis=1)
            break
    return found


def _dominates(first: Sequence[NDArray[np.float64]], second: Sequence[NDArray[np.float64]]) -> NDArray[np.bool_]:
    """Whether points dominate others, by their qualities: arrays of one shape, or of one column for a point a draw."""
    no_worse = np.ones(np.broadcast_shapes(first[0].shape, second[0].shape), dtype=np.bool_)
    better = np.zeros_like(no_worse)
    for ours, theirs in zip(first, second, strict=True):
        no_worse &= ours <= theirs
        better |= ours < theirs
    no_worse &= better
    return no_worse


def _least(
    sums: NDArray[np.float64], columns: Sequence[NDArray[np.float64]], waiting: NDArray[np.bool_]
) -> NDArray[np.intp]:
    """Of each draw the waiting point with the least sum; of equal sums, as rounding makes them, least by quality."""
    chosen = waiting
    for values in (sums, *columns):
        least = np.where(chosen, values, np.inf).min(axis=1, keepdims=True)
        chosen = chosen & (values == least)
        if np.all(np.count_nonzero(chosen, axis=1) == 1):
            break
    places: NDArray[np.intp] = chosen.argmax(axis=1)
    return places


def _surely_dominated(candidates: Sequence[Candidate], names: Sequence[str]) -> NDArray[np.bool_]:
    """Which points another one's pessimistic bounds beat even at their optimistic ones."""
    best = np.array([[_bound(entry, name, best=True) for name in names] for entry in candidates])
    worst = np.array([[_bound(entry, name, best=False) for name in names] for entry in candidates])
    beaten = [np.any(np.all(worst < row, axis=1)) for row in best]
    return np.asarray(beaten, dtype=bool)


def _bound(candidate: Candidate, name: str, *, best: bool) -> float:
    amount = candidate.amounts[name]
    lower = QUALITIES[name].better is Better.LOWER
    found = amount.bound(_SURELY, upper=lower is not best)
    if found is None:  # one process: its draws do not vary, its bounds are not known
        found = amount.value
    return found if lower else -found


def _costs(values: NDArray[np.float64], name: str) -> NDArray[np.float64]:
    return values if QUALITIES[name].better is Better.LOWER else -values
