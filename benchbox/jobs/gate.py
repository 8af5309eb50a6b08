"""In which order does the nightly's judge read what it needs? Policy, records, levels in git, acknowledgements."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchbox.errors import StoreError, UsageError
from benchbox.gate.again import Again, read_remeasured
from benchbox.gate.comparable import Measured
from benchbox.gate.levels.acknowledged import read_acknowledged
from benchbox.gate.levels.baseline import Expected, read_baseline
from benchbox.gate.levels.proposals import proposals_for
from benchbox.gate.night import Acknowledgement, Finding, NightReport, Tier
from benchbox.gate.nightly import judge_night
from benchbox.gate.policy import Policy, policy_of
from benchbox.gate.selftest import read_selftests
from benchbox.gate.series import CaseSeries, case_series, machine_of, night_at
from benchbox.gate.tonight import EXACT
from benchbox.gate.values import values_of
from benchbox.jobs.selecting import nothing_fits, say_unmatched
from benchbox.metrics.metric import METRICS
from benchbox.models.asked import words_of_artifact
from benchbox.registry import suggestion
from benchbox.schema.identity import identity_of, network_of
from benchbox.schema.verdict import Outcome
from benchbox.store.kept import known_artifacts
from benchbox.store.records import (
    count_records,
    files_below,
    process_seconds,
    read_headline,
    read_record,
    readable_records,
    record_files,
    trials_from_file,
)
from benchbox.store.selection import conditions_from_words, matching

if TYPE_CHECKING:
    from benchbox.schema.record import Record


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A night's judgement, and what it was made from."""

    report: NightReport
    policy: Policy
    records: tuple[Record, ...]
    baseline: dict[str, Expected]
    acknowledged: tuple[Acknowledgement, ...]
    folder: Path
    again: Again
    process_values: Callable[[Record, str], Sequence[float]]
    process_seconds: Callable[[Record], float | None]


def judge_stored(
    root: Path,
    *,
    policy_file: str | None,
    against: str | None,
    night: str | None,
    where: Sequence[str],
    warn: Callable[[str], None],
    newest_only: bool = False,
) -> Judged:
    """Judges a night of the records under a root.

    Args:
        root: project root.
        policy_file: the policy; None for ``benchbox.toml`` under the root, or the one without a file.
        against: the one reference that counts: "rolling", "anchor", or a folder with levels or records, from which
            nothing may differ by more than the effect, in one night; None for those of the policy.
        night: the day on which it ends, "today", or None for the newest with records.
        where: conditions that records must meet.
        warn: receives a line per damaged record.
        newest_only: of each case only the newest record counts: several commits were measured in one night.

    Raises:
        UsageError: the policy, the conditions or the folder are wrong.
        StoreError: nothing can be read, or what lies beside the records is damaged.
    """
    policy = policy_of(root, policy_file)
    references = {"rolling", "anchor"}
    elsewhere = Path(against) if against is not None and against not in references else None
    if against is not None and elsewhere is None:
        policy = policy.model_copy(update={"references": [against]})
    stored, unreadable = _stored(root, where, warn, newest_only=newest_only)
    folder = root / policy.anchor.baseline
    baseline = read_baseline(folder)
    if elsewhere is not None:
        policy = _at_once(policy)
        baseline = _levels_in(elsewhere, against or "", policy, warn)
    judged = _judged(
        root, policy, stored, baseline, folder, night, narrowed=bool(where), unreadable=unreadable, warn=warn
    )
    options = _options(policy_file, against, night, where)
    report = dataclasses.replace(
        judged.report,
        options=options,
        root="" if root.resolve() == Path.cwd() else str(root),
        levels_in="git" if elsewhere is None else str(elsewhere),
        # A level is older than what is stored where records are kept for so many days.
        lacking=frozenset({one for row in judged.report.findings for one in row.place.records} - stored.keys()),
    )
    judged = dataclasses.replace(judged, report=report)
    today = _today(policy)
    if night is None and judged.report.night > today:
        warn(
            f"warning: the night of {judged.report.night} has not come yet, today's is that of {today}: was a clock "
            "wrong, here or where it was measured? --night DATE judges another"
        )
    return judged


def _options(policy_file: str | None, against: str | None, night: str | None, where: Sequence[str]) -> tuple[str, ...]:
    """The options that say what is judged, for commands that judge the same."""
    given = (("--policy", policy_file), ("--against", against), ("--night", night if night != "today" else None))
    conditions = [word for condition in where for word in ("--where", condition)]
    return (*(word for flag, value in given if value is not None for word in (flag, value)), *conditions)


def _stored(
    root: Path, where: Sequence[str], warn: Callable[[str], None], *, newest_only: bool
) -> tuple[dict[str, tuple[Path, Record]], tuple[str, ...]]:
    """The records by their ids, with their files; and the names of files that are damaged."""
    conditions = conditions_from_words(where)
    files = record_files(root, conditions)
    readable = readable_records(files, warn=warn, read=read_headline)
    found = {record.id: (path, record) for path, record in readable if matching(record, conditions)}
    if where and not found and count_records(root):
        raise nothing_fits(root, where)
    say_unmatched(root, where, [record for _, record in found.values()], warn)
    lost = {*files} - {path for path, _ in readable} if len(readable) < len(files) else ()
    unreadable = tuple(path.name for path in sorted(lost))
    if not newest_only:
        return found, unreadable
    newest = {
        (identity_of(record).without_network, machine_of(record.environment)): record.id
        for _, record in sorted(found.values(), key=lambda entry: (entry[1].started_at, entry[1].id))
    }
    return {identifier: found[identifier] for identifier in newest.values()}, unreadable


def _at_once(policy: Policy) -> Policy:
    """One night is enough, and one effect."""
    anchor = policy.anchor.model_copy(update={"drift": 1.0})
    rolling = policy.rolling.model_copy(update={"persist": 1})
    rules = [rule.model_copy(update={"persist": None}) for rule in policy.rule]
    return policy.model_copy(update={"references": ["anchor"], "anchor": anchor, "rolling": rolling, "rule": rules})


def _levels_in(folder: Path, text: str, policy: Policy, warn: Callable[[str], None]) -> dict[str, Expected]:
    """The levels in a folder, or those of the newest records in it."""
    if not folder.is_dir():
        raise UsageError(
            f"--against: there is no reference or folder '{text}'",
            values="references: rolling, anchor",
            remedy=suggestion(text, ("rolling", "anchor"))
            or "name a folder with records, or one like results/baseline",
        )
    if found := read_baseline(folder):
        return found
    paths = {record.id: path for path, record in readable_records(files_below(folder), warn=warn)}
    records = [read_record(path) for path in paths.values()]
    if not records:
        raise UsageError(f"--against: there is neither a level nor a record in {folder}")

    measured = functools.cache(_measured)

    def values(record: Record, metric: str) -> Sequence[float]:
        return values_of([measured(paths[record.id])], METRICS.get(metric))

    report = judge_night(records, policy, process_values=values)
    _, cases = proposals_for(records, report, policy, {}, values, accepted=False)
    return cases


def _measured(path: Path) -> Measured:
    whole = read_record(path)
    return Measured(record=whole, trials=trials_from_file(path, whole))


def _judged(
    root: Path,
    policy: Policy,
    files: dict[str, tuple[Path, Record]],
    baseline: dict[str, Expected],
    folder: Path,
    night: str | None,
    *,
    narrowed: bool,
    unreadable: Sequence[str],
    warn: Callable[[str], None],
) -> Judged:
    again, acknowledged = read_remeasured(root), read_acknowledged(folder)
    measured = functools.cache(_measured)

    def process_values(record: Record, metric: str) -> Sequence[float]:
        return values_of([measured(files[record.id][0])], METRICS.get(metric))

    # Levels of cases that the conditions leave out are not missing.
    asked = [record for _, record in files.values()] if narrowed else []
    names = {case.name for case in case_series(asked, night_starts=policy.night_starts)}
    judge = functools.partial(
        judge_night,
        policy=policy,
        baseline={name: entry for name, entry in baseline.items() if not narrowed or name in names},
        acknowledged=acknowledged,
        again=again,
        selftests=read_selftests(root),
    )
    tonight = _today(policy) if night == "today" else night
    report, damaged = _judged_whole(judge, files, tonight, unreadable, process_values, warn)
    records = tuple(record for identifier, (_, record) in files.items() if identifier not in damaged)
    return Judged(
        report=_with_networks(report, records, policy, root),
        policy=policy,
        records=records,
        baseline=baseline,
        acknowledged=acknowledged,
        folder=folder,
        again=again,
        process_values=process_values,
        process_seconds=lambda record: process_seconds(files[record.id][0]),
    )


def _judged_whole(
    judge: Callable[..., NightReport],
    files: Mapping[str, tuple[Path, Record]],
    night: str | None,
    unreadable: Sequence[str],
    process_values: Callable[[Record, str], Sequence[float]],
    warn: Callable[[str], None],
) -> tuple[NightReport, set[str]]:
    """The judgement of records whose samples can be read where they are asked for, and the ids of the others.

    Of a damaged file the headline is often whole: that is found out while judging, which is then done once more.
    """
    damaged: set[str] = set()

    def values(record: Record, metric: str) -> Sequence[float]:
        try:
            return process_values(record, metric)
        except StoreError as error:
            if record.id not in damaged:
                warn(f"warning: skipped: {error.what}: {error.values}")
            damaged.add(record.id)
            return ()

    while True:
        left = [record for identifier, (_, record) in files.items() if identifier not in damaged]
        names = sorted((*unreadable, *(files[identifier][0].name for identifier in damaged)))
        known = len(damaged)
        report = judge(left, process_values=values, night=night, unreadable=names)
        if len(damaged) == known:
            return report, damaged
        night = report.night  # a night whose records are all damaged is that night, not the one before


def seconds_of_cases(judged: Judged) -> dict[str, float]:
    """How long the processes of each case ran in the night, in seconds, by the case's name; of those that are known.

    A record whose rows are damaged has no time: it was judged by what its headline says.
    """
    found: dict[str, float] = {}
    for case in case_series(judged.records, night_starts=judged.policy.night_starts):
        for record in case.nights.get(judged.report.night, ()):
            with contextlib.suppress(StoreError):
                seconds = judged.process_seconds(record)
                if seconds is not None:
                    found[case.name] = found.get(case.name, 0.0) + seconds
    return found


def _with_networks(report: NightReport, judged: Sequence[Record], policy: Policy, root: Path) -> NightReport:
    """The report, each finding with what its network is called on the command line: a record has its name alone."""
    if all(finding.verdict.outcome is Outcome.SAME for finding in report.findings):  # nothing to measure again
        return report
    series = {case.name: case for case in case_series(judged, night_starts=policy.night_starts)}
    named: dict[str, set[tuple[str, ...]]] = {}
    words: dict[str, tuple[str, ...]] = {}
    for network, artifact in known_artifacts(root).items():
        words[network] = tuple(words_of_artifact(artifact))
        named.setdefault(artifact.model, set()).add(words[network])

    def asked(finding: Finding) -> tuple[str, ...]:
        case = series.get(finding.name)
        found = next((words[network] for network in _networks_of(case) if network in words), None)
        # A file that nobody has a card of any more may have become another one in its place, but not one elsewhere.
        alone = named.get(finding.verdict.case.model, set())
        return found or (next(iter(alone)) if len(alone) == 1 else ())

    findings = tuple(dataclasses.replace(finding, asked=asked(finding)) for finding in report.findings)
    return dataclasses.replace(report, findings=findings)


def _networks_of(case: CaseSeries | None) -> Iterator[str]:
    """The networks of a case in one word, the newest first."""
    nights = case.nights if case else {}
    for night in sorted(nights, reverse=True):
        yield from filter(None, map(network_of, reversed(nights[night])))


def _today(policy: Policy) -> str:
    return night_at(datetime.datetime.now(datetime.UTC), policy.night_starts)


def bisect_status(report: NightReport) -> int:
    """0 where tonight is good, 1 where something is slower, 125 where nobody can tell: git bisect skips that."""
    if any(finding.is_alarm for finding in report.findings) and report.selftest.believed is not False:
        return 1
    told = [finding for finding in report.findings if finding.tier is Tier.PRIMARY and finding.reference != EXACT]
    unclear = (Outcome.INCONCLUSIVE, Outcome.INCOMPARABLE, Outcome.MISSING, Outcome.FAILED)
    if not told or any(finding.verdict.outcome in unclear for finding in told):
        return 125
    return 0
