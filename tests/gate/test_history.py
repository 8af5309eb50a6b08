"""Series of hand-made records: levels, epochs, and what is said of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import pytest
from sample_nights import NEW_DRIVER, level, nights
from sample_records import ENVIRONMENT

from benchbox.gate.history import series_from_records
from benchbox.schema.reading import Better
from benchbox.schema.record import Record, Status
from benchbox.schema.verdict import ChangeState, Series


def only(records: Sequence[Record]) -> Series:
    (series,) = series_from_records(records, metric="latency_p50", effect=0.03)
    return series


def test_a_slower_level_is_found_with_its_commits() -> None:
    series = only(nights([*level(20, 1e-3), *level(10, 1.1e-3, 1)]))
    (change,) = series.changes
    assert (change.index, change.state, change.better) == (20, ChangeState.NEW, False)
    assert change.commits == ("c019", "c020")
    assert len(series.points) == 30
    assert series.epochs == {}


def test_the_order_of_the_records_does_not_matter() -> None:
    records = nights([*level(20, 1e-3), *level(10, 1.1e-3, 1)])
    assert only(records[::-1]) == only(records)


def test_a_level_that_came_back_was_reverted() -> None:
    series = only(nights([*level(20, 1e-3), *level(10, 1.1e-3, 1), *level(10, 1e-3, 2)]))
    assert [change.state for change in series.changes] == [ChangeState.REVERTED, ChangeState.NEW]
    assert [change.better for change in series.changes] == [False, True]


@pytest.mark.parametrize("driver_from", [19, 20, 21])
def test_a_step_with_a_new_driver_is_the_environments(driver_from: int) -> None:
    def environment(night: int) -> Any:
        return NEW_DRIVER if night >= driver_from else ENVIRONMENT

    series = only(nights([*level(20, 1e-3), *level(10, 1.1e-3, 1)], environment=environment))
    (change,) = series.changes
    assert change.state is ChangeState.ENVIRONMENT
    assert change.environment == {"driver": ("", "560")}
    assert dict(series.epochs) == {driver_from: {"driver": ("", "560")}}


def test_a_new_driver_far_from_the_step_does_not_excuse_it() -> None:
    series = only(
        nights(
            [*level(20, 1e-3), *level(10, 1.1e-3, 1)],
            environment=lambda night: NEW_DRIVER if night >= 10 else ENVIRONMENT,
        )
    )
    assert [change.state for change in series.changes] == [ChangeState.NEW]


def test_several_records_of_a_night_are_one_point() -> None:
    """Pooled as the gate pools them, so that a night that was measured five times does not count five times."""
    records = nights(level(10, 1e-3))
    last = records[-1]
    (reading,) = last.readings
    again = [
        dataclasses.replace(
            last,
            id=f"{last.id}x{hour}",
            started_at=f"2026-01-10T0{hour}:00:00+00:00",
            readings=(dataclasses.replace(reading, value=value, low=value * 0.99, high=value * 1.01),),
        )
        for hour, value in ((3, 1.1e-3), (4, 1.2e-3))
    ]
    series = only([*records, *again])
    assert [point.night for point in series.points] == [f"2026-01-{day:02d}" for day in range(1, 11)]
    point = series.points[-1]
    assert point.value == pytest.approx((reading.value * 1.1e-3 * 1.2e-3) ** (1 / 3))
    assert (point.n, point.record, len(point.records)) == (24, f"{last.id}x4", 3)
    assert point.low is not None
    assert point.high is not None
    # Three means of equal intervals: narrower by the root of three.
    assert point.high / point.low == pytest.approx((1.01 / 0.99) ** (1 / 3**0.5))
    (each,) = series_from_records([*records, *again], metric="latency_p50", effect=0.03, night_starts=None)
    assert len(each.points) == 12


def test_a_driver_that_changed_in_the_middle_of_a_night_makes_two_points() -> None:
    records = nights(level(6, 1e-3))
    later = dataclasses.replace(records[-1], id="later", started_at="2026-01-06T05:00:00+00:00", environment=NEW_DRIVER)
    series = only([*records, later])
    assert (len(series.points), dict(series.epochs)) == (7, {6: {"driver": ("", "560")}})


def test_the_evening_is_of_the_night_that_ends_tomorrow() -> None:
    records = [
        dataclasses.replace(entry, started_at=f"2026-01-0{day}T{hour}:00:00+00:00", id=f"{day}{hour}")
        for entry in nights([1e-3])
        for day, hour in ((1, 11), (1, 13), (2, 10))
    ]
    assert [point.night for point in only(records).points] == ["2026-01-01", "2026-01-02"]


def test_another_network_under_the_same_name_is_another_series() -> None:
    """In one night too: its mean with the other would be a number of neither."""
    before = nights(level(6, 1e-3))
    analytic = before[0].analytic
    assert analytic is not None
    wider = dataclasses.replace(analytic, macs=4 * analytic.macs)
    after = [
        dataclasses.replace(record, id=f"{record.id}w", onnx_sha256="b" * 64, analytic=wider)
        for record in nights(level(6, 3e-3))
    ]
    series = series_from_records([*before, *after], metric="latency_p50", effect=0.03)
    assert [(len(found.points), found.changes, found.case["macs"]) for found in series] == [
        (6, (), analytic.macs),
        (6, (), wider.macs),
    ]
    retrained = [dataclasses.replace(record, onnx_sha256="c" * 64) for record in before[3:]]
    assert "macs" not in only([*before[:3], *retrained]).case


def test_failed_records_and_other_hardware_do_not_join() -> None:
    good = nights(level(10, 1e-3))
    failed = nights(level(10, 9e-3), status=Status.FAILED)
    other = dataclasses.replace(ENVIRONMENT, hash="eeee", hardware={"cpu": "another"})
    elsewhere = nights(level(10, 5e-3), environment=lambda _: other)
    series = series_from_records([*good, *failed, *elsewhere], metric="latency_p50", effect=0.03)
    assert [len(each.points) for each in series] == [10, 10]
    assert all(not each.changes for each in series)


def test_a_case_without_the_metric_has_no_series() -> None:
    assert series_from_records(nights(level(5, 1e-3)), metric="energy_per_sample", effect=0.03) == ()


def test_throughput_is_better_when_it_rises() -> None:
    records = [
        dataclasses.replace(
            each,
            readings=(dataclasses.replace(each.readings[0], metric="throughput", unit="1/s", better=Better.HIGHER),),
        )
        for each in nights([*level(20, 100.0), *level(10, 130.0, 1)])
    ]
    (series,) = series_from_records(records, metric="throughput", effect=0.03)
    assert [change.better for change in series.changes] == [True]
