"""What of a sweep is done?

The records say so: each carries the mark of its step among what was observed. Nothing else is needed to continue after
whatever happened, and a step that has its record is not measured again.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchbox.fleet.plan import Step, SweepPlan
from benchbox.schema.identity import SWEEP_MARK
from benchbox.schema.record import Record, Status, reading_of
from benchbox.store.records import read_headline, readable_records, record_files

MOST_TRIES = 2
# What happens to a process from outside, and may not happen again.
_TRANSIENT = ("the worker was killed", "the worker ended without an answer")


@dataclass(frozen=True, kw_only=True)
class StepState:
    """The records of a step, oldest first."""

    records: tuple[Record, ...] = ()

    @property
    def is_done(self) -> bool:
        """Whether there is nothing more to measure: numbers, a refusal, a lasting failure, or enough tries."""
        if any(record.status is not Status.FAILED for record in self.records):
            return True
        lasting = any(not is_transient(record.reason) for record in self.records)
        return lasting or len(self.records) >= MOST_TRIES

    @property
    def last(self) -> Record | None:
        """The record that counts: the newest with numbers or a refusal, else the newest."""
        kept = [record for record in self.records if record.status is not Status.FAILED]
        if kept:
            return kept[-1]
        return self.records[-1] if self.records else None


def is_transient(reason: str) -> bool:
    """Whether a case failed by what happened to its process, not by itself."""
    return any(words in reason for words in _TRANSIENT)


def states_under(root: Path, plan: SweepPlan, *, warn: Callable[[str], None]) -> dict[str, StepState]:
    """The state of every step of a plan, by its name, from the records under a root.

    Args:
        root: project root.
        plan: of the sweep.
        warn: receives one line per damaged record.
    """
    return states_of(plan, records_since(root, plan, warn=warn))


def records_since(root: Path, plan: SweepPlan, *, warn: Callable[[str], None]) -> list[Record]:
    """The records under a root that are not older than a plan, but for the day of a clock that was off."""
    first = first_day(plan)
    paths = [path for path in record_files(root) if path.stem[:8] >= first]
    return [record for _, record in readable_records(paths, warn=warn, read=read_headline)] if paths else []


def first_day(plan: SweepPlan) -> str:
    """The day before that of a plan, as 20261128: nodes' clocks differ, and record ids begin with their own."""
    return f"{datetime.datetime.strptime(plan.id[:8], '%Y%m%d') - datetime.timedelta(days=1):%Y%m%d}"


def surplus_of(root: Path, plan: SweepPlan, *, stored: Collection[str]) -> frozenset[str]:
    """Ids of records under a root whose steps are done by others that lie in a store.

    Args:
        root: project root, with those records of the store.
        plan: of the sweep.
        stored: ids of all records in the store.
    """
    states = states_under(root, plan, warn=lambda _: None)
    return frozenset(
        record.id
        for state in states.values()
        if StepState(records=tuple(record for record in state.records if record.id in stored)).is_done
        for record in state.records
        if record.id not in stored
    )


def states_of(plan: SweepPlan, records: Iterable[Record]) -> dict[str, StepState]:
    """The state of every step of a plan, by its name."""
    found: dict[str, list[Record]] = {step.name: [] for step in plan.steps}
    for record in sorted(records, key=lambda record: record.id):
        owner, _, name = record.environment.observed.get(SWEEP_MARK, "").partition("/")
        if owner == plan.id and name in found:
            found[name].append(record)
    return {name: StepState(records=tuple(kept)) for name, kept in found.items()}


def open_units(plan: SweepPlan, states: Mapping[str, StepState]) -> Sequence[int]:
    """Numbers of the units in which a step is not done."""
    return [unit.number for unit in plan.units if not all(states[step.name].is_done for step in unit.steps)]


@dataclass(frozen=True, kw_only=True)
class Swept:
    """What became of a sweep: the plan, and the state of each of its steps."""

    plan: SweepPlan
    states: Mapping[str, StepState]

    @property
    def lacking(self) -> list[Step]:
        """Steps that are not done."""
        return [step for step in self.plan.steps if not self.states[step.name].is_done]

    def steps_of(self, status: Status) -> list[Step]:
        """Steps whose record has this status."""
        found = ((step, self.states[step.name].last) for step in self.plan.steps)
        return [step for step, record in found if record is not None and record.status is status]

    @property
    def drift(self) -> float | None:
        """By which factor the slowest median of the anchor is over the fastest, None without two."""
        values = []
        for step in self.plan.steps:
            record = self.states[step.name].last
            reading = reading_of(record, "latency_p50") if step.anchor and record is not None else None
            values += [reading.value] if reading is not None else []
        return max(values) / min(values) if len(values) > 1 and min(values) > 0 else None


def swept(root: Path, plan: SweepPlan, *, warn: Callable[[str], None]) -> Swept:
    """What became of a plan, from the records under a root."""
    return Swept(plan=plan, states=states_under(root, plan, warn=warn))
