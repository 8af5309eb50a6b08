"""The gate's test of itself: what is measured, when it is believed, and that no such number is a measurement."""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sample_nights import level, nights
from sample_records import record, trials

from benchbox.backends.base import DeviceSession
from benchbox.errors import StoreError, UsageError
from benchbox.flags.case import flags_of
from benchbox.flags.seen import Seen
from benchbox.gate.comparable import Measured
from benchbox.gate.policy import Policy
from benchbox.gate.selftest import Selftest, trust_in, write_selftest
from benchbox.jobs.cases import Case
from benchbox.jobs.gate import judge_stored
from benchbox.jobs.selftest import selftest
from benchbox.measure.process.delayed import DelayedSession
from benchbox.schema.plan import MeasurementPlan
from benchbox.schema.reading import Severity
from benchbox.schema.verdict import Outcome
from benchbox.stats.again import Round, decide
from benchbox.store.artifact_files import artifacts_under
from benchbox.store.records import append

NIGHT, MACHINE = "2026-01-20", "none"


def judge(root: Path, **more: Any) -> Any:
    values: dict[str, Any] = {"policy_file": None, "against": None, "night": None, "where": (), "warn": print}
    return judge_stored(root, **{**values, **more})


def stored(root: Path, sha256: str = "ab" * 32) -> None:
    for entry in nights(level(20, 1e-3), flags=()):
        append(root, dataclasses.replace(entry, onnx_sha256=sha256), trials())


def pair(ratio: float, seed: int = 0, sd: float = 0.003) -> Round:
    rng = np.random.default_rng(seed)
    base, head = (1e-3 * np.exp(sd * rng.standard_normal(8)) for _ in range(2))
    return Round(base=tuple(base), head=tuple(ratio * head))


def measured_pair(ratio: float, seed: int) -> tuple[Measured, Measured]:
    """Both sides of a pair, as if their processes had been measured."""
    timed, _ = trials()
    found = pair(ratio, seed)
    base, head = (
        tuple(
            dataclasses.replace(timed, number=number, samples_ns=(round(1e9 * value),) * 3)
            for number, value in enumerate(values)
        )
        for values in (found.base, found.head)
    )
    return Measured(record=record(), trials=base), Measured(record=record(), trials=head)


def made(aa: float = 1.0, slowed: float = 1.1, night: str = NIGHT) -> Selftest:
    found = [decide([pair(ratio)], effect=0.05, chance=0.002) for ratio in (aa, slowed)]
    return Selftest(night=night, machine=MACHINE, name="x", effect=0.05, injected=0.1, aa=(found[0],), slowed=found[1])


class Shown:
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def step(self, done: float, total: float, text: str) -> None:
        pass


@pytest.mark.usefixtures("lenet_exported")
def test_it_measures_equal_sides_and_a_slowed_head(tmp_path: Path) -> None:
    (artifact,) = [found for found in artifacts_under(tmp_path) if found.precision == "fp32"]
    stored(tmp_path, artifact.sha256)
    delays = []

    def measure(base: Case, head: Case) -> tuple[Measured, Measured]:
        delays.append((base.plan.injected_delay, head.plan.injected_delay))
        assert (base.source, base.backend, base.plan.trials) == (head.source, "null", 10)
        return measured_pair(1 + head.plan.injected_delay, len(delays))

    shown = Shown()
    test = selftest(tmp_path, judge(tmp_path), progress=shown, measure=measure)
    assert [text.partition(": ")[2] for text in shown.said] == [
        "equal sides, 10 processes a side in turn",
        "a head slowed by 10 %, 10 processes a side in turn",
    ]
    assert delays == [(0.0, 0.0), (0.0, 0.1)]
    assert test.believed
    report = judge(tmp_path).report
    assert (report.exit, report.selftest.believed, report.selftest.tests) == (0, True, 1)
    assert (report.selftest.aa, report.selftest.injected) == ("same", "slower")


@pytest.mark.usefixtures("lenet_exported")
def test_as_many_pairs_of_equal_sides_as_the_policy_says_must_all_be_the_same(tmp_path: Path) -> None:
    (artifact,) = [found for found in artifacts_under(tmp_path) if found.precision == "fp32"]
    stored(tmp_path, artifact.sha256)
    (tmp_path / "benchbox.toml").write_text("[gate]\nselftest = { aa = 3, injected = 0.2 }\n")
    ratios = [1.0, 1.0, 1.1, 1.2]

    def measure(base: Case, head: Case) -> tuple[Measured, Measured]:
        assert bool(head.plan.injected_delay) is (len(ratios) == 1)
        return measured_pair(ratios.pop(0), len(ratios))

    shown = Shown()
    test = selftest(tmp_path, judge(tmp_path), progress=shown, measure=measure)
    assert [text.partition(": ")[2].partition(",")[0] for text in shown.said] == [
        *(f"equal sides ({number} of 3)" for number in (1, 2, 3)),
        "a head slowed by 20 %",
    ]
    assert (len(test.aa), test.aa_outcome, test.believed) == (3, Outcome.SLOWER, False)
    assert judge(tmp_path).report.exit == 5
    assert judge(tmp_path).report.selftest.aa == "slower"


def test_a_test_of_one_pair_as_it_was_written_at_first_is_read(tmp_path: Path) -> None:
    stored(tmp_path)
    path = write_selftest(tmp_path, made())
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "aa": document["aa"][0]}))
    assert judge(tmp_path).report.selftest.believed is True


def test_without_a_network_there_is_nothing_to_test_with(tmp_path: Path) -> None:
    stored(tmp_path)
    with pytest.raises(UsageError, match="nothing that the gate could test itself with"):
        selftest(tmp_path, judge(tmp_path), progress=Shown())


@pytest.mark.parametrize(("aa", "slowed"), [(1.1, 1.1), (1.0, 1.0), (0.9, 1.1)])
def test_a_failed_test_is_before_everything_else(aa: float, slowed: float, tmp_path: Path) -> None:
    for place, entry in enumerate(nights([*level(18, 1e-3), *level(2, 1.3e-3, 1)], flags=())):
        append(tmp_path, dataclasses.replace(entry, id=f"{entry.id}{place}"), trials())
    assert judge(tmp_path).report.exit == 1
    write_selftest(tmp_path, made(aa, slowed))
    report = judge(tmp_path).report
    assert [status for status, _ in report.reasons] == [5, 1]
    assert "cannot be believed" in report.reasons[0][1]
    assert judge(tmp_path, night="2026-01-19").report.selftest.believed is None


def test_a_missing_test_counts_where_the_policy_asks_for_it(benchbox: Callable[..., Any], tmp_path: Path) -> None:
    stored(tmp_path)
    assert benchbox("gate").status == 0
    (tmp_path / "benchbox.toml").write_text('[gate]\nselftest = { every = "night" }\n')
    ran = benchbox("gate")
    assert (ran.status, "no self-test on none" in ran.out) == (5, True)
    write_selftest(tmp_path, made())
    ran = benchbox("gate")
    said = " ".join(ran.out.split())
    assert (ran.status, "environment unchanged, gate self-test passed" in said) == (0, True)
    assert "of 1 self-test in the last 90 nights, 0 saw a change in equal sides, 0 missed the injected one" in said
    assert benchbox("gate", "--json").document["selftest"]["believed"] is True


def test_rates_are_of_ninety_nights() -> None:
    first = datetime.date(2026, 1, 1)
    nights_ = [(first + datetime.timedelta(days=day)).isoformat() for day in range(168)]
    found = [
        made(1.1 if place == 100 else 1.0, 1.0 if place in {0, 120} else 1.1, night=night)
        for place, night in enumerate(nights_)
    ]
    trust = trust_in(nights_[-1], [MACHINE], found)
    assert (trust.tests, trust.false_alarms, trust.missed, trust.believed) == (90, 1, 1, True)
    # Of nights, not of tests: what was tested long ago says nothing of now.
    assert trust_in("2027-01-01", [MACHINE], found).tests == 0
    assert "not known" in trust_in("2027-01-01", [MACHINE], found).text
    assert trust_in("2027-01-01", [MACHINE, "other"], found).missing == (MACHINE, "other")


@pytest.mark.parametrize("text", ["{", "[]", json.dumps({"schema": "benchbox.selftest/9"})])
def test_a_damaged_one_is_named(text: str, tmp_path: Path) -> None:
    stored(tmp_path)
    write_selftest(tmp_path, made()).write_text(text)
    with pytest.raises(StoreError, match=f"{MACHINE}.json"):
        judge(tmp_path)


def test_what_was_slowed_down_is_never_a_measurement(tmp_path: Path) -> None:
    plan = MeasurementPlan(injected_delay=0.1)
    with pytest.raises(StoreError, match="slowed down on purpose"):
        append(tmp_path, record(plan=plan), trials())
    seen = Seen(
        precision=record().key.precision, plan=plan, trials=trials(), readings=(), evidence=trials()[0].evidence, cpus=1
    )
    (found,) = [flag for flag in flags_of(seen) if flag.code == "INJECTED_DELAY"]
    assert (found.severity, found.metrics) == (Severity.ERROR, ())
    assert Policy().selftest.every == "never"


def test_a_delayed_session_waits_for_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a clock that goes on by 1 us a look, of which an inference takes 1000."""
    now = [0]

    def look() -> int:
        now[0] += 1000
        return now[0]

    class Inner:
        def enqueue(self, _: int) -> None:
            now[0] += 1_000_000

        def synchronize(self) -> None:
            pass

    monkeypatch.setattr("time.perf_counter_ns", look)
    session = DelayedSession(Inner(), delay=0.1)  # type: ignore[arg-type]
    for _ in range(3):
        begin = now[0]
        session.enqueue(0)  # done on return: the harness waits for no host session
        assert 1.1e6 <= now[0] - begin < 1.11e6
    assert not isinstance(session, DeviceSession)


@pytest.mark.nightly
@pytest.mark.slow
@pytest.mark.usefixtures("lenet_exported")
def test_a_real_one_sees_the_injected_slow_down(benchbox: Callable[..., Any], tmp_path: Path) -> None:
    """The injected half only: whether equal sides look the same here depends on what else this machine does."""
    flags = ("--backend", "onnxruntime", "--threads", "1", "--quick", "--max-time", "0.2")
    assert benchbox("run", "lenet5", *flags).status == 0
    before = sorted((tmp_path / "results" / "records").rglob("*.parquet"))
    (tmp_path / "benchbox.toml").write_text("[gate]\nselftest = { injected = 0.5 }\n")
    document = benchbox("gate", "--selftest", "--no-exit", "--json").document
    assert document["selftest"]["injected"] == "slower"
    assert sorted((tmp_path / "results" / "records").rglob("*.parquet")) == before
