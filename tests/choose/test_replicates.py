"""Records of one case: which of them count, and what their processes say together."""

from __future__ import annotations

import dataclasses
import datetime
import itertools
import math
import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_configurations import candidates, measured, reading
from sample_records import ENVIRONMENT

from benchbox.choose.amounts import Spread, amount_from_passes
from benchbox.choose.candidates import candidates_from_records
from benchbox.gate.comparable import Measured, pairs_of_cases
from benchbox.schema.reading import Flag, Reading, Severity
from benchbox.schema.record import Correctness, Record, Status
from benchbox.stats.interval import log_t_interval

EVENING = datetime.datetime(2026, 1, 2, 20, 0, tzinfo=datetime.UTC)
_NUMBERS = itertools.count()


def latency_of(values: Sequence[float]) -> Reading:
    centre, low, high = log_t_interval(values)
    return dataclasses.replace(reading("latency_p50", centre, n=len(values)), low=low, high=high)


def taken(*values: float, hours_ago: float = 0, sweep: str = "", **fields: Any) -> Record:
    """A record of one case with these processes."""
    at = EVENING - datetime.timedelta(hours=hours_ago)
    observed = {"sweep": f"{sweep}/p1-0000"} if sweep else {}
    environment = fields.pop("environment", dataclasses.replace(ENVIRONMENT, observed=observed))
    return measured(
        "a", latency_of(values), id=f"{at:%Y%m%dT%H%M%SZ}-{next(_NUMBERS):08x}", started_at=at.isoformat(),
        environment=environment, **fields,
    )  # fmt: skip


def chosen(*records: Record) -> tuple[str, ...]:
    (found,) = candidates(*records)
    return tuple(entry.id for entry in found.records)


@given(st.lists(st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=6), min_size=1, max_size=5))
def test_the_less_sure_of_processes_and_passes_counts(parts: list[list[float]]) -> None:
    found = amount_from_passes([latency_of(part) for part in parts])
    whole = [value for part in parts for value in part]
    centre, low, high = log_t_interval(whole)
    assert found.value == pytest.approx(centre, rel=1e-9)
    if low is None:
        assert found.error is None
        return
    processes = dataclasses.replace(found, passes=1)
    assert processes.degrees == len(whole) - 1
    assert processes.bound(0.975, upper=True) == pytest.approx(high, rel=1e-6)
    assert processes.bound(0.975, upper=False) == pytest.approx(low, rel=1e-6)
    (upper, lower), sure = _bounds(found), _bounds(processes)
    assert (upper >= sure[0], lower <= sure[1]) == (True, True)
    if len({len(part) for part in parts}) == 1 < len(parts):  # then the passes are replicates, each its mean
        means = [statistics.geometric_mean(part) for part in parts]
        assert (upper, lower) == pytest.approx(
            tuple(sorted([sure, log_t_interval(means)[:0:-1]], key=lambda ends: ends[0] / ends[1])[-1]), rel=1e-5
        )


def _bounds(amount: Spread) -> tuple[float, float]:
    found = amount.bound(0.975, upper=True), amount.bound(0.975, upper=False)
    assert found[0] is not None
    assert found[1] is not None
    return found[0], found[1]


def test_passes_that_differ_make_a_bound_wide_and_a_chance_small() -> None:
    apart = amount_from_passes([latency_of([1.0, 1.001, 1.002, 1.001]), latency_of([1.04, 1.041, 1.039, 1.04])])
    processes = dataclasses.replace(apart, passes=1)
    upper = apart.bound(0.95, upper=True)
    assert upper == pytest.approx(1.0203 * math.exp(6.314 * 0.0192), rel=1e-3), "t of one degree of freedom"
    assert processes.bound(0.95, upper=True) == pytest.approx(1.0343, rel=2e-3)
    for limit in (1.05, 1.0):
        chances = apart.chance_below(limit), processes.chance_below(limit)
        assert None not in chances
        assert abs(chances[0] - 0.5) < abs(chances[1] - 0.5)  # type: ignore[operator]
    drawn = apart.draws(np.random.default_rng(0), 4000)
    assert 0.03 < np.mean(drawn > upper) < 0.07


def test_a_bound_that_says_nothing_is_a_number() -> None:
    apart = amount_from_passes([latency_of([1.0, 1.1]), latency_of([9.0, 9.1])])
    upper, lower = apart.bound(0.9999, upper=True), apart.bound(0.9999, upper=False)
    assert upper is not None
    assert lower is not None
    assert (math.isfinite(upper), upper > 1e30, 0 < lower < 1e-30) == (True, True, True)


def test_equal_passes_are_exact() -> None:
    same = amount_from_passes([latency_of([2.0, 2.0]), latency_of([2.0, 2.0])])
    assert same.bound(0.99, upper=True) == 2.0
    assert (same.chance_below(2.0), same.chance_below(1.9)) == (1.0, 0.0)
    assert same.draws(np.random.default_rng(0), 3).tolist() == [2.0] * 3


def test_a_spread_that_one_reading_does_not_tell_is_not_told_by_all() -> None:
    odd = dataclasses.replace(latency_of([1.0, 2.0]), low=None, high=None)
    assert amount_from_passes([latency_of([1.0, 1.1]), odd]).error is None


def test_the_passes_of_a_sweep_are_one_case_however_far_apart() -> None:
    first, second = taken(1.0, 1.1, hours_ago=40, sweep="s"), taken(1.2, sweep="s")
    (found,) = candidates(first, second)
    amount = found.amounts["latency"]
    assert isinstance(amount, Spread)
    assert (amount.degrees, amount.passes) == (2, 2)
    assert found.record.id == second.id


def test_compare_takes_the_same_records_of_a_sweep() -> None:
    first, second = taken(1.0, 1.1, hours_ago=2, sweep="s"), taken(1.2, 1.3, sweep="s")
    elsewhere = taken(9.0, 9.1, environment=dataclasses.replace(ENVIRONMENT, hash="eeee"), hours_ago=1)
    records = [first, elsewhere, second]
    (pair,) = pairs_of_cases([Measured(record=entry, trials=()) for entry in records], [])
    assert sorted(entry.record.id for entry in pair.base) == sorted(chosen(*records))


@pytest.mark.parametrize(
    "fields",
    [
        {"sweep": ""},
        {"sweep": "other"},
        {"environment": dataclasses.replace(ENVIRONMENT, hash="eeee", observed={"sweep": "s/p1-0000"})},
        {"onnx_sha256": "f" * 64},
    ],
)
def test_what_no_other_pass_measured_is_not_taken_together(fields: dict[str, Any]) -> None:
    other, newest = taken(1.0, 1.1, **{"hours_ago": 1, "sweep": "s", **fields}), taken(1.2, 1.3, sweep="s")
    found = candidates(other, newest)
    assert [entry.records for entry in found if entry.record.id == newest.id] == [(newest,)]


def test_what_is_newer_than_a_sweep_stands_alone() -> None:
    passes = taken(1.0, 1.1, hours_ago=2, sweep="s"), taken(1.2, 1.3, hours_ago=1, sweep="s")
    alone = taken(1.2, 1.3)
    assert chosen(*passes, alone) == (alone.id,)


def test_numbers_that_are_void_or_absent_are_left_out_and_wrong_outputs_once_are_wrong() -> None:
    void = Flag(code="VIRTUAL_CLOCK", severity=Severity.ERROR, message="")
    warning = Flag(code="CPU_STEAL", severity=Severity.WARNING, message="")
    good = taken(1.0, 1.1, hours_ago=1, sweep="s", flags=(warning,))
    newer = taken(1.2, 1.3, sweep="s", flags=(void,))
    failed = taken(1.2, 1.3, hours_ago=-1, sweep="s", status=Status.FAILED, reason="died")
    assert chosen(good, newer, failed) == (good.id,)
    (found,) = candidates(good, taken(1.2, 1.3, sweep="s"))
    assert [flag.code for flag in found.flags] == ["CPU_STEAL"]
    wrong = taken(1.0, 1.1, hours_ago=1, sweep="s", correctness=Correctness(passed=False))
    kept, excluded = candidates_from_records(
        [wrong, taken(1.2, 1.3, sweep="s")], facet_of=lambda _: ("here",), name_of=lambda _: "a"
    )
    assert kept == ()
    assert [entry.reason for entry in excluded] == ["outputs not right"]


def test_readings_of_another_method_are_left_out() -> None:
    first, second = taken(1.0, 1.1, hours_ago=1, sweep="s"), taken(1.2, 1.3, sweep="s")
    other = dataclasses.replace(first, readings=(dataclasses.replace(first.readings[0], method="otherwise"),))
    (found,) = candidates(other, second)
    assert found.amounts["latency"].value == pytest.approx(second.readings[0].value)
