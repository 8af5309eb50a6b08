"""In which order is a sweep measured? The plan, its units on this machine or on those of a cluster, what came out."""

from __future__ import annotations

import datetime
import platform
import shlex
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchbox import __version__
from benchbox.errors import BenchboxError, EnvironmentLackError, MeasurementError, StoreError, UsageError
from benchbox.fleet.done import StepState, Swept, first_day, open_units, states_under
from benchbox.fleet.estimating import History
from benchbox.fleet.nodes import NodeFacts, require_clock
from benchbox.fleet.objects import Objects, RefusedError, objects_at
from benchbox.fleet.plan import SweepPlan, Unit, newest_plan, plan_of
from benchbox.fleet.sharing import fetch_plans, located, networks_of, publish, require_networks
from benchbox.fleet.sweep_file import Require, Sweep, SweepCase
from benchbox.fleet.text import line_of_end
from benchbox.fleet.transfer import PREFIXES, pull, push
from benchbox.fleet.unit import measure_unit
from benchbox.gate.series import machine_of
from benchbox.jobs.prepare import own_batch, own_precision
from benchbox.machine.environment import capture
from benchbox.machine.host import low_priority
from benchbox.models.sources import parse_shapes, resolve
from benchbox.progress import Progress
from benchbox.schema.model import InputChoice, SourceKind
from benchbox.schema.record import Status
from benchbox.store.records import check_writable
from benchbox.units import counted


def settled_cases(sweep: Sweep) -> tuple[SweepCase, ...]:
    """The cases of a sweep with what they leave to their networks; raises UsageError where all are excluded."""
    cases = sweep.cases(as_networks_are)
    if not cases:
        raise UsageError(
            f"the matrix of sweep '{sweep.name}' is empty",
            values="all of its cases are excluded",
            remedy="take an exclude out, or write an include",
        )
    return cases


def planned(
    root: Path, sweep: Sweep, *, cases: Sequence[SweepCase], history: History, resume: bool, store: str
) -> SweepPlan:
    """A new plan of a sweep, or the newest that there is of it.

    Args:
        root: project root.
        sweep: with a name.
        cases: of the sweep, settled.
        history: of the cases: how long they took, and whether they had numbers.
        resume: whether the newest plan is meant.
        store: URL of the store that has plans of other machines, "" for none.

    Raises:
        UsageError: there is nothing to resume, or the file, a network or benchbox has changed since.
        EnvironmentLackError: the clock of this machine is off.
    """
    if not resume:
        return plan_of(
            sweep, cases=cases, estimate=history.estimate(sweep), fails=history.fails, networks=networks_of(cases)
        )  # fmt: skip
    if store:
        fetch_plans(root, objects_at(store))
    plan = newest_plan(root, sweep)
    require_networks(plan)
    require_clock(plan, datetime.datetime.now(datetime.UTC))
    return plan


def as_networks_are(case: SweepCase) -> SweepCase:
    """The case with the batch size and the precision of its network where it says none.

    What code from elsewhere fixes is known when it is exported, and a network that is not on this machine when it is
    measured: their cases are left as they are.
    """
    if case.batch and case.precision:
        return case
    try:
        shape, named = parse_shapes(tuple(case.input))
        choice = InputChoice(named=tuple(sorted(named.items())))
        source = resolve(case.model, input_shape=shape, weights=None, inputs=choice)
    except BenchboxError:
        return case
    if source.kind not in {SourceKind.ONNX, SourceKind.ZOO}:
        return case
    return case.model_copy(
        update={
            "batch": case.batch or own_batch(source),
            "precision": case.precision or own_precision(source).value,
        }
    )


def node_facts() -> NodeFacts:
    """What this machine says of itself where it is a node of a cluster."""
    return NodeFacts(
        name=platform.node(), version=__version__, now_s=time.time(), facts=_facts(), low_priority=low_priority()
    )  # fmt: skip


def _facts() -> dict[str, str]:
    environment = capture()
    return {**environment.hardware, "machine": machine_of(environment)}


def require_machine(require: Require) -> None:
    """Raises EnvironmentLackError where this machine is not what a sweep asks for."""
    lacks = require.lacks(_facts())
    if require.labels:
        asked = ", ".join(f"{name}={value}" for name, value in require.labels.items())
        lacks.append(f"labels are of nodes of a cluster (--engine ray), and {asked} is asked for")
    if lacks:
        raise EnvironmentLackError(
            "this machine is not what the sweep asks for",
            values="; ".join(lacks),
            remedy="run it on such a machine, or change [sweep.require]",
        )


def sweep_here(root: Path, plan: SweepPlan, *, progress: Progress, wait: bool, store: str) -> None:
    """Measures on this machine what is not done of a plan.

    Args:
        root: project root.
        plan: of the sweep.
        progress: shows what runs and when it will be done.
        wait: whether to wait for another sweep on this machine instead of failing.
        store: URL of a store that gets the records after each unit, "" for none.

    Raises:
        EnvironmentLackError: the machine is not what the plan asks for.
        MeasurementError: another sweep measures here.
        StoreError: records cannot be written, the store has no such bucket or gives no permission; or, at the end,
            records are stored here and could not be shared.
    """
    check_writable(root)
    require_machine(plan.sweep.require)
    objects = _opened(store, progress) if store else None
    states = states_under(root, plan, warn=progress.say)
    clock = _Clock(plan, states)
    shared = False
    for number in open_units(plan, states):
        unit = plan.units[number - 1]
        place = f"unit {number} of {len(plan.units)}"
        progress.step(*clock.now, f"{place}: {clock.next_of(unit)}")
        for end in measure_unit(root, plan, unit, waiting=progress.say if wait else None, warn=progress.say):
            clock.note({end.step.name: end.state})
            progress.say(line_of_end(root, plan, end))
            progress.step(*clock.now, f"{place}: {clock.next_of(unit)}")
        if objects is not None:
            shared = _push(root, objects, progress)
    if objects is not None and not shared:  # also what an earlier start could not share
        _push_all(root, objects, store)


def sweep_on_cluster(root: Path, plan: SweepPlan, *, progress: Progress, address: str | None, store: str) -> None:
    """Lets a Ray cluster measure what is not done of a plan.

    Args:
        root: project root: of all nodes where there is no store.
        plan: of the sweep.
        progress: shows which units have ended.
        address: of the cluster, None for that of this machine.
        store: URL of the store that all nodes reach, "" for none; it gets the plan and its networks too.

    Raises:
        EnvironmentLackError: there is no Ray, no cluster, or no machine in it that is asked for.
        StoreError: the store cannot be reached.
    """
    from benchbox.fleet.ray import measure_on_ray

    check_writable(root)
    objects = objects_at(store) if store else None
    if objects is not None:
        publish(plan, objects)
        pull(root, objects, since=first_day(plan))
    states = states_under(root, plan, warn=progress.say)
    clock = _Clock(plan, states)
    progress.step(*clock.now, f"{clock.left}, waiting for machines")

    def look() -> None:
        if objects is not None:
            _pull(root, objects, plan, progress)
        clock.note(states_under(root, plan, warn=progress.say))
        progress.step(*clock.now, clock.left)

    ends = measure_on_ray(
        plan, open_units(plan, states), root=root.resolve(), store=store, address=address, probe=node_facts,
        files=located(plan.networks), look=look, say=progress.say,
    )  # fmt: skip
    for end in ends:
        for line in end.lines:
            progress.say(f"{end.node}: {line}")
        progress.say(f"unit {end.number} has ended on {end.node}{f': {end.fault}' if end.fault else ''}")
        look()
    if objects is not None:
        pull(root, objects, since=first_day(plan))


def _opened(store: str, progress: Progress) -> Objects:
    """The store; what refuses now would after hours of measuring, what does not answer may by then."""
    objects = objects_at(store)
    try:
        next(iter(objects.names(PREFIXES[0])), None)
    except RefusedError:
        raise
    except StoreError as error:
        progress.say(f"{error.what}: {error.values}; measured first, and shared when it does")
    return objects


def _pull(root: Path, objects: Objects, plan: SweepPlan, progress: Progress) -> None:
    """Gets what nodes have delivered; a store that does not answer now may at the end."""
    try:
        pull(root, objects, since=first_day(plan))
    except StoreError as error:
        progress.say(f"not fetched yet: {error.what}: {error.values}")


def _push(root: Path, objects: Objects, progress: Progress) -> bool:
    """Shares the records, and whether all are shared; a store that does not answer ends no sweep, it may at the end."""
    try:
        sent = push(root, objects)
    except StoreError as error:
        progress.say(f"not shared yet: {error.what}: {error.values}")
        return False
    for name, fault in sent.faults:
        progress.say(f"not shared: {name}: {fault}")
    return not sent.faults


def _push_all(root: Path, objects: Objects, store: str) -> None:
    """Shares the records at the end, when nothing is lost by an error; raises StoreError where some are not shared."""
    remedy = f"they are stored here; once it is mended: benchbox store push {shlex.quote(store)}"
    try:
        sent = push(root, objects)
    except StoreError as error:
        raise StoreError("the records are not shared", values=f"{error.what}: {error.values}", remedy=remedy) from error
    if sent.faults:
        name, fault = sent.faults[0]
        raise StoreError(f"{counted(len(sent.faults), 'record')} not shared", values=f"{name}: {fault}", remedy=remedy)


def require_all(found: Swept) -> None:
    """Raises MeasurementError where a step of a sweep has no numbers and was not refused either."""
    failed, lacking = found.steps_of(Status.FAILED), found.lacking
    if failed or lacking:
        raise MeasurementError(
            "the sweep is not complete",
            values=f"steps that failed: {len(failed)}; not done: {len(lacking)}",
            remedy="; ".join(
                text
                for steps, text in (
                    (lacking, "--resume measures what is not done"),
                    (failed, "'benchbox report --where status=failed' shows what failed"),
                )
                if steps
            ),
        )


class _Clock:
    """How far a sweep is, in estimated seconds of its steps."""

    def __init__(self, plan: SweepPlan, states: Mapping[str, StepState]) -> None:
        share = {step.name: unit.seconds / len(unit.steps) for unit in plan.units for step in unit.steps}
        self._seconds = {name: seconds for name, seconds in share.items() if not states[name].is_done}
        self._whole = sum(self._seconds.values())

    def note(self, states: Mapping[str, StepState]) -> None:
        """What has become of steps."""
        for name, state in states.items():
            if state.is_done:
                self._seconds.pop(name, None)

    @property
    def now(self) -> tuple[float, float]:
        """Done, and the whole."""
        return self._whole - sum(self._seconds.values()), self._whole

    @property
    def left(self) -> str:
        """How many steps are not done."""
        return f"{counted(len(self._seconds), 'step')} left"

    def next_of(self, unit: Unit) -> str:
        """The case that comes next in a unit."""
        return next((step.case.title for step in unit.steps if step.name in self._seconds), "done")
