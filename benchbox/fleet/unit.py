"""How is a unit of a sweep measured on this machine?

Alone (``host_lock.py``), a step after the other, each a ``benchbox run`` in a process and session of its own with a
bare environment: what a scheduler, a notebook or a shell has set does not reach the measurement. This process waits
without polling. What was printed is kept beside the plan.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchbox.backends.child import child_environment
from benchbox.fleet.done import MOST_TRIES, StepState, states_under
from benchbox.fleet.host_lock import host_lock
from benchbox.fleet.plan import FOLDER, Step, SweepPlan, Unit, arguments_of
from benchbox.machine.dispatcher import VARIABLE as DISPATCHER_VARIABLE
from benchbox.machine.environment import STEP_VARIABLE
from benchbox.schema.record import Status
from benchbox.store.atomic import draft_of

# What a measurement may take from its surroundings; everything else (thread counts, visible devices) is left out.
_KEPT = frozenset({"PATH", "HOME", "LANG", "TMPDIR", "USER", "LOGNAME", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "PYTHONPATH"})
_KEPT_PREFIXES = ("LC_", "BENCHBOX_", "HF_")


@dataclass(frozen=True, kw_only=True)
class StepEnd:
    """How a step ended: its exit status, its seconds, and its records so far."""

    step: Step
    status: int
    seconds: float
    state: StepState


def scrubbed_environment() -> dict[str, str]:
    """This process's environment with nothing in it that a measurement does not need."""
    return {
        name: value for name, value in child_environment().items() if name in _KEPT or name.startswith(_KEPT_PREFIXES)
    }


def measure_unit(
    root: Path,
    plan: SweepPlan,
    unit: Unit,
    *,
    dispatcher: str = "",
    waiting: Callable[[str], None] | None,
    warn: Callable[[str], None],
    files: Mapping[str, str] | None = None,
    lock: Path | None = None,
) -> Iterator[StepEnd]:
    """Measures the steps of a unit that are not done, and yields how each ended.

    Args:
        root: project root: records go there.
        plan: of the sweep.
        unit: of the plan.
        dispatcher: what started the unit, "" for a person; the records say it.
        waiting: told if another process holds the machine; None: do not wait for it.
        warn: receives one line per damaged record.
        files: where networks lie that are ONNX files, by how the cases refer to them; as they say where None.
        lock: the file that is locked, None for that of the host.

    Raises:
        MeasurementError: the machine is held by another process.
    """
    with host_lock(lock, waiting=waiting) as handle:
        # Only now: whoever held the machine may have finished a step of this sweep.
        states = states_under(root, plan, warn=warn)
        for step in unit.steps:
            tries = 0
            while not states[step.name].is_done and tries < MOST_TRIES:
                tries += 1
                began = time.monotonic()
                status = _run(root, plan, step, files=files, dispatcher=dispatcher, inherited=handle)
                seconds = time.monotonic() - began
                states = states_under(root, plan, warn=warn)
                if states[step.name].records:
                    _note(root, plan, step, seconds, states[step.name])
                yield StepEnd(step=step, status=status, seconds=seconds, state=states[step.name])


def _run(
    root: Path, plan: SweepPlan, step: Step, *, files: Mapping[str, str] | None, dispatcher: str, inherited: int
) -> int:
    """Runs one step to its end and returns its exit status; interrupted, it leaves no record."""
    log = _file_of(root, plan, step, "log")
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = {**scrubbed_environment(), STEP_VARIABLE: plan.mark(step)}
    if dispatcher:
        environment[DISPATCHER_VARIABLE] = dispatcher
    with log.open("ab") as output:
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "benchbox", *arguments_of(plan, step, files), "--root", str(root.resolve())],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            pass_fds=(inherited,),
            start_new_session=True,
        )
        try:
            return child.wait()
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)  # half of its processes would be no answer
            child.wait()
            raise


def last_words(root: Path, plan: SweepPlan, step: Step) -> str:
    """The last line that a step printed, "" where it printed none."""
    log = _file_of(root, plan, step, "log")
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n") if log.exists() else []
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _file_of(root: Path, plan: SweepPlan, step: Step, ending: str) -> Path:
    return root / FOLDER / plan.id / "steps" / f"{step.name}.{ending}"


def _note(root: Path, plan: SweepPlan, step: Step, seconds: float, state: StepState) -> None:
    """Keeps how long a step took and whether it has numbers, for plans; nothing is lost where it cannot be written."""
    with contextlib.suppress(OSError), draft_of(_file_of(root, plan, step, "json"), durable=False) as draft:
        case = step.case.model_dump(mode="json")
        measured = state.last is not None and state.last.status is Status.OK
        note = {"case": case, "processes": step.processes, "seconds": seconds, "measured": measured}
        draft.write_text(json.dumps(note))
