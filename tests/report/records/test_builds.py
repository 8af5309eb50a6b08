"""How far apart several builds of an engine are said to be."""

from __future__ import annotations

import dataclasses

from sample_records import record

from benchbox.report.records.builds import lines_on_builds
from benchbox.schema.reading import Better, Reading
from benchbox.schema.record import Record


def built(value: float, variant: str, metric: str = "latency_p50", **fields: object) -> Record:
    reading = Reading(
        metric=metric, unit="s", value=value, low=0.998 * value, high=1.002 * value, n=8, better=Better.LOWER
    )
    made = record(readings=(reading,), flags=(), **fields)
    return dataclasses.replace(made, key=dataclasses.replace(made.key, variant=variant))


def test_builds_of_a_case_are_one_line() -> None:
    records = [
        built(1.0e-3, "build=1"),
        built(1.04e-3, "build=2"),
        built(1.02e-3, "build=3"),
        built(2e-3, "builder_level=5 build=1"),
        built(2e-3, "builder_level=5 build=2"),
        built(3e-3, "builder_level=5"),
    ]
    first, second = lines_on_builds(records)
    assert first.endswith("3 builds, latency_p50 1.000 ms to 1.040 ms, 4.0 % apart; each by itself ±0.20 % at most")
    assert "builder_level=5: 2 builds" in second
    assert "0.0 % apart" in second


def test_one_build_or_none_is_no_line() -> None:
    assert lines_on_builds([built(1e-3, "build=1"), built(1e-3, ""), built(1e-3, "input=3x8x8")]) == []


def test_the_gpus_own_time_comes_first() -> None:
    both = [
        dataclasses.replace(one, readings=(*one.readings, *built(value, "", "gpu_time_p50").readings))
        for one, value in ((built(1e-3, "build=1"), 5e-4), (built(1e-3, "build=2"), 6e-4))
    ]
    (line,) = lines_on_builds(both)
    assert "gpu_time_p50" in line
    assert "20.0 % apart" in line
