"""Which nodes of a cluster may measure a sweep, and why not the others?

A node must have the same benchbox, be the machine that the sweep asks for, and know the time: records are told apart,
ordered and found by it.
"""

from __future__ import annotations

import contextlib
import datetime
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchbox.errors import EnvironmentLackError
from benchbox.fleet.plan import SweepPlan
from benchbox.machine.gpu.watch import cpus_from_list

# On a node: the CPUs that measurements run on.
CPUS_VARIABLE = "BENCHBOX_CPUS"
# Further apart than this the order of records and their nights are no longer those of the measurements.
MOST_CLOCK_S = 60.0
_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class NodeFacts:
    """What a node says of itself: its name, benchbox, clock (seconds since 1970), and facts as of ``Require.lacks``.

    ``low_priority`` says how it lets other work go before a measurement, "" if it does not.
    """

    name: str
    version: str
    now_s: float
    facts: Mapping[str, str]
    low_priority: str = ""


def faults_of(seen: NodeFacts, plan: SweepPlan) -> list[str]:
    """Why a node may not measure a plan, by what it said; nothing if it may."""
    faults = []
    if seen.version != plan.version:
        faults.append(f"benchbox {seen.version}, the plan is of {plan.version}: install the same on all nodes")
    return [*faults, *plan.sweep.require.lacks(seen.facts)]


def clock_faults(seen: NodeFacts, *, asked_s: float, answered_s: float) -> list[str]:
    """Whether a node's clock is off: it was asked, and its answer was here, at these times of the driver's clock."""
    ahead_s, behind_s = seen.now_s - answered_s, asked_s - seen.now_s
    if max(ahead_s, behind_s) <= MOST_CLOCK_S:
        return []
    far, side = (ahead_s, "ahead of") if ahead_s > 0 else (behind_s, "behind")
    return [f"its clock is {datetime.timedelta(seconds=round(far))} {side} this machine's: set it (NTP)"]


def take_machine() -> None:
    """Takes back what a scheduler withholds from its workers: all CPUs of the node, and the usual priority.

    Raises:
        EnvironmentLackError: the CPUs that the node is to measure on are not there.
    """
    take_cpus(os.environ.get(CPUS_VARIABLE, ""))
    if os.getpriority(os.PRIO_PROCESS, 0) > 0:
        with contextlib.suppress(PermissionError):  # only root may: then the node says so (``NodeFacts``)
            os.setpriority(os.PRIO_PROCESS, 0, 0)


def take_cpus(text: str) -> None:
    """Binds this process, and what it will start, to the CPUs that a node measures on.

    Whatever started it may be bound to others: daemons disturb least on CPUs of their own.

    Args:
        text: "2-15" or "0,2"; "" for all that the machine gives.

    Raises:
        EnvironmentLackError: there are no such CPUs.
    """
    try:
        os.sched_setaffinity(0, cpus_from_list(text) if text else range(os.cpu_count() or 1))
    except (ValueError, OSError) as error:
        raise EnvironmentLackError(
            "the CPUs of this node are not there",
            values=f"{CPUS_VARIABLE} is '{text}': {error}",
            remedy=f"start the node with {CPUS_VARIABLE}=2-15, for example, or without it",
        ) from error


def require_clock(plan: SweepPlan, now: datetime.datetime) -> None:
    """Raises EnvironmentLackError where this machine's clock is before the plan: records would seem older than it."""
    created = datetime.datetime.fromisoformat(plan.created_at)
    if (created - now).total_seconds() > MOST_CLOCK_S:
        raise EnvironmentLackError(
            "the clock of this machine is off, or was when the sweep was planned",
            values=f"the plan {plan.id} is of {created:%Y-%m-%d %H:%M:%S} UTC, now it is "
            f"{now.astimezone(datetime.UTC):%Y-%m-%d %H:%M:%S} UTC",
            remedy="set the clock (NTP), or start a new sweep without --resume",
        )


def no_node_error(faults: Mapping[str, Sequence[str]]) -> EnvironmentLackError:
    """That none of these nodes may measure, with what each lacks."""
    shown = [f"{name}: {'; '.join(found)}" for name, found in list(faults.items())[:_SHOWN]]
    more = [f"and {len(faults) - _SHOWN} more"] if len(faults) > _SHOWN else []
    return EnvironmentLackError(
        "no machine of the cluster can measure this sweep",
        values="\n".join([*shown, *more]),
        remedy="mend the nodes, or change [sweep.require]",
    )
