"""The machine's own speed beside each process: taken, told as a metric, flagged where it shifted."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import pytest
from builders import QUIET, trial

from benchbox.flags.probes import flags_of_probes
from benchbox.machine import handover
from benchbox.machine.handover import handover_s
from benchbox.machine.probes import probes_after, probes_before, product_s
from benchbox.metrics.probes import ARITHMETIC, HANDOVER, counter_name, probe_of
from benchbox.metrics.readings import readings_from_trials
from benchbox.metrics.workload import Workload
from benchbox.schema.trial import Trial

WORKLOAD = Workload(batch=1, flops=1)
SEVERAL = hasattr(os, "sched_getaffinity") and len(os.sched_getaffinity(0)) > 1
several_cpus = pytest.mark.skipif(not SEVERAL, reason="runs on a machine with two CPUs or more")


def referred(before_s: float, after_s: float, kind: str = ARITHMETIC) -> Trial:
    times = {counter_name(kind, "before"): before_s, counter_name(kind, "after"): after_s}
    return trial(counters={**QUIET, **times}, load_s=0.5)


def test_the_time_of_a_product() -> None:
    assert 1e-7 < product_s() < 0.1


@several_cpus
def test_a_handover_and_what_it_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []

    class Watched(subprocess.Popen[bytes]):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            started.append(self)

    monkeypatch.setattr(subprocess, "Popen", Watched)
    before = os.sched_getaffinity(0)
    found = handover_s()
    assert found is not None
    assert 1e-9 < found < 1.0
    assert os.sched_getaffinity(0) == before
    assert [partner.returncode is None for partner in started] == [False], "the partner has ended and was waited for"


@several_cpus
def test_the_partner_goes_from_cpu_to_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two CPUs are enough to play three: the partner is sent to the same one twice."""
    first, second = sorted(os.sched_getaffinity(0))[:2]
    bound: list[set[int]] = []
    before = os.sched_getaffinity(0)
    real = os.sched_setaffinity
    monkeypatch.setattr(os, "sched_setaffinity", lambda task, cpus: (bound.append(set(cpus)), real(task, cpus)))
    assert handover_s([first, second, second, second]) is not None
    assert bound == [{first}, before]


def test_one_cpu_has_nobody_to_hand_over_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0}, raising=False)
    assert handover_s() is None


@several_cpus
@pytest.mark.parametrize("words", ["exit", "import time; time.sleep(60)"])
def test_a_partner_that_does_not_answer_costs_the_number_and_no_more(
    words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handover, "_PARTNER", words)
    monkeypatch.setattr(handover, "START_S", 0.05)
    before = os.sched_getaffinity(0)
    assert handover_s() is None
    assert os.sched_getaffinity(0) == before


@several_cpus
def test_a_partner_that_stops_answering_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    stops = handover._PARTNER.replace("ours[0] = 2 * last", "sys.exit(0)")
    monkeypatch.setattr(handover, "_PARTNER", stops)
    monkeypatch.setattr(handover, "LOOKS", 1000)
    assert handover_s() is None


def test_a_partner_alone_ends_by_itself() -> None:
    """Whoever started it may have been killed."""
    alone = handover._PARTNER.replace(str(handover.LOOKS), "1000")
    code = "import sys, tempfile; file = tempfile.NamedTemporaryFile(); file.write(bytes(4096)); file.flush()\n"
    code += f"sys.argv = ['', file.name, '{min(os.sched_getaffinity(0))}']\n{alone}"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 1


@pytest.mark.parametrize(("threads", "kinds"), [(1, [ARITHMETIC]), (2, [ARITHMETIC, HANDOVER])])
def test_one_thread_hands_nothing_over(threads: int, kinds: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchbox.machine.probes.handover_s", lambda: 1e-7)
    counters = {**probes_before(threads), **probes_after(threads)}
    assert sorted(counters) == sorted(counter_name(kind, when) for kind in kinds for when in ("before", "after"))
    assert [kind for kind in (ARITHMETIC, HANDOVER) if probe_of(counters, kind)] == list(kinds)


@pytest.mark.parametrize("kind", [ARITHMETIC, HANDOVER])
def test_a_process_gives_the_mean_of_before_and_after(kind: str) -> None:
    readings = readings_from_trials([referred(1e-3, 4e-3, kind)] * 3, WORKLOAD)
    (reading,) = [found for found in readings if found.metric.startswith("probe")]
    assert reading.metric == f"probe_{kind}"
    assert (reading.unit, reading.value, reading.n) == ("s", pytest.approx(2e-3), 3)


def test_where_it_was_not_taken_there_is_no_reading() -> None:
    assert probe_of(QUIET, ARITHMETIC) is None
    assert probe_of({**QUIET, counter_name(ARITHMETIC, "before"): 1.0}, ARITHMETIC) is None
    assert not [
        reading for reading in readings_from_trials([trial(load_s=0.5)], WORKLOAD) if "reference" in reading.metric
    ]


@pytest.mark.parametrize(
    ("kind", "ratio", "words"),
    [
        (ARITHMETIC, 1.05, ""),
        (ARITHMETIC, 1.3, "the arithmetic probe took 1.000 ms to 1.300 ms"),
        (HANDOVER, 1.3, ""),
        (HANDOVER, 2.0, "core-to-core latency varied from 1.000 ms to 2.000 ms"),
    ],
)
def test_a_machine_that_shifts_is_flagged(kind: str, ratio: float, words: str) -> None:
    trials = [referred(1e-3, 1e-3, kind), referred(1e-3, 1e-3, kind), referred(ratio * 1e-3, ratio * 1e-3, kind)]
    found = list(flags_of_probes(trials))
    assert [flag.code for flag in found] == (["MACHINE_SHIFTED"] if words else [])
    assert all(words in flag.message for flag in found)


def test_one_process_cannot_shift() -> None:
    assert not list(flags_of_probes([referred(1e-3, 1e-3)]))
