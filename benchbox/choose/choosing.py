"""Which configuration is the answer, which come next, and what is not decided?"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchbox.choose.amounts import Spread
from benchbox.choose.candidates import Candidate, Excluded
from benchbox.choose.front import Member, front_of
from benchbox.choose.limits import ACCURACY, Limit, Quality
from benchbox.choose.standing import Check, Judged, Standing, judge
from benchbox.choose.unmeasured import Unmeasured
from benchbox.schema.reading import Better
from benchbox.schema.record import Record
from benchbox.stats.student import t_quantile

CONFIDENCE = 0.95
RUNNERS_UP = NEAREST = 3
# More processes than these are not worth their time: the configuration is at the limit.
MOST_TRIALS = 100


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked: limits, the quality to be best in, and the joint confidence of the limits."""

    limits: tuple[Limit, ...]
    objective: Quality
    confidence: float = CONFIDENCE


@dataclass(frozen=True, kw_only=True)
class Undecided:
    """A configuration whose intervals contain a limit; ``trials`` would decide, None where that is too many."""

    judged: Judged
    trials: int | None


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
    unknown: tuple[Judged, ...]
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
    undecided = [Undecided(judged=entry, trials=_trials(entry, request)) for entry in by_standing[Standing.UNDECIDED]]
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
        unknown=tuple(by_standing[Standing.UNKNOWN]),
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


def _trials(judged: Judged, request: Request) -> int | None:
    """Processes after which every limit would be decided, if estimates and spread stay as they are."""
    each = 1 - (1 - request.confidence) / max(1, len(request.limits))
    needed = [_trials_for(check, each) for check in judged.checks if check.standing is Standing.UNDECIDED]
    known = [number for number in needed if number is not None]
    return max(known) if known and len(known) == len(needed) else None


def _trials_for(check: Check, confidence: float) -> int | None:
    amount = check.amount
    if not isinstance(amount, Spread):
        return None
    if amount.error is None:
        return 10
    gap = abs(math.log(amount.value / check.limit.value))
    spread = amount.error * math.sqrt(amount.degrees + 1)
    for number in range(amount.degrees + 2, MOST_TRIALS + 1):
        if t_quantile(confidence, number - 1) * spread / math.sqrt(number) < gap:
            return number
    return None
