"""What goes into the page of the records under a root?"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchbox.choose.candidates import Candidate, candidates_from_records
from benchbox.choose.front import front_of
from benchbox.choose.limits import ACCURACY
from benchbox.gate.history import series_from_records
from benchbox.jobs.choose import case_name, facet_of
from benchbox.models.zoo.zoo import specs
from benchbox.report.material import Accuracy, Material
from benchbox.schema.record import Record
from benchbox.schema.trial import Pass, Trial
from benchbox.schema.verdict import Series
from benchbox.store.accuracies import accuracies_under
from benchbox.store.ceilings import stored_ceilings
from benchbox.store.records import readable_trials

# A series of fewer records is a comparison, not a history.
_NIGHTS = 3
_EFFECT = 0.05
_FRONT = (ACCURACY, "latency", "memory")


def material_from_records(
    root: Path, found: Sequence[tuple[Path, Record]], *, title: str, warn: Callable[[str], None]
) -> Material:
    """Everything that the page shows of these records.

    Args:
        root: whose accuracies and ceilings go with them.
        found: record files and the records in them.
        title: heads the page.
        warn: receives a line per damaged file.
    """
    records = tuple(record for _, record in found)
    known = specs()
    candidates, _ = candidates_from_records(
        records,
        facet_of=lambda record: (*facet_of(record), record.environment.hash),
        name_of=lambda record: case_name(record, across=False),
        accuracies=accuracies_under(root, warn=warn),
        published={name: (spec.accuracy.top1, spec.accuracy.source) for name, spec in known.items() if spec.accuracy},
    )
    return Material(
        title=title,
        records=records,
        specs=known,
        accuracies={
            candidate.record.id: _accuracy(candidate) for candidate in candidates if ACCURACY in candidate.amounts
        },
        medians_s=_medians(found, warn),
        front=_front(candidates),
        series=_histories(records),
        ceilings=stored_ceilings(root, warn=warn),
    )


def _accuracy(candidate: Candidate) -> Accuracy:
    amount = candidate.amounts[ACCURACY]
    measured = amount.source == "measured"
    return Accuracy(
        value=amount.value,
        low=amount.bound(0.975, upper=False) if measured else None,
        high=amount.bound(0.975, upper=True) if measured else None,
        source=amount.source,
    )


def _front(candidates: Sequence[Candidate]) -> Mapping[str, float]:
    """The probability of being on the front by record, machine and mode each for itself."""
    facets: dict[tuple[str, ...], list[Candidate]] = {}
    for candidate in candidates:
        facets.setdefault(candidate.facet, []).append(candidate)
    return {
        member.candidate.record.id: member.probability
        for facet in facets.values()
        for member in front_of(facet, _FRONT)
    }


def _medians(found: Sequence[tuple[Path, Record]], warn: Callable[[str], None]) -> Mapping[str, tuple[float, ...]]:
    """The median latency of each timed process, by record."""
    measured = [pair for pair in found if pair[1].readings]
    return {
        record.id: medians
        for _, (record, trials) in (readable_trials(measured, warn=warn) if measured else [])
        if (medians := tuple(_median_s(trial) for trial in trials if _is_timed(trial)))
    }


def _is_timed(trial: Trial) -> bool:
    return trial.pass_ is Pass.TIMING and len(trial.samples_ns) > trial.steady_from


def _median_s(trial: Trial) -> float:
    return statistics.median(trial.samples_ns[trial.steady_from :]) / 1e9


def _histories(records: Sequence[Record]) -> tuple[Series, ...]:
    series = series_from_records(records, metric="latency_p50", effect=_EFFECT)
    return tuple(one for one in series if len(one.points) >= _NIGHTS)
