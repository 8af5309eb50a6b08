"""Does each picture show its cases, with values under it and labels that name them?"""

from __future__ import annotations

import dataclasses

import pytest
from sample_records import record

from benchbox.report.material import Accuracy, Material, Point, points_by_machine
from benchbox.report.plots.gallery import PICTURES
from benchbox.report.plots.rendering import svg_from_picture
from benchbox.report.plots.scales import linear_axis, log_axis, words_beside
from benchbox.schema.model import ModelSpec, Precision
from benchbox.schema.reading import Better, Reading
from benchbox.schema.record import Analytic, Record
from benchbox.schema.verdict import ChangeState, HistoryPoint, LevelChange, Series

NAMES = ("resnet18", "vgg16", "squeezenet1_1")


def reading(metric: str, unit: str, value: float) -> Reading:
    return Reading(metric=metric, unit=unit, value=value, low=0.95 * value, high=1.05 * value, n=5, better=Better.LOWER)


def case(number: int, batch: int) -> Record:
    base = record(number)
    key = dataclasses.replace(base.key, model=NAMES[number], batch=batch, precision=Precision.FP32)
    cost = Analytic(
        params=10**6 * (number + 1), macs=10**8 * (3 - number) * batch, flops=1, weight_bytes=10**6,
        peak_activation_bytes=batch * 10**5,
    )  # fmt: skip
    readings = (
        reading("latency_p50", "s", 0.01 * (number + 1) * batch),
        reading("peak_host_memory", "bytes", 2.0**26 * (number + batch)),
    )
    return dataclasses.replace(
        base, id=f"{number}-{batch}", key=key, analytic=cost, readings=readings, flags=(), proof=None
    )


def runs() -> Series:
    """Four runs of a case, the last of them its stored record; level and environment changed after the second."""
    points = tuple(
        HistoryPoint(at=f"2026-01-0{day}T03:00:00+00:00", commit=f"c{day}", value=0.01 * factor, low=0.009 * factor,
                     high=0.011 * factor, n=5, env="e", record="0-1" if day == 4 else f"old{day}", network="ab")
        for day, factor in ((1, 1.0), (2, 1.0), (3, 1.5), (4, 1.5))
    )  # fmt: skip
    change = LevelChange(
        index=2, ratio=1.5, low=1.4, high=1.6, better=False, commits=("c2", "c3"), environment={}, state=ChangeState.NEW
    )
    return Series(
        case={}, metric="latency_p50", unit="s", better=Better.LOWER, points=points, changes=(change,),
        epochs={2: {"torch": ("1", "2")}},
    )  # fmt: skip


def material() -> Material:
    records = tuple(case(number, batch) for number in range(3) for batch in (1, 4))
    families = {"resnet18": "resnet", "vgg16": "vgg", "squeezenet1_1": "squeezenet"}
    return Material(
        title="", records=records,
        specs={
            name: ModelSpec(name=name, family=family, input_shape=(3, 8, 8), num_classes=1000, params=10**6, macs=10**8,
                            activation_bytes=1, paper="")
            for name, family in families.items()
        },
        accuracies={one.id: Accuracy(value=0.7, low=0.68, high=0.72, source="measured") for one in records},
        medians_s={one.id: (0.01, 0.011, 0.012) for one in records},
        front={"0-1": 0.99, "1-1": 0.4},
        series=(runs(),),
    )  # fmt: skip


def points() -> tuple[Point, ...]:
    (found,) = points_by_machine(material()).values()
    return found


@pytest.mark.parametrize("name", list(PICTURES))
def test_a_picture_names_its_cases_and_has_its_data(name: str) -> None:
    picture = PICTURES[name](points(), material())
    assert picture is not None
    assert picture.rows
    assert all(len(row) == len(picture.columns) for row in picture.rows)
    svg = svg_from_picture(picture, identity="x")
    assert svg.count("<svg ") == svg.count("</svg>") == 1
    assert "nan" not in svg.lower().replace("nano", "")
    shown = [row[0] for row in picture.rows if f'aria-label="{row[0]}: ' in svg]
    assert {row[0] for row in picture.rows} == set(shown)


@pytest.mark.parametrize("name", list(PICTURES))
def test_a_picture_without_data_is_left_out(name: str) -> None:
    assert PICTURES[name]((), material()) is None


@pytest.mark.parametrize("name", list(PICTURES))
def test_one_record_is_enough_or_none_is_drawn(name: str) -> None:
    picture = PICTURES[name](points()[:1], material())
    if picture is not None:
        assert "<svg " in svg_from_picture(picture, identity="x")


def test_a_history_draws_its_runs_levels_and_changes() -> None:
    picture = PICTURES["history"](points(), material())
    assert picture is not None
    assert [row[-1] for row in picture.rows] == ["", "", "1.50× (new)", ""]
    values = picture.specification["data"]["values"]
    assert [row["value"] for row in values if row["kind"] == "level"] == [0.01, 0.015]
    assert [row["at"] for row in values if row["kind"] == "epoch"] == ["2026-01-03T03:00:00+00:00"]


def test_a_history_of_another_machine_is_not_drawn() -> None:
    assert PICTURES["history"]([point for point in points() if point.record.id != "0-1"], material()) is None


def test_cases_of_two_machines_are_apart() -> None:
    one, other = case(0, 1), case(1, 1)
    elsewhere = dataclasses.replace(other.environment, hardware={"cpu": "another"}, hash="fedcba987654")
    found = points_by_machine(Material(title="", records=(one, dataclasses.replace(other, environment=elsewhere))))
    assert [len(points) for points in found.values()] == [1, 1]


def test_the_newest_record_stands_for_a_case() -> None:
    old = dataclasses.replace(case(0, 1), id="old", started_at="2026-01-01T00:00:00+00:00")
    new = dataclasses.replace(case(0, 1), id="new", started_at="2026-01-02T00:00:00+00:00")
    ((point,),) = points_by_machine(Material(title="", records=(new, old))).values()
    assert point.record.id == "new"


def test_words_do_not_overlap() -> None:
    x, y = log_axis("x", "", [1, 10], ""), linear_axis("y", "", [0, 1], "", vertical=True)
    spots = [(1 + place / 50, 0.5 + place / 500, f"network number {place}") for place in range(40)]
    boxes = []
    for row in words_beside(spots, x, y):
        left = x.place(row["x"]) + row["dx"]
        middle = y.length - y.place(row["y"]) + row["dy"]
        boxes.append((left, middle - 7, left + 6.6 * len(row["text"]), middle + 7))
    assert 0 < len(boxes) < len(spots)
    for place, (left, top, right, bottom) in enumerate(boxes):
        for other in boxes[:place]:
            assert right <= other[0] or other[2] <= left or bottom <= other[1] or other[3] <= top


def test_ticks_lie_on_the_axis_and_are_few() -> None:
    for low, high in ((1e-6, 2e-6), (1e-6, 1.0), (3.0, 9e12)):
        axis = log_axis("x", "", [low, high], "s")
        assert 1 <= len(axis.ticks()) <= 14
        assert all(axis.low <= tick <= axis.high for tick in axis.ticks())
