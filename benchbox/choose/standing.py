"""Does a configuration meet the limits, surely, perhaps or not?

A limit is met where the one-sided confidence bound meets it, and missed where even the optimistic bound does not. The
confidence holds for all limits together: each gets an equal part of the error probability (Bonferroni). Choosing by
point estimates instead picks configurations that violate the limit: of many candidates the best-looking one is also
the luckiest (docs/choose.md has the simulation).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from benchbox.choose.amounts import Amount, Stated, chance_within
from benchbox.choose.candidates import Candidate
from benchbox.choose.limits import Limit
from benchbox.schema.reading import Better


class Standing(StrEnum):
    """How a configuration stands to a limit, or to all of them."""

    MEETS = "meets"
    UNDECIDED = "undecided"
    MISSES = "misses"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class Check:
    """One limit of one configuration.

    ``bound`` is the value that decides: the pessimistic confidence bound. ``excess`` is how far the estimate is beyond
    the limit, as a share of it; negative inside.
    """

    limit: Limit
    standing: Standing
    amount: Amount | None = None
    bound: float | None = None
    excess: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A configuration under all limits; ``chance`` is a lower bound of the probability that it meets all of them."""

    candidate: Candidate
    standing: Standing
    checks: tuple[Check, ...]
    chance: float

    @property
    def excess(self) -> float:
        """The largest excess over any limit."""
        return max((check.excess for check in self.checks), default=0.0)


def judge(candidate: Candidate, limits: Sequence[Limit], *, confidence: float) -> Judged:
    """The configuration under the limits at a joint confidence."""
    each = 1 - (1 - confidence) / max(1, len(limits))
    checks = tuple(_check(candidate, limit, each) for limit in limits)
    standings = {check.standing for check in checks}
    order = (Standing.MISSES, Standing.UNKNOWN, Standing.UNDECIDED)
    standing = next((worst for worst in order if worst in standings), Standing.MEETS)
    doubts = [1 - chance for check in checks if (chance := _chance(check)) is not None]
    known = len(doubts) == len(checks)
    return Judged(
        candidate=candidate,
        standing=standing,
        checks=checks,
        chance=max(0.0, 1 - sum(doubts)) if known else 0.0,
    )


def _check(candidate: Candidate, limit: Limit, confidence: float) -> Check:
    amount = candidate.amounts.get(limit.quality.name)
    if amount is None:
        return Check(limit=limit, standing=Standing.UNKNOWN)
    lower_is_better = limit.quality.better is Better.LOWER
    ratio = amount.value / limit.value
    excess = ratio - 1 if lower_is_better else 1 - ratio
    pessimistic = amount.bound(confidence, upper=lower_is_better)
    optimistic = amount.bound(confidence, upper=not lower_is_better)
    if pessimistic is None or optimistic is None:
        standing = Standing.UNDECIDED
    elif limit.met_by(pessimistic):
        standing = Standing.MEETS
    else:
        standing = Standing.UNDECIDED if limit.met_by(optimistic) else Standing.MISSES
    return Check(limit=limit, standing=standing, amount=amount, bound=pessimistic, excess=excess)


def _chance(check: Check) -> float | None:
    if check.amount is None:
        return None
    if isinstance(check.amount, Stated):
        return 1.0 if check.standing is Standing.MEETS else 0.0
    return chance_within(check.amount, check.limit.value, check.limit.quality.better)
