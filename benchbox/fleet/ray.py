"""How do the units of a sweep get to the machines of a Ray cluster?

Ray places a unit on a machine that is free, starts it, waits, and notices nodes that die. A unit takes a whole machine:
nodes offer one ``benchbox_machine`` each (``ray start --resources '{"benchbox_machine": 1}'``), labels say which kind.
Nothing is retried by Ray: a worker that dies is seen here, and what has its record is not measured again. What measures
is a child with a bare environment (``unit.py``), because Ray sets thread counts and visible devices for its workers.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchbox.errors import EnvironmentLackError, MeasurementError
from benchbox.fleet.done import MOST_TRIES
from benchbox.fleet.plan import SweepPlan

RESOURCE = "benchbox_machine"
_REMEDY = "start its nodes with: ray start ... --resources '{\"benchbox_machine\": 1}' --labels benchbox-class=..."


@dataclass(frozen=True, kw_only=True)
class UnitEnd:
    """How a unit ended: on which node, a line for each step, and what went wrong, "" if nothing did."""

    number: int
    node: str
    lines: tuple[str, ...]
    fault: str = ""


def measure_on_ray(
    plan: SweepPlan,
    numbers: Sequence[int],
    *,
    root: Path,
    store: str,
    address: str | None,
    say: Callable[[str], None],
) -> Iterator[UnitEnd]:
    """Lets the machines of a cluster measure units, and yields how each ended, in any order.

    Args:
        plan: of the sweep.
        numbers: of the units.
        root: project root that every node can reach; without a store records go there.
        store: URL of the object store or shared folder where records go, "" for none.
        address: of the cluster, None for the one of this machine.
        say: receives lines for the user.

    Raises:
        EnvironmentLackError: Ray is not installed, there is no cluster, or none of its machines is what is asked for.
    """
    ray = _ray()
    _connect(ray, address)
    try:
        labels = dict(plan.sweep.require.labels)
        _require_node(ray, labels)
        task = ray.remote(
            num_cpus=0, num_gpus=0, resources={RESOURCE: 1}, max_retries=0, max_calls=1,
            **({"label_selector": labels} if labels else {}),
        )(measure_on_node)  # fmt: skip
        tries = dict.fromkeys(numbers, 1)
        running = {task.remote(plan, number, str(root), store, ray.__version__): number for number in numbers}
        while running:
            (ended, *_), _ = ray.wait(list(running), num_returns=1)
            number = running.pop(ended)
            try:
                yield ray.get(ended)
            except ray.exceptions.RayError as error:
                fault = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
                if tries[number] < MOST_TRIES:
                    tries[number] += 1
                    say(f"unit {number} is placed again: {fault}")
                    running[task.remote(plan, number, str(root), store, ray.__version__)] = number
                    continue
                yield UnitEnd(number=number, node="unknown", lines=(), fault=fault)
    finally:
        ray.shutdown()


def measure_on_node(plan: SweepPlan, number: int, root: str, store: str, version: str) -> UnitEnd:
    """Measures one unit on this node; called by Ray, in a worker of its own.

    Args:
        plan: of the sweep.
        number: of the unit.
        root: project root where there is no store; with one, the node has a root of its own.
        store: URL of the store, "" for none.
        version: of Ray.
    """
    import platform

    from benchbox import __version__
    from benchbox.fleet.text import line_of_end
    from benchbox.fleet.unit import measure_unit

    node = platform.node()
    if plan.version != __version__:
        fault = f"this node has benchbox {__version__}, the plan is of {plan.version}: install the same on all nodes"
        return UnitEnd(number=number, node=node, lines=(), fault=fault)
    place = node_root(plan) if store else Path(root)
    lines: list[str] = []
    try:
        _fetch(place, plan, store)
        unit = plan.units[number - 1]
        for end in measure_unit(
            place, plan, unit, dispatcher=f"ray {version}", waiting=lines.append, warn=lines.append
        ):
            lines.append(line_of_end(place, plan, end))
            _deliver(place, store)
    except MeasurementError as error:
        return UnitEnd(number=number, node=node, lines=tuple(lines), fault=f"{error.what}: {error.values}")
    return UnitEnd(number=number, node=node, lines=tuple(lines))


def node_root(plan: SweepPlan) -> Path:
    """Where a node with a store keeps artifacts and its own records of a plan."""
    import tempfile

    return Path(tempfile.gettempdir()) / "benchbox-sweeps" / plan.id


def _fetch(place: Path, plan: SweepPlan, store: str) -> None:
    """Gets the records of others that a unit may have had before: what is done is not measured again."""
    if store:
        from benchbox.fleet.objects import objects_at
        from benchbox.fleet.transfer import pull

        place.mkdir(parents=True, exist_ok=True)
        pull(place, objects_at(store), since=plan.id[:8])


def _deliver(place: Path, store: str) -> None:
    if store:
        from benchbox.fleet.objects import objects_at
        from benchbox.fleet.transfer import push

        push(place, objects_at(store))


def _ray() -> Any:
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise EnvironmentLackError(
            "Ray is not installed", values=str(error), remedy="pip install 'benchbox[ray]' on every machine"
        ) from error


def _connect(ray: Any, address: str | None) -> None:
    try:
        ray.init(address=address or "auto", log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise EnvironmentLackError(
            "there is no Ray cluster",
            values=f"{address or 'on this machine'}: {str(error).strip().splitlines()[0] if str(error) else error!r}",
            remedy="start one: ray start --head (docs/fleet.md)",
        ) from error


def _require_node(ray: Any, labels: Mapping[str, str]) -> None:
    """Raises EnvironmentLackError unless some node offers a machine with these labels: Ray would wait for ever."""
    nodes = [node for node in ray.nodes() if node.get("Alive")]
    machines = [node for node in nodes if node.get("Resources", {}).get(RESOURCE)]
    if not machines:
        raise EnvironmentLackError(
            "no machine of the cluster offers itself",
            values=f"{len(nodes)} nodes, none with {RESOURCE}",
            remedy=_REMEDY,
        )
    fitting = [node for node in machines if all(node.get("Labels", {}).get(name) == labels[name] for name in labels)]
    if not fitting:
        seen = sorted({f"{name}={value}" for node in machines for name, value in node.get("Labels", {}).items()})
        raise EnvironmentLackError(
            "no machine of the cluster has the labels that the sweep asks for",
            values=f"asked: {', '.join(f'{name}={value}' for name, value in labels.items())}; there: {', '.join(seen)}",
            remedy=_REMEDY,
        )
