"""What goes into the page of the records under a root?"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchbox.choose.candidates import Candidate, candidates_from_records
from benchbox.choose.front import front_of
from benchbox.choose.limits import ACCURACY
from benchbox.errors import BenchboxError
from benchbox.gate.formats.headline import headline
from benchbox.gate.formats.words import SIGNS, environment_lines, kind_of_group
from benchbox.gate.history import series_from_records
from benchbox.gate.night import Group, NightReport, Qualifier
from benchbox.gate.policy import policy_of
from benchbox.gate.series import NIGHT_STARTS
from benchbox.jobs.choose import case_name, facet_of
from benchbox.jobs.gate import judge_stored
from benchbox.models.zoo.zoo import specs
from benchbox.report.material import Accuracy, Material
from benchbox.schema.layers import StoredLayers
from benchbox.schema.record import Record
from benchbox.schema.trial import Pass, Trial
from benchbox.schema.verdict import Outcome, Series
from benchbox.store.accuracies import accuracies_under
from benchbox.store.ceilings import stored_ceilings
from benchbox.store.layers import stored_layers
from benchbox.store.records import readable_trials
from benchbox.units import format_change

# A series of fewer nights is a comparison, not a history.
_NIGHTS = 3
_EFFECT = 0.05
_GROUPS = 5
_FRONT = (ACCURACY, "latency", "memory")


def material_from_records(
    root: Path,
    found: Sequence[tuple[Path, Record]],
    *,
    title: str,
    where: Sequence[str] = (),
    warn: Callable[[str], None],
) -> Material:
    """Everything that the page shows of these records.

    Args:
        root: whose accuracies and ceilings go with them.
        found: record files and the records in them.
        title: heads the page.
        where: the conditions by which the records were chosen.
        warn: receives a line per damaged file.
    """
    records = tuple(record for _, record in found)
    known = specs()
    accuracies = accuracies_under(root, warn=warn)
    verdict, changes = _verdict(root, where, warn) if records else ((), {})
    candidates, _ = candidates_from_records(
        records,
        facet_of=lambda record: (*facet_of(record), record.environment.hash),
        name_of=lambda record: case_name(record, across=False),
        accuracies=accuracies,
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
        series=_histories(root, records),
        ceilings=stored_ceilings(root, warn=warn),
        layers=_layers_of(root, records, narrowed=bool(where), warn=warn),
        answers=accuracies,
        verdict=verdict,
        changes=changes,
    )


def _layers_of(
    root: Path, records: Sequence[Record], *, narrowed: bool, warn: Callable[[str], None]
) -> tuple[StoredLayers, ...]:
    """The stored tables of layers; where records were chosen, those of their networks."""
    models = {record.key.model for record in records}
    return tuple(one for one in stored_layers(root, warn=warn) if not narrowed or one.table.model in models)


def _verdict(
    root: Path, where: Sequence[str], warn: Callable[[str], None]
) -> tuple[tuple[str, ...], Mapping[str, Outcome]]:
    """What the gate says of the newest night, in words and of each record; that nothing can be compared, and why."""
    try:
        report = judge_stored(root, policy_file=None, against=None, night=None, where=where, warn=warn).report
    except BenchboxError as error:
        return (f"The newest night cannot be judged: {error.what}", *([error.values] if error.values else [])), {}
    old = [one for one in report.findings if Qualifier.NEW not in one.qualifiers and not one.is_gap]
    if not old:
        cases = len({finding.name for finding in report.findings})
        failed = len({finding.name for finding in report.findings if finding.is_gap})
        return (
            "Nothing to compare yet",
            f"none of {cases} case{'' if cases == 1 else 's'} was measured in enough nights to say whether it changed"
            + (f", {failed} failed" if failed else "")
            + "; 'benchbox gate' judges every further night, 'benchbox compare' any two records",
        ), {}
    night = headline(report)
    lines = [night[:1].upper() + night[1:]]
    lines += [_group_line(report, group) for group in report.groups[:_GROUPS]]
    if len(report.groups) > _GROUPS:
        lines.append(f"and {len(report.groups) - _GROUPS} more groups ('benchbox gate')")
    # Backwards, so that of several references the first has the last word.
    timed = [one for one in reversed(old) if one.verdict.metric == "latency_p50"]
    changes = {one.place.records[1]: one.verdict.outcome for one in timed}
    return (*lines, *environment_lines(report), *(text for _, text in report.reasons[:1])), changes


def _group_line(report: NightReport, group: Group) -> str:
    """An alarm in one line: what, where, how much and why."""
    cases = group.cases[0] if len(group.cases) == 1 else f"{len(group.cases)} cases"
    worst = "" if group.worst is None else f", {format_change(group.worst)}"
    owner = f"; owner {', '.join(group.owners)}" if group.owners else ""
    return f"{SIGNS[group.outcome]} {cases} {kind_of_group(report, group)}{worst}: {group.cause}{owner}"


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


def _histories(root: Path, records: Sequence[Record]) -> tuple[Series, ...]:
    """The series of nights as ``benchbox history`` has them: a point a night and environment."""
    try:
        starts = policy_of(root, None).night_starts
    except BenchboxError:
        starts = NIGHT_STARTS  # the verdict says what is wrong with the policy
    series = series_from_records(records, metric="latency_p50", effect=_EFFECT, night_starts=starts)
    return tuple(one for one in series if len(one.points) >= _NIGHTS)
