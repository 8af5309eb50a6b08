"""In which order does the nightly's judge read what it needs? Policy, records, levels in git, acknowledgements."""

from __future__ import annotations

import contextlib
import datetime
import gc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchbox.gate.acknowledged import read_acknowledged
from benchbox.gate.again import Again, read_remeasured
from benchbox.gate.baseline import Expected, read_baseline
from benchbox.gate.comparable import Measured
from benchbox.gate.night import Acknowledgement, NightReport
from benchbox.gate.nightly import judge_night
from benchbox.gate.policy import Policy, policy_of
from benchbox.gate.series import machine_of, name_of, night_at
from benchbox.gate.values import values_of
from benchbox.metrics.metric import METRICS
from benchbox.schema.identity import identity_of
from benchbox.store.records import read_headline, read_record, readable_records, record_files, trials_from_file
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


def judge_stored(
    root: Path,
    *,
    policy_file: str | None,
    against: str | None,
    night: str | None,
    where: Sequence[str],
    warn: Callable[[str], None],
) -> Judged:
    """Judges a night of the records under a root.

    Args:
        root: project root.
        policy_file: the policy; None for ``benchbox.toml`` under the root, or the one without a file.
        against: the one reference that counts, None for those of the policy.
        night: the day on which it ends, "today", or None for the newest with records.
        where: conditions that records must meet.
        warn: receives a line per damaged record.
    """
    with _no_collections():
        return _judge(root, policy_file, against, night, where, warn)


@contextlib.contextmanager
def _no_collections() -> Iterator[None]:
    """No search for garbage meanwhile: thousands of records are none, and each would be looked at again and again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _judge(
    root: Path,
    policy_file: str | None,
    against: str | None,
    night: str | None,
    where: Sequence[str],
    warn: Callable[[str], None],
) -> Judged:
    policy = policy_of(root, policy_file)
    if against is not None:
        policy = policy.model_copy(update={"references": [against]})
    folder = root / policy.anchor.baseline
    again = read_remeasured(root)
    baseline, acknowledged = read_baseline(folder), read_acknowledged(folder)
    conditions = conditions_from_words(where)
    files = {
        record.id: (path, record)
        for path, record in readable_records(record_files(root), warn=warn, read=read_headline)
        if matching(record, conditions)
    }
    records = tuple(record for _, record in files.values())

    def process_values(record: Record, metric: str) -> Sequence[float]:
        path, _ = files[record.id]
        whole = read_record(path)
        return values_of([Measured(record=whole, trials=trials_from_file(path, whole))], METRICS.get(metric))

    # Levels of cases that the conditions leave out are not missing.
    asked = records if where else ()
    names = {name_of(identity_of(record).without_network, machine_of(record.environment)) for record in asked}
    today = night_at(datetime.datetime.now(datetime.UTC), policy.night_starts)
    report = judge_night(
        records,
        policy,
        process_values=process_values,
        baseline={name: entry for name, entry in baseline.items() if not where or name in names},
        acknowledged=acknowledged,
        again=again,
        night=today if night == "today" else night,
    )
    return Judged(
        report=report,
        policy=policy,
        records=records,
        baseline=baseline,
        acknowledged=acknowledged,
        folder=folder,
        again=again,
        process_values=process_values,
    )
