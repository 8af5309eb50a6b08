"""Which configuration is the answer, which come next, and what is not decided?"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchbox.choose.amounts import Counted, Spread
from benchbox.choose.candidates import Candidate, Excluded
from benchbox.choose.front import Member, front_of
from benchbox.choose.limits import ACCURACY, THROUGHPUT, Limit, Quality
from benchbox.choose.standing import Judged, Standing, judge
from benchbox.choose.unmeasured import Unmeasured
from benchbox.schema.plan import Mode
from benchbox.schema.reading import Better
from benchbox.schema.record import Record
from benchbox.stats.interval import wilson_interval
from benchbox.stats.student import t_quantile

CONFIDENCE = 0.95
RUNNERS_UP = NEAREST = 3
# More than these are not worth their time: the configuration is at the limit.
MOST_TRIALS, MOST_PASSES, MOST_PICTURES = 100, 10, 1_000_000


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked: limits, the quality to be best in, and the joint confidence of the limits."""

    limits: tuple[Limit, ...]
    objective: Quality
    confidence: float = CONFIDENCE


@dataclass(frozen=True, kw_only=True)
class Undecided:
    """A configuration of which more measuring would tell whether it meets the limits.

    ``trials`` processes, for one that a sweep measured so many ``passes``, and ``pictures`` labelled pictures would
    decide the limits that its intervals contain; 0 where there is none of that kind, None where that is too many.
    ``by_rate``: one of these limits is on the throughput of mode server, which is the arrival rate: none would decide.
    """

    judged: Judged
    trials: int | None = 0
    passes: int | None = 0
    pictures: int | None = 0
    by_rate: bool = False

    @property
    def is_open(self) -> bool:
        """Whether measuring would decide it, by as many as are worth their time."""
        return None not in (self.trials, self.passes, self.pictures) and not self.by_rate

    @property
    def processes(self) -> int:
        """In all of ``passes``, as many in each as now; 0 where there is no number of these."""
        amounts = [check.amount for check in self.judged.checks if isinstance(check.amount, Spread)]
        each = max(((amount.degrees + 1) // amount.passes for amount in amounts if amount.passes > 1), default=0)
        return each * (self.passes or 0)

    @property
    def lacking(self) -> tuple[str, ...]:
        """The limited qualities that are not known."""
        return tuple(check.limit.quality.name for check in self.judged.checks if check.standing is Standing.UNKNOWN)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The answer for one machine and mode.

    ``answer`` is None where nothing surely meets the limits. ``misses`` are the nearest of those that do not;
    ``unknown`` lack a quality that is limited; ``unmeasured`` have no record; ``excluded`` counts the records that
    cannot be chosen, by reason.
    """

    facet: tuple[str, ...]
    request: Request
    answer: Judged | None
    runners_up: tuple[Judged, ...]
    feasible: int
    considered: int
    undecided: tuple[Undecided, ...]
    misses: tuple[Judged, ...]
    unknown: tuple[Undecided, ...]
    excluded: Mapping[str, int]
    front: tuple[Member, ...]
    front_qualities: tuple[str, ...]
    unmeasured: tuple[Unmeasured, ...] = ()


def choices_of(
    candidates: Sequence[Candidate], excluded: Sequence[Excluded], request: Request, *, seed: int = 0
) -> tuple[Choice, ...]:
    """An answer for each facet, the one with the newest record first."""
    facets: dict[tuple[str, ...], str] = {}
    known: list[tuple[tuple[str, ...], Record]] = [(entry.facet, entry.record) for entry in candidates]
    known += [(entry.facet, entry.record) for entry in excluded]
    for facet, record in known:
        facets[facet] = max(facets.get(facet, ""), record.started_at)
    return tuple(
        _choice(
            facet,
            [entry for entry in candidates if entry.facet == facet],
            [entry for entry in excluded if entry.facet == facet],
            request,
            seed,
        )
        for facet in sorted(facets, key=lambda facet: (facets[facet], facet), reverse=True)
    )


def _choice(
    facet: tuple[str, ...], candidates: Sequence[Candidate], excluded: Sequence[Excluded], request: Request, seed: int
) -> Choice:
    judged = [judge(entry, request.limits, confidence=request.confidence) for entry in candidates]
    by_standing = {standing: [entry for entry in judged if entry.standing is standing] for standing in Standing}
    ranked = sorted(
        (entry for entry in by_standing[Standing.MEETS] if request.objective.name in entry.candidate.amounts),
        key=lambda entry: _cost(entry.candidate, request.objective),
    )
    undecided = [_undecided(entry, request) for entry in by_standing[Standing.UNDECIDED]]
    possible = [entry.candidate for entry in judged if entry.standing in {Standing.MEETS, Standing.UNDECIDED}]
    names = _front_qualities(possible, request)
    return Choice(
        facet=facet,
        request=request,
        answer=ranked[0] if ranked else None,
        runners_up=tuple(ranked[1 : 1 + RUNNERS_UP]),
        feasible=len(ranked),
        considered=len(candidates),
        undecided=tuple(sorted(undecided, key=lambda entry: -entry.judged.chance)),
        misses=tuple(sorted(by_standing[Standing.MISSES], key=lambda entry: entry.excess)[:NEAREST]),
        unknown=tuple(_undecided(entry, request) for entry in by_standing[Standing.UNKNOWN]),
        excluded=dict(Counter(entry.reason for entry in excluded).most_common()),
        front=front_of(possible, names, seed=seed),
        front_qualities=names,
    )


def _cost(candidate: Candidate, objective: Quality) -> float:
    value = candidate.amounts[objective.name].value
    return value if objective.better is Better.LOWER else -value


def _front_qualities(candidates: Sequence[Candidate], request: Request) -> tuple[str, ...]:
    """The objective, what is limited, memory, and accuracy where all have one."""
    names = [request.objective.name, *(limit.quality.name for limit in request.limits), "memory"]
    if candidates and all(ACCURACY in entry.amounts for entry in candidates):
        names.append(ACCURACY)
    return tuple(name for name in dict.fromkeys(names) if any(name in entry.amounts for entry in candidates))


def _undecided(judged: Judged, request: Request) -> Undecided:
    """With what decides each limit, if estimates and spread stay as they are."""
    each = 1 - (1 - request.confidence) / max(1, len(request.limits))
    needed: dict[str, list[int | None]] = {"trials": [], "passes": [], "pictures": []}
    by_rate = False
    for check in judged.checks:
        if check.standing is not Standing.UNDECIDED:
            continue
        if is_by_rate(judged.candidate, check.limit.quality):
            by_rate = True
            continue
        if isinstance(check.amount, Counted):
            needed["pictures"].append(_pictures_for(check.amount, check.limit, each))
        elif isinstance(check.amount, Spread):
            kind, enough = ("passes", _passes_for) if check.amount.passes > 1 else ("trials", _trials_for)
            needed[kind].append(enough(check.amount, check.limit, each))
    return Undecided(judged=judged, by_rate=by_rate, **{kind: _most(numbers) for kind, numbers in needed.items()})


def is_by_rate(candidate: Candidate, quality: Quality) -> bool:
    """Whether a quality was asked for and not found: in mode server samples arrive at a rate, and leave at it."""
    return quality.name == THROUGHPUT and candidate.record.key.mode is Mode.SERVER


def _most(numbers: Sequence[int | None]) -> int | None:
    known = [number for number in numbers if number is not None]
    return max(known, default=0) if len(known) == len(numbers) else None


def _trials_for(amount: Spread, limit: Limit, confidence: float) -> int | None:
    """Processes at whose number the bound is on one side of the limit."""
    if amount.error is None:
        return 10
    gap = abs(math.log(amount.value / limit.value))
    for number in range(amount.degrees + 2, MOST_TRIALS + 1):
        if _reach(amount.error, amount.degrees + 1, number, confidence) < gap:
            return number
    return None


def _passes_for(amount: Spread, limit: Limit, confidence: float) -> int | None:
    """Passes, each of as many processes as now, at whose number both bounds are on one side of the limit."""
    number = amount.degrees + 1
    gap = abs(math.log(amount.value / limit.value))
    for passes in range(amount.passes + 1, MOST_PASSES + 1):
        inside = _reach(amount.error or 0.0, number, number * passes // amount.passes, confidence)
        if max(inside, _reach(amount.between, amount.passes, passes, confidence)) < gap:
            return passes
    return None


def _reach(error: float, number: int, more: int, confidence: float) -> float:
    """How far the bound will be from the estimate with more values, by their error as it is with this number."""
    return t_quantile(confidence, more - 1) * error * math.sqrt(number / more)


def _pictures_for(amount: Counted, limit: Limit, confidence: float) -> int | None:
    """As many pictures as decide a limit on accuracy at the share that was seen, rounded up to two digits."""
    number = 100.0
    while number <= MOST_PICTURES:
        low, high = wilson_interval(round(amount.value * number), round(number), level=2 * confidence - 1)
        if low >= limit.value or high < limit.value:
            digit: int = 10 ** (math.floor(math.log10(number)) - 1)
            return math.ceil(number / digit) * digit
        number *= 1.1
    return None
