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
