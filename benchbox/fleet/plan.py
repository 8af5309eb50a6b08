"""Which steps has a sweep, in which units, and in which order?

A step is one ``benchbox run`` of one case with a share of its processes; a unit is a list of steps that one machine
measures alone, some minutes long. The processes of a case are spread over passes, whose cases come in another random
order each time, so that what drifts with the time of day is not taken for a difference between cases. The anchor, one
short case, is measured at the start of every unit and at the end of the last one: it shows how much the machine moved.

A plan never changes: what is done is seen from the records, which carry the mark of their step.
"""

from __future__ import annotations

import datetime
import json
import random
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchbox import __version__
from benchbox.errors import StoreError, UsageError
from benchbox.fleet.sweep_file import Sweep, SweepCase
from benchbox.store.atomic import draft_of
from benchbox.store.documents import json_text

FOLDER = Path("results") / "sweeps"
SCHEMA = "benchbox.sweep/1"
_ANCHOR_PROCESSES = 4  # the fewest that can be compared

Estimate = Callable[[SweepCase, int], float]


def _none_fails(_: SweepCase) -> bool:
    return False


@dataclass(frozen=True, kw_only=True)
class Step:
    """One ``benchbox run``: a case with so many timed processes. ``name`` is unique in its plan."""

    name: str
    case: SweepCase
    processes: int
    anchor: bool = False


@dataclass(frozen=True, kw_only=True)
class Unit:
    """What one machine measures without a pause: steps in order, estimated to take ``seconds``."""

    number: int
    steps: tuple[Step, ...]
    seconds: float


@dataclass(frozen=True, kw_only=True)
class SweepPlan:
    """A whole sweep.

    ``version`` is that of the benchbox that planned it; ``created_at`` is UTC, ISO 8601; ``networks`` are those of its
    cases that were ONNX files, each in one word (``schema/identity.py``), by how the cases refer to them.
    """

    id: str
    sweep: Sweep
    version: str
    created_at: str
    units: tuple[Unit, ...]
    networks: Mapping[str, str] = field(default_factory=dict)

    @property
    def steps(self) -> tuple[Step, ...]:
        """Of all units, in order."""
        return tuple(step for unit in self.units for step in unit.steps)

    def mark(self, step: Step) -> str:
        """What the records of a step carry among what was observed."""
        return f"{self.id}/{step.name}"


def plan_of(
    sweep: Sweep,
    *,
    estimate: Estimate,
    fails: Callable[[SweepCase], bool] = _none_fails,
    cases: Sequence[SweepCase] | None = None,
    networks: Mapping[str, str] | None = None,
    now: datetime.datetime | None = None,
) -> SweepPlan:
    """The plan of a sweep.

    Args:
        sweep: what was asked for, with a name.
        estimate: seconds that so many processes of a case take.
        fails: whether a case had no numbers when it was last measured: then it is no anchor.
        cases: of the sweep, what they leave to their networks settled; as the sweep says them where None.
        networks: of the cases, where they are ONNX files.
        now: the time of the plan, with its zone.
    """
    now = (now or datetime.datetime.now(datetime.UTC)).astimezone(datetime.UTC)
    cases = sweep.cases() if cases is None else cases
    share = sweep.processes // sweep.passes
    able = [case for case in cases if not fails(case)]
    anchor = min(able, key=lambda case: estimate(case, share)) if able and sweep.anchor and len(cases) > 1 else None
    drawn = random.Random(sweep.seed)
    units: list[Unit] = []
    for turn in range(1, sweep.passes + 1):
        steps = [Step(name=f"p{turn}-{place:04d}", case=case, processes=share) for place, case in enumerate(cases)]
        drawn.shuffle(steps)
        for part in _cut(steps, estimate, sweep.unit_minutes * 60):
            number = len(units) + 1
            first = [] if anchor is None else [_anchor(f"a-{number:03d}", anchor)]
            units.append(_unit(number, [*first, *part], estimate))
    if anchor is not None:
        last = units.pop()
        units.append(_unit(last.number, [*last.steps, _anchor("a-end", anchor)], estimate))
    return SweepPlan(
        id=f"{now:%Y%m%dT%H%M%SZ}-{sweep.name}-{sweep.sha256[:6]}{secrets.token_hex(2)}",
        sweep=sweep,
        version=__version__,
        created_at=now.isoformat(timespec="seconds"),
        units=tuple(units),
        networks=dict(networks or {}),
    )


def _anchor(name: str, case: SweepCase) -> Step:
    return Step(name=name, case=case, processes=_ANCHOR_PROCESSES, anchor=True)


def _unit(number: int, steps: Sequence[Step], estimate: Estimate) -> Unit:
    seconds = sum(estimate(step.case, step.processes) for step in steps)
    return Unit(number=number, steps=tuple(steps), seconds=seconds)


def _cut(steps: Sequence[Step], estimate: Estimate, most_s: float) -> list[list[Step]]:
    """The steps in parts of at most so many seconds; a longer step is a part of its own."""
    parts: list[list[Step]] = []
    taken_s = 0.0
    for step in steps:
        seconds = estimate(step.case, step.processes)
        if not parts or taken_s + seconds > most_s:
            parts.append([])
            taken_s = 0.0
        parts[-1].append(step)
        taken_s += seconds
    return parts


def arguments_of(plan: SweepPlan, step: Step, files: Mapping[str, str] | None = None) -> list[str]:
    """The command line of a step behind ``benchbox``; ``files`` says where networks lie, by how cases refer to them."""
    sweep, case = plan.sweep, step.case
    words = ["run", (files or {}).get(case.model, case.model), "--backend", case.backend]
    words += ["--precision", case.precision] if case.precision else []
    words += ["--batch", str(case.batch)] if case.batch else []
    words += ["--mode", case.mode, "--trials", str(step.processes)]
    options: dict[str, object] = {
        "--threads": case.threads,
        "--max-time": sweep.max_time_s,
        "--timeout": sweep.timeout_s,
        "--device": sweep.device,
        "--calibration": sweep.calibration if case.precision in {"int8", "fp8"} else None,
        "--rate": sweep.rate if case.mode == "server" else None,
        "--latency-bound": sweep.latency_bound_s if case.mode == "server" else None,
    }
    words += [word for name, value in options.items() if value is not None for word in (name, str(value))]
    words += [word for size in case.input for word in ("--input", size)]
    return [*words, *(["--quick"] if sweep.quick else [])]


def document_from_plan(plan: SweepPlan) -> dict[str, object]:
    """The plan as its JSON document, ``benchbox.sweep/1``."""
    return {
        "schema": SCHEMA,
        "id": plan.id,
        "version": plan.version,
        "created_at": plan.created_at,
        "sweep": plan.sweep.model_dump(mode="json"),
        "networks": dict(plan.networks),
        "units": [
            {
                "number": unit.number,
                "seconds": unit.seconds,
                "steps": [
                    {
                        "name": step.name,
                        "processes": step.processes,
                        "anchor": step.anchor,
                        "case": step.case.model_dump(mode="json"),
                    }
                    for step in unit.steps
                ],
            }
            for unit in plan.units
        ],
    }


def plan_from_text(text: str, *, origin: str) -> SweepPlan:
    """The plan in its JSON text; raises StoreError where it is none, or one of a newer version."""
    try:
        document = json.loads(text)
        if document["schema"] != SCHEMA:
            raise ValueError(f"schema {document['schema']}")
        units = tuple(
            Unit(
                number=unit["number"],
                seconds=unit["seconds"],
                steps=tuple(
                    Step(
                        name=step["name"],
                        processes=step["processes"],
                        anchor=step["anchor"],
                        case=SweepCase.model_validate(step["case"]),
                    )
                    for step in unit["steps"]
                ),
            )
            for unit in document["units"]
        )
        sweep = Sweep.model_validate(document["sweep"])
        return SweepPlan(
            id=document["id"], sweep=sweep, version=document["version"], created_at=document["created_at"],
            units=units, networks=document.get("networks", {}),
        )  # fmt: skip
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{origin} is not a plan of a sweep", values=str(error), remedy="start a new sweep") from error


def path_of_plan(root: Path, name: str) -> Path:
    """Where the plan of this id lies."""
    return root / FOLDER / name / "plan.json"


def write_plan(root: Path, plan: SweepPlan) -> Path:
    """Writes a plan, whole or not at all."""
    path = path_of_plan(root, plan.id)
    with draft_of(path) as draft:
        draft.write_text(text_of_plan(plan), encoding="utf-8")
    return path


def text_of_plan(plan: SweepPlan) -> str:
    """The content of a plan's file."""
    return json_text(document_from_plan(plan)) + "\n"


def read_plan(path: Path) -> SweepPlan:
    """The plan in a file; raises StoreError if it cannot be read."""
    try:
        return plan_from_text(path.read_text(encoding="utf-8"), origin=str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError("the plan cannot be read", values=f"{path}: {error}", remedy="start a new sweep") from error


def newest_plan(root: Path, sweep: Sweep) -> SweepPlan:
    """The newest plan of this very sweep under a root.

    Raises:
        UsageError: there is none, or the newest of this name was made from another file or by another benchbox.
    """
    plans = [read_plan(path) for path in sorted((root / FOLDER).glob("*/plan.json"))]
    named = [plan for plan in plans if plan.sweep.name == sweep.name]
    if not named:
        raise UsageError(
            f"there is no sweep '{sweep.name}' to resume",
            values=f"under {root / FOLDER}: {', '.join(plan.id for plan in plans) or 'no plan'}",
            remedy="start it without --resume",
        )
    newest = named[-1]
    if newest.sweep.sha256 != sweep.sha256:
        raise UsageError(
            f"the newest plan of '{sweep.name}' was made from another file",
            values=f"{newest.id}; since then: {', '.join(_changed(newest.sweep, sweep))}",
            remedy="undo the change to resume it, or start a new sweep without --resume",
        )
    if newest.version != __version__:
        raise UsageError(
            f"the plan of '{sweep.name}' is of another benchbox",
            values=f"{newest.id} of version {newest.version}, this is {__version__}",
            remedy="start a new sweep without --resume",
        )
    return newest


def _changed(before: Sweep, after: Sweep) -> list[str]:
    old, new = before.model_dump(mode="json"), after.model_dump(mode="json")
    return [name for name in new if old.get(name) != new[name]]
