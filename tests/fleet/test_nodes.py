"""Which nodes may measure: another version, another machine, a clock that is off."""

from __future__ import annotations

import dataclasses
import datetime
import os
import subprocess
import sys

import pytest

from benchbox import __version__
from benchbox.errors import EnvironmentLackError
from benchbox.fleet.nodes import (
    CPUS_VARIABLE,
    NodeFacts,
    clock_faults,
    faults_of,
    no_node_error,
    require_clock,
    take_cpus,
)
from benchbox.fleet.plan import SweepPlan, plan_of
from benchbox.fleet.sweep_file import Require, Sweep

NOW = 1_800_000_000.0
GOOD = NodeFacts(name="one", version=__version__, now_s=NOW + 2, facts={"cpu": "AMD EPYC"})


@pytest.fixture
def plan() -> SweepPlan:
    sweep = Sweep(models=["lenet5"], backends=["null"], name="s", require=Require(cpu="AMD*"))
    return plan_of(sweep, estimate=lambda case, processes: 1.0)


def faults(seen: NodeFacts, plan: SweepPlan) -> list[str]:
    return [*faults_of(seen, plan), *clock_faults(seen, asked_s=NOW, answered_s=NOW + 5)]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, None),
        ({"version": "0.0.1"}, "benchbox 0.0.1, the plan is of"),
        ({"now_s": NOW + 5 + 3600}, "its clock is 1:00:00 ahead of this machine's: set it (NTP)"),
        ({"now_s": NOW - 90}, "its clock is 0:01:30 behind this machine's"),
        ({"now_s": NOW - 59}, None),
        ({"facts": {"cpu": "Intel"}}, "cpu is 'Intel', not 'AMD*'"),
    ],
)
def test_what_a_node_lacks(change: dict[str, object], words: str | None, plan: SweepPlan) -> None:
    found = faults(dataclasses.replace(GOOD, **change), plan)  # type: ignore[arg-type]
    assert [words in fault for fault in found] == ([True] if words else [])


def test_without_any_node_each_is_named() -> None:
    error = no_node_error(
        {f"node{number} (10.0.0.{number})": ["benchbox 0.0.1, the plan is of 0.2"] for number in range(7)}
    )
    assert error.exit_status == 3
    assert error.values.splitlines()[0] == "node0 (10.0.0.0): benchbox 0.0.1, the plan is of 0.2"
    assert error.values.endswith("and 2 more")


def test_a_clock_before_the_plan_is_off(plan: SweepPlan) -> None:
    created = datetime.datetime.fromisoformat(plan.created_at)
    require_clock(plan, created)
    with pytest.raises(EnvironmentLackError, match="the clock of this machine is off"):
        require_clock(plan, created - datetime.timedelta(hours=1))


def test_a_node_measures_on_its_own_cpus() -> None:
    """Whatever started it is bound to: in a process of its own, because it binds that."""
    code = "import os; from benchbox.fleet.nodes import take_cpus; take_cpus({text!r}); print(*os.sched_getaffinity(0))"
    mine = sorted(os.sched_getaffinity(0))

    def taken(text: str) -> set[int]:
        words = [sys.executable, "-c", code.format(text=text)]
        ran = subprocess.run(words, capture_output=True, text=True, check=True, preexec_fn=bound)
        return set(map(int, ran.stdout.split()))

    def bound() -> None:
        os.sched_setaffinity(0, {mine[0]})

    assert taken("") >= set(mine)
    assert taken(str(mine[-1])) == {mine[-1]}


@pytest.mark.parametrize("others", [False, True])
def test_a_node_measures_with_the_usual_priority_where_it_may(others: bool) -> None:
    """Ray lowers that of its workers; only root may raise it again, and others are told."""
    ours = "os.setgroups([]); os.setuid(65534);" if others else ""
    if os.getuid() != 0:
        pytest.skip("as root both ways can be seen")
    code = (
        f"import os; from benchbox.fleet.nodes import take_machine; from benchbox.machine.host import low_priority;"
        f"os.nice(15); {ours} take_machine(); print(repr(low_priority()), os.getpriority(os.PRIO_PROCESS, 0))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, CPUS_VARIABLE: ""}
    )
    assert ran.stdout.split("\n")[0] == ("'nice 15' 15" if others else "'' 0")


@pytest.mark.parametrize("text", ["abc", "4000", "0-x"])
def test_cpus_that_are_not_there(text: str) -> None:
    with pytest.raises(EnvironmentLackError, match="the CPUs of this node are not there"):
        take_cpus(text)
