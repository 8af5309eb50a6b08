"""Does each picture show its cases, with values under it and labels that name them?"""

from __future__ import annotations

import dataclasses
import itertools

import pytest
from sample_material import case, material, points, table

from benchbox.report.material import Accuracy, Material, points_by_machine
from benchbox.report.plots.gallery import PICTURES
from benchbox.report.plots.rendering import svg_from_picture
from benchbox.report.plots.roofline import above_roofs
from benchbox.report.plots.roofs import roofs_of
from benchbox.report.plots.scales import linear_axis, log_axis, spread, words_beside, words_stacked
from benchbox.schema.device import Level


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


def test_a_history_draws_its_nights_levels_and_steps() -> None:
    picture = PICTURES["history"](points(), material())
    assert picture is not None
    assert [row[-1] for row in picture.rows] == ["", "", "+50.0 % (+40.0 to +60.0 %), new", ""]
    values = picture.specification["data"]["values"]
    assert [(row["at"], row["value"], row["text"]) for row in values if row["kind"] == "step"] == [
        ("2026-01-03T03:00:00+00:00", 0.015, "+50.0 %")
    ]
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


def test_stacked_words_are_apart_and_where_they_are_wanted_when_they_can_be() -> None:
    for places in ([0.0, 100.0, 200.0], [5.0, 5.0, 5.0], [0.0, 1.0, 2.0, 90.0, 91.0]):
        found = spread(places, apart=14.0)
        assert all(after - before >= 14.0 - 1e-9 for before, after in itertools.pairwise(found))
        assert sum(found) == pytest.approx(sum(places))
    assert spread([0.0, 100.0]) == [0.0, 100.0]
    x, y = log_axis("x", "", [1, 10], ""), linear_axis("y", "", [0, 1], "", vertical=True)
    rows = words_stacked([(10, 0.5, "one"), (10, 0.501, "two")], x, y)
    heights = [y.length - y.place(row["y"]) + row["dy"] for row in rows]
    assert abs(heights[0] - heights[1]) >= 14.0 - 1e-9


def test_a_roof_is_the_lower_of_slope_and_level() -> None:
    low, high = roofs_of(material().ceilings[0], ["int8", "fp32", "bf16"], 1)
    assert (low.precision, high.precision) == ("fp32", "int8")
    assert low.ridge == pytest.approx(20)
    assert low.limit(10) == pytest.approx(5e10)
    assert low.limit(1000) == pytest.approx(1e11)
    assert low.low_limit(10) < low.limit(10) < low.high_limit(10)
    assert (low.sheet, high.sheet) == (1.5e11, None)


def test_a_network_above_its_roof_is_ringed_and_one_below_is_not() -> None:
    found = PICTURES["roofline"](points(), material())
    assert found is not None
    assert not any(value["above"] for value in _dots(found.specification))
    slow = dataclasses.replace(
        material().ceilings[0],
        compute=tuple(
            dataclasses.replace(one, flops_per_s=1e9, low=1e9, high=1e9) for one in material().ceilings[0].compute
        ),
    )
    above = PICTURES["roofline"](points(), dataclasses.replace(material(), ceilings=(slow,)))
    assert above is not None
    assert any(value["above"] for value in _dots(above.specification))
    assert any(float(row[-1].split()[0]) > 100 for row in above.rows)


def test_what_is_above_its_roof_is_named_and_nothing_else_is() -> None:
    whole = dataclasses.replace(material(), layers=(table("fp32"),))
    assert above_roofs(points(), whole) == []
    assert above_roofs(points(), dataclasses.replace(material(), ceilings=())) == []
    low = dataclasses.replace(
        material().ceilings[0],
        compute=tuple(
            dataclasses.replace(one, flops_per_s=2e10, low=2e10, high=2.5e10) for one in material().ceilings[0].compute
        ),
    )
    found = above_roofs(points(), dataclasses.replace(whole, ceilings=(low,)))
    # resnet18: 6e8 operations in 10 ms; its first layer: 2e7 in 0.6 ms.
    assert [one.name for one in found] == [
        "resnet18 null fp32 batch 1", "resnet18 null fp32 batch 4", "resnet18 null fp32 features.0",
    ]  # fmt: skip
    assert found[0].limit == 2.5e10
    assert found[0].over == pytest.approx(6e10 / 2.5e10 - 1)
    # What any measurement of the environment reached is reached.
    assert above_roofs(points(), dataclasses.replace(whole, ceilings=(*material().ceilings, low))) == []


def test_a_ceiling_of_each_precision_is_drawn_against_multiply_adds() -> None:
    found = PICTURES["latency"](points(), material())
    assert found is not None
    assert "fp32 100 GFLOP/s" in found.reading
    none = PICTURES["latency"](points(), dataclasses.replace(material(), ceilings=()))
    assert none is not None
    assert "No ceilings are stored" in none.reading


def test_a_front_has_limits_by_the_bounds_of_intervals_and_steps_through_its_likely_members() -> None:
    likely = dataclasses.replace(material(), front={"0-1": 0.99, "1-1": 0.9})
    found = PICTURES["front"](points(), likely)
    assert found is not None
    assert [slider.name for slider in found.sliders] == ["latency", "accuracy", "memory"]
    assert len(found.bounds) == len(found.rows)
    row = next(place for place, row in enumerate(found.rows) if row[0] == "resnet18 null fp32 batch 1")
    assert found.bounds[row] == pytest.approx((0.0105, 0.68, 1.05 * 2**26), rel=1e-4)
    assert not any(layer["mark"].get("interpolate") for layer in found.specification["layer"])  # equal accuracy
    better = {**material().accuracies, "1-1": Accuracy(value=0.8, low=0.78, high=0.82, source="measured")}
    (machine,) = points_by_machine(dataclasses.replace(likely, accuracies=better)).values()
    stepped = PICTURES["front"](machine, dataclasses.replace(likely, accuracies=better))
    assert stepped is not None
    steps = stepped.specification["layer"][0]
    assert steps["mark"]["interpolate"] == "step-after"
    assert [row["top1"] for row in steps["data"]["values"]] == [0.7, 0.8]


def test_a_network_far_beyond_the_others_is_in_the_data_and_not_in_the_picture_or_its_fit() -> None:
    records = [
        dataclasses.replace(one, key=dataclasses.replace(one.key, model=name), id=f"{name}{batch}", analytic=cost)
        for place, name in enumerate(("a", "b", "c", "huge"))
        for batch in (1, 4)
        for one in (case(0, batch),)
        if one.analytic is not None
        for cost in (dataclasses.replace(one.analytic, macs=batch * (10**10 if name == "huge" else 10**8 + place)),)
    ]
    whole = dataclasses.replace(material(), records=tuple(records))
    (machine,) = points_by_machine(whole).values()
    found = PICTURES["operations-time"](machine, whole)
    assert found is not None
    assert "Not drawn" in found.reading
    assert "huge" in found.reading
    assert any(row[0].startswith("huge") for row in found.rows)
    assert "huge" not in str(found.specification)


def _dots(specification: dict) -> list[dict]:  # type: ignore[type-arg]
    return next(
        layer["data"]["values"] for layer in specification["layer"] if "above" in layer["data"]["values"][0]
    )  # fmt: skip


def test_without_the_bandwidth_of_memory_there_is_no_roofline() -> None:
    ceilings = material().ceilings[0]
    none = dataclasses.replace(
        ceilings, bandwidth=tuple(one for one in ceilings.bandwidth if one.level is not Level.DRAM)
    )
    assert PICTURES["roofline"](points(), dataclasses.replace(material(), ceilings=(none,))) is None


def test_bars_of_layers_are_whole_and_the_newest_table_counts() -> None:
    older = dataclasses.replace(
        table("fp32"), id="old", table=dataclasses.replace(table("fp32").table, rows=table("fp32").table.rows[:1])
    )
    found = PICTURES["layers"](points(), dataclasses.replace(material(), layers=(older, *material().layers)))
    assert found is not None
    assert [row[0] for row in found.rows] == ["resnet18 null fp32", "resnet18 null int8"]
    segments = found.specification["layer"][0]["data"]["values"]
    for name in ("resnet18 null fp32", "resnet18 null int8"):
        own = [value for value in segments if value["case"] == name]
        assert [value["kind"] for value in own] == [
            "convolution", "data movement", "pooling", "matrix product", "no node",
        ]  # fmt: skip
        assert own[0]["from"] == 0
        assert own[-1]["to"] == pytest.approx(1, abs=0.01)


def test_layers_of_another_environment_are_not_drawn() -> None:
    elsewhere = dataclasses.replace(
        table("fp32"), environment=dataclasses.replace(table("fp32").environment, hash="fedcba987654")
    )
    assert PICTURES["layers"](points(), dataclasses.replace(material(), layers=(elsewhere,))) is None


def test_precisions_are_compared_on_the_same_pictures_only() -> None:
    found = PICTURES["pairs"](points(), material())
    assert found is not None
    ((name, pictures, _, _, difference, _, differing, p),) = found.rows
    assert (name, pictures, difference, differing, p) == ("resnet18 null int8", "16", "+0.00 points", "8", "1")
    fp32, int8 = material().answers
    others = dataclasses.replace(int8, data_sha256="ee" * 32)
    assert PICTURES["pairs"](points(), dataclasses.replace(material(), answers=(fp32, others))) is None


def test_operations_against_time_has_both_batches_and_a_line() -> None:
    found = PICTURES["operations-time"](points(), material())
    assert found is not None
    assert [part["title"]["text"] for part in found.specification["hconcat"]] == ["batch 1", "batch 4"]
    assert "R²" in found.reading
