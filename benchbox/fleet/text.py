"""How are a sweep's plan and what became of it shown?"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchbox.fleet.done import Swept
from benchbox.fleet.plan import Step, SweepPlan, Unit, arguments_of
from benchbox.fleet.unit import StepEnd, last_words
from benchbox.report.screen import lines_below, screen_width, shell_lines, table_of
from benchbox.report.table import Column
from benchbox.schema.record import Status
from benchbox.units import ABSENT, counted, format_ratio

# The anchor is the same case each time: more than this and the machine moved.
_MOVED = 0.05
_SHOWN = 10
# Precision and batch of a case that names none.
_OWN = "own"


def render_plan(plan: SweepPlan, *, timed: int, cases: int) -> str:
    """The units with their steps, the command of the first one, and how long it will take.

    Args:
        plan: of the sweep.
        timed: cases whose time is known from earlier sweeps.
        cases: in all.
    """
    rows = [_Planned(unit=unit, step=step, first=step is unit.steps[0]) for unit in plan.units for step in unit.steps]
    known = "times are known from earlier sweeps" if timed == cases else f"{timed} of {cases} cases were timed before"
    step = next(row.step for row in rows if not row.step.anchor)
    own = any(row.step.case.precision is None or row.step.case.batch is None for row in rows)
    return "\n\n".join(
        [
            table_of(_COLUMNS, rows, remedy="a wider screen or --json shows all"),
            f"step {step.name} is:\n{shell_lines(shlex.join(['benchbox', *arguments_of(plan, step)]), screen_width())}",
            lines_below(f"{size_of(plan)}; {known}", f"{_OWN}: what the network's file has" if own else ""),
        ]
    )


@dataclass(frozen=True, kw_only=True)
class _Planned:
    """A step in its unit; ``first`` where it is the first one there."""

    unit: Unit
    step: Step
    first: bool

    @property
    def about(self) -> str:
        """How long the unit may take, beside its first step."""
        return _minutes(self.unit.seconds) if self.first else ""


def _column(
    title: str,
    text: Callable[[_Planned], str],
    *,
    number: bool = False,
    optional: bool = False,
    once: bool = False,
    rank: int = 0,
) -> Column[_Planned]:
    return Column(title=title, cell=text, number=number, optional=optional, once=once, rank=rank)


_COLUMNS: tuple[Column[_Planned], ...] = (
    _column("unit", lambda row: str(row.unit.number) if row.first else "", number=True),
    _column("about", lambda row: row.about, number=True),
    _column("step", lambda row: f"{row.step.name}{' (anchor)' if row.step.anchor else ''}"),
    _column("model", lambda row: row.step.case.model, once=True),
    _column("backend", lambda row: row.step.case.backend, once=True),
    _column("precision", lambda row: row.step.case.precision or _OWN, once=True),
    _column("batch", lambda row: str(row.step.case.batch or _OWN), number=True, once=True),
    _column("threads", lambda row: str(row.step.case.threads or ABSENT), number=True, optional=True, once=True),
    _column(
        "mode", lambda row: "" if row.step.case.mode == "isolated" else row.step.case.mode, optional=True, once=True
    ),
    _column("input", lambda row: " ".join(row.step.case.input), optional=True, once=True),
    _column("processes", lambda row: str(row.step.processes), number=True, rank=1),
)


def size_of(plan: SweepPlan) -> str:
    """How many cases, steps and units a plan has, and how long it may take on one machine."""
    cases = len({step.case.title for step in plan.steps})
    steps = f"{counted(len(plan.steps), 'step')}, {counted(len(plan.units), 'unit')}"
    return f"{counted(cases, 'case')}, {steps}, about {_minutes(sum(unit.seconds for unit in plan.units))}"


def line_of_end(root: Path, plan: SweepPlan, end: StepEnd) -> str:
    """How a step ended, in one line."""
    title = f"{end.step.name} {end.step.case.title}{' (anchor)' if end.step.anchor else ''}"
    record = end.state.last
    if record is None:
        words = last_words(root, plan, end.step)
        return f"{title}: no record, exit status {end.status} after {end.seconds:.0f} s: {words}"
    if record.status is not Status.OK:
        return f"{title}: {record.status.value}: {record.reason}"
    return f"{title}: {record.id}, {end.seconds:.0f} s"


def render_swept(found: Swept) -> str:
    """What was measured, what was not and why, how much the machine moved, and what to do next."""
    plan = found.plan
    measured, skipped, failed = (found.steps_of(status) for status in (Status.OK, Status.SKIPPED, Status.FAILED))
    lacking = found.lacking
    lines = [
        f"sweep {plan.id}: {len(measured)} of {counted(len(plan.steps), 'step')} measured"
        + "".join(
            f", {len(steps)} {word}" for steps, word in ((skipped, "skipped"), (failed, "failed"), (lacking, "to do"))
            if steps
        )
    ]  # fmt: skip
    reasons: dict[str, list[str]] = {}
    for step in [*failed, *skipped]:
        record = found.states[step.name].last
        if record is not None:
            reasons.setdefault(f"{record.status.value}: {record.reason}", []).append(step.case.title)
    for reason, titles in list(reasons.items())[:_SHOWN]:
        lines.append(f"{', '.join(dict.fromkeys(titles))}: {reason}")
    if found.drift is not None:
        moved = f"the anchor's p50 moved by {format_ratio(found.drift - 1)} over the sweep"
        advice = ": compare cases of one unit, or measure pairs with 'benchbox run --ab'"
        lines.append(moved + (advice if found.drift - 1 > _MOVED else ""))
    if lacking:
        lines.append(f"to go on: benchbox sweep FILE.toml --resume  (not done: {counted(len(lacking), 'step')})")
    elif measured:
        lines.append("see: benchbox report, benchbox choose, benchbox gate")
    return lines_below(*lines)


def document_from_swept(found: Swept) -> dict[str, Any]:
    """The JSON document ``benchbox.swept/1``."""
    steps = []
    for step in found.plan.steps:
        state = found.states[step.name]
        last = state.last
        steps.append(
            {
                "name": step.name,
                "case": step.case.model_dump(mode="json"),
                "processes": step.processes,
                "anchor": step.anchor,
                "done": state.is_done,
                "status": None if last is None else last.status.value,
                "reason": "" if last is None else last.reason,
                "records": [record.id for record in state.records],
            }
        )
    return {"schema": "benchbox.swept/1", "plan": found.plan.id, "anchor_drift": found.drift, "steps": steps}


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 600 else f"{seconds / 60:.1f} min"
