"""How do the units of a sweep get to the machines of a Ray cluster?

Ray places a unit on a machine that is free, starts it, waits, and notices nodes that die. A unit takes a whole machine:
nodes offer one ``benchbox_machine`` each (``ray start --resources '{"benchbox_machine": 1}'``), labels say which kind.
Nothing is retried by Ray: a worker that dies is seen here, and what has its record is not measured again. What measures
is a child with a bare environment (``unit.py``), because Ray sets thread counts and visible devices for its workers.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import itertools
import signal
import socket
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchbox.errors import EnvironmentLackError, MeasurementError, StoreError
from benchbox.fleet.done import MOST_TRIES
from benchbox.fleet.nodes import NodeFacts, clock_faults, faults_of, no_node_error, take_machine
from benchbox.fleet.plan import SweepPlan
from benchbox.units import counted

RESOURCE = "benchbox_machine"
_NODE_ID = "ray.io/node-id"  # a label that Ray gives every node
# How long nodes may take to say what they are; how often it is looked whether there still are machines, and after
# how many looks it is told how far the sweep is, or that there are none.
_ANSWER_S, _LOOK_S, _LOOKS = 120.0, 15.0, 4
_CONNECT_S = 10.0
_REMEDY = "start its nodes with: ray start ... --resources '{\"benchbox_machine\": 1}' --labels benchbox-class=..."

Probe = Callable[[], NodeFacts]


@dataclass(frozen=True, kw_only=True)
class UnitEnd:
    """How a unit ended: on which node, a line for each step, and what went wrong, "" if nothing did.

    ``unfit`` says why the node may not measure this plan, "" if it may; ``node_id`` is what Ray calls it.
    """

    number: int
    node: str
    lines: tuple[str, ...]
    fault: str = ""
    unfit: str = ""
    node_id: str = ""


def measure_on_ray(
    plan: SweepPlan,
    numbers: Sequence[int],
    *,
    root: Path,
    store: str,
    address: str | None,
    probe: Probe,
    files: Mapping[str, str],
    look: Callable[[], None],
    say: Callable[[str], None],
) -> Iterator[UnitEnd]:
    """Lets the machines of a cluster measure units, and yields how each ended, in any order.

    Args:
        plan: of the sweep.
        numbers: of the units.
        root: project root that every node can reach; without a store records go there.
        store: URL of the object store or shared folder where records go, "" for none.
        address: of the cluster, None for the one of this machine.
        probe: is called on each node, and says what it is.
        files: where networks lie that are ONNX files, for all nodes where there is no store.
        look: is called every now and then while units are measured.
        say: receives lines for the user.

    Raises:
        EnvironmentLackError: Ray is not installed, there is no cluster, none of its machines is what is asked for, or
            all of them have gone.
    """
    ray = _ray()
    _connect(ray, address)
    try:
        machines = _Machines(ray, plan, say)
        machines.ask(probe)

        def place(number: int) -> Any:
            task = ray.remote(
                num_cpus=0, num_gpus=0, resources={RESOURCE: 1}, max_retries=0, max_calls=1,
                label_selector=machines.selector or None,
            )(_measure_in_ray)  # fmt: skip
            return task.remote(plan, number, str(root), store, ray.__version__, probe, files)

        tries = dict.fromkeys(numbers, 1)
        running = {place(number): number for number in numbers}
        while running:
            ended = machines.wait(list(running), look)
            number = running.pop(ended)
            try:
                end = ray.get(ended)
            except ray.exceptions.RayError as error:
                fault = _said(error)
                if tries[number] < MOST_TRIES:
                    tries[number] += 1
                    say(f"unit {number} is placed again: {fault}")
                    running[place(number)] = number
                    continue
                end = UnitEnd(number=number, node="unknown", lines=(), fault=fault)
            if end.unfit:  # a node that came later
                machines.leave_out(end.node_id, end.node, end.unfit)
                running[place(number)] = number
                continue
            yield end
    finally:
        ray.shutdown()


class _Machines:
    """The nodes of a cluster that may measure a plan; Ray places units on them."""

    def __init__(self, ray: Any, plan: SweepPlan, say: Callable[[str], None]) -> None:
        self._ray, self._plan, self._say = ray, plan, say
        self._labels = dict(plan.sweep.require.labels)
        self._unfit: dict[str, str] = {}

    @property
    def selector(self) -> dict[str, str]:
        """What a unit must ask for so that it gets to a node that may measure it."""
        others = {_NODE_ID: f"!in({', '.join(self._unfit)})"} if self._unfit else {}
        return {**self._labels, **others}

    def ask(self, probe: Probe) -> None:
        """Asks every node what it is; raises EnvironmentLackError where none may measure."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        nodes = _machines(self._ray, self._labels)
        asked_s = time.time()
        answers = {}
        for node in nodes:
            there = NodeAffinitySchedulingStrategy(node_id=node["NodeID"], soft=False)
            remote = self._ray.remote(
                num_cpus=0, num_gpus=0, max_retries=0, max_calls=1, scheduling_strategy=there
            )  # fmt: skip
            answers[remote(_probe_in_ray).remote(probe)] = node
        faults: dict[str, list[str]] = {}
        ready, _ = self._ray.wait(list(answers), num_returns=len(answers), timeout=_ANSWER_S)
        for answer, node in answers.items():
            name = f"{node.get('NodeManagerHostname', 'a node')} ({node.get('NodeManagerAddress', 'unknown')})"
            found = [f"it does not say within {_ANSWER_S:.0f} s what it is"]
            if answer in ready:
                found = self._faults(name, answer, asked_s)
            if found:
                faults[name] = found
                self._unfit[node["NodeID"]] = name
        if len(faults) == len(nodes):
            raise no_node_error(faults)
        for name, found in faults.items():
            self._say(f"nothing is measured on {name}: {'; '.join(found)}")

    def _faults(self, name: str, answer: Any, asked_s: float) -> list[str]:
        try:
            seen = self._ray.get(answer)
        except self._ray.exceptions.RayError as error:
            return [f"it cannot say what it is: {_said(error)}"]
        if seen.low_priority:
            self._say(f"{name} measures with low priority ({seen.low_priority}): start it with RAY_worker_niceness=0")
        return [*faults_of(seen, self._plan), *clock_faults(seen, asked_s=asked_s, answered_s=time.time())]

    def leave_out(self, node_id: str, name: str, why: str) -> None:
        """A node has turned out to be another than is asked for."""
        if node_id not in self._unfit:
            self._unfit[node_id] = name
            self._say(f"nothing is measured on {name}: {why}")

    def wait(self, running: Sequence[Any], look: Callable[[], None]) -> Any:
        """The next unit that has ended; Ray would wait for ever where no machine is left."""
        without = 0
        for number in itertools.count(1):
            ended, _ = self._ray.wait(running, num_returns=1, timeout=_LOOK_S)
            if ended:
                return ended[0]
            there = {node["NodeID"] for node in _offering(self._ray) if _has(node, self._labels)}
            without = 0 if there - set(self._unfit) else without + 1
            if without == _LOOKS:
                break
            if number % _LOOKS == 0:
                look()
        raise EnvironmentLackError(
            "all machines of the cluster that can measure this sweep have gone",
            values=f"none for {_LOOKS * _LOOK_S:.0f} s, {counted(len(running), 'unit')} left",
            remedy="start nodes again, then go on with --resume",
        )


def _probe_in_ray(probe: Probe) -> NodeFacts:
    take_machine()
    return probe()


def _measure_in_ray(
    plan: SweepPlan, number: int, root: str, store: str, version: str, probe: Probe, files: Mapping[str, str]
) -> UnitEnd:
    take_machine()
    end = measure_on_node(plan, number, root, store, version, probe, files)
    return dataclasses.replace(end, node_id=_ray().get_runtime_context().get_node_id())


def measure_on_node(
    plan: SweepPlan, number: int, root: str, store: str, version: str, probe: Probe, files: Mapping[str, str]
) -> UnitEnd:
    """Measures one unit on this node; called by Ray, in a worker of its own.

    Args:
        plan: of the sweep.
        number: of the unit.
        root: project root where there is no store; with one, the node has a root of its own.
        store: URL of the store, "" for none.
        version: of Ray.
        probe: says what this node is.
        files: where networks lie that are ONNX files where there is no store; with one, they are fetched from it.
    """
    from benchbox.fleet.objects import objects_at
    from benchbox.fleet.sharing import fetch_networks
    from benchbox.fleet.text import line_of_end
    from benchbox.fleet.unit import measure_unit

    seen = probe()
    lines: list[str] = []
    if faults := faults_of(seen, plan):
        return UnitEnd(number=number, node=seen.name, lines=(), unfit="; ".join(faults))
    place, unit = node_root(plan) if store else Path(root), plan.units[number - 1]
    fault = ""
    try:
        send = _sender(place, plan, store)
        if store:
            files = fetch_networks(place, plan, unit, objects_at(store))
        for end in measure_unit(
            place, plan, unit, dispatcher=f"ray {version}", waiting=lines.append, warn=lines.append, files=files
        ):
            lines.append(line_of_end(place, plan, end))
            with contextlib.suppress(StoreError):  # a store that is away for a while ends no unit
                send()
        send()
    except (MeasurementError, StoreError) as error:
        fault = f"{error.what}: {error.values}"
    return UnitEnd(number=number, node=seen.name, lines=tuple(lines), fault=fault)


def node_root(plan: SweepPlan) -> Path:
    """Where a node with a store keeps artifacts and its own records of a plan."""
    import tempfile

    return Path(tempfile.gettempdir()) / "benchbox-sweeps" / plan.id


def _sender(place: Path, plan: SweepPlan, store: str) -> Callable[[], None]:
    """What sends this node's records to the store, after getting those that units had before: what is done is done.

    What lies here of an earlier try and never reached the store is sent too, unless another node has measured the step
    since: its record counts, and this one stays here.
    """
    if not store:
        return lambda: None
    from benchbox.fleet.done import first_day, surplus_of
    from benchbox.fleet.objects import objects_at
    from benchbox.fleet.transfer import pull, push, record_ids

    place.mkdir(parents=True, exist_ok=True)
    objects = objects_at(store)
    pull(place, objects, since=first_day(plan))
    surplus = surplus_of(place, plan, stored=record_ids(objects))

    def send() -> None:
        push(place, objects, without=surplus)

    send()
    return send


def _ray() -> Any:
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise EnvironmentLackError(
            "Ray is not installed", values=str(error), remedy="pip install 'benchbox[ray]' on every machine"
        ) from error


def _connect(ray: Any, address: str | None) -> None:
    ours = signal.getsignal(signal.SIGTERM)
    try:
        _require_answer(address or "")
        ray.init(address=address or "auto", log_to_driver=False, logging_level="ERROR")
    except (OSError, ValueError, RuntimeError) as error:
        raise EnvironmentLackError(
            "there is no Ray cluster",
            values=f"{address or 'on this machine'}: {(str(error).strip() or repr(error)).splitlines()[0]}",
            remedy="start one: ray start --head (docs/fleet.md)",
        ) from error
    except SystemExit as error:  # so Ray answers SIGTERM
        raise KeyboardInterrupt from error
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, ours)  # Ray's own says sys.exit(1) wherever it strikes


def _require_answer(address: str) -> None:
    """Raises OSError where nobody listens at an address: Ray would try for minutes."""
    host, colon, port = address.rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_S).close()


def _said(error: Exception) -> str:
    """What Ray says of a task that did not come to its end, without its advice."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return textwrap.shorten(lines[-1], 160, placeholder=" ...")


def _offering(ray: Any) -> list[Mapping[str, Any]]:
    """The living nodes that offer a machine."""
    return [node for node in ray.nodes() if node.get("Alive") and node.get("Resources", {}).get(RESOURCE)]


def _has(node: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    return all(node.get("Labels", {}).get(name) == value for name, value in labels.items())


def _machines(ray: Any, labels: Mapping[str, str]) -> list[Mapping[str, Any]]:
    """The nodes that offer a machine with these labels; raises EnvironmentLackError where there is none."""
    machines = _offering(ray)
    if not machines:
        alive = sum(bool(node.get("Alive")) for node in ray.nodes())
        raise EnvironmentLackError(
            "no machine of the cluster offers itself",
            values=f"{counted(alive, 'node')}, none with {RESOURCE}",
            remedy=_REMEDY,
        )
    fitting = [node for node in machines if _has(node, labels)]
    if not fitting:
        given = [entry for node in machines for entry in node.get("Labels", {}).items()]
        seen = sorted({f"{name}={value}" for name, value in given if not name.startswith("ray.io/")})
        raise EnvironmentLackError(
            "no machine of the cluster has the labels that the sweep asks for",
            values=f"asked: {', '.join(f'{name}={value}' for name, value in labels.items())}; there: "
            f"{', '.join(seen) or 'none'}",
            remedy=_REMEDY,
        )
    return fitting
