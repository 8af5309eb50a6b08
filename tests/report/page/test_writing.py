"""Does the page say everything about any records, and ask nothing of anybody?"""

from __future__ import annotations

import dataclasses
import datetime
import html.parser
import re
import sys
import time

import pytest
from sample_material import case as sample_case
from sample_material import material, points
from sample_records import record, skipped

from benchbox.errors import EnvironmentLackError
from benchbox.report.material import Accuracy, Material
from benchbox.report.page.ceilings import ceiling_tables
from benchbox.report.page.sentences import choices
from benchbox.report.page.writing import page_from_material
from benchbox.schema.model import ModelSpec, Precision
from benchbox.schema.record import Analytic, Record, Status

ANALYTIC = Analytic(
    params=1_000_000, macs=10_000_000, flops=20_000_000, weight_bytes=4_000_000, peak_activation_bytes=1
)


def case(number: int, **key: object) -> Record:
    base = record(number)
    analytic = dataclasses.replace(ANALYTIC, macs=ANALYTIC.macs * (number + 1))
    return dataclasses.replace(base, flags=(), proof=None, analytic=analytic, key=dataclasses.replace(base.key, **key))  # type: ignore[arg-type]


def page(*records: Record, **fields: object) -> str:
    return page_from_material(Material(title="Benchmarks", records=records, **fields))  # type: ignore[arg-type]


class _Reader(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in {"src", "href", "xlink:href", "action"}]


def test_the_page_asks_nothing_of_anybody() -> None:
    text = page(case(0), case(1, model="other"))
    reader = _Reader()
    reader.feed(text)
    assert all(link.startswith("#") for link in reader.links)
    assert "svg" in reader.tags
    assert "default-src 'none'" in text
    assert not re.search(r"@import|url\((?!#)", text)


def test_names_are_text_and_not_markup() -> None:
    name = '<b onload="x">&\'</b>'
    text = page(case(0, model=name), dataclasses.replace(skipped(1), reason="<script>alert(1)</script> & more"))
    assert "<b onload" not in text
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)" in text


def test_an_empty_root_and_one_of_failures_have_a_page() -> None:
    assert "Nothing to show yet" in page()
    failed = dataclasses.replace(skipped(1), status=Status.FAILED, reason="out of memory")
    text = page(failed)
    assert "Nothing to show yet" in text
    assert "out of memory" in text


def test_numbers_that_are_none_do_not_stop_the_page() -> None:
    base = case(0)
    readings = tuple(dataclasses.replace(reading, value=float("nan")) for reading in base.readings)
    text = page(dataclasses.replace(base, readings=readings))
    assert base.id in text
    assert "Latency against multiply-adds" not in text


def test_published_accuracy_is_named_as_such() -> None:
    spec = ModelSpec(
        name="resnet50", family="resnet", input_shape=(3, 224, 224), num_classes=1000, params=25_000_000,
        macs=4_000_000_000, activation_bytes=1, paper="",
    )  # fmt: skip
    one = case(0, model="resnet50")
    published = Accuracy(value=0.761, low=None, high=None, source="published: a table")
    text = page(one, specs={"resnet50": spec}, accuracies={one.id: published})
    assert "published: a table" in text
    assert "76.1 %" in text


def many(count: int, cases: int) -> Material:
    """Records of so many cases, with everything that pictures are drawn from."""
    base = material()
    records = []
    for number in range(count):
        one, of = sample_case(number % 3, 2 ** (number % 5)), number % cases
        precision = Precision.INT8 if of // 5 % 2 else Precision.FP32
        key = dataclasses.replace(one.key, model=f"network{of // 10}", precision=precision)
        at = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(minutes=number)
        records.append(dataclasses.replace(one, id=f"r{number}", key=key, started_at=at.isoformat()))
    accuracies = {one.id: Accuracy(value=0.7, low=0.68, high=0.72, source="measured") for one in records}
    front = {one.id: 0.9 for one in records[-20:]}
    medians = {one.id: (0.01, 0.011, 0.012) for one in records}
    return dataclasses.replace(base, records=tuple(records), accuracies=accuracies, front=front, medians_s=medians)


@pytest.mark.nightly
def test_five_hundred_cases_are_small_and_quick() -> None:
    begun = time.process_time()
    text = page_from_material(many(500, 500))
    assert len(text.encode()) < 1_000_000
    assert time.process_time() - begun < 60  # far above what it takes, for slow machines
    assert text.count("<svg ") > 10


@pytest.mark.nightly
def test_ten_thousand_records_say_what_is_left_out() -> None:
    text = page_from_material(many(10_000, 2000))
    assert "The newest 1000 of 10000 stored records" in text
    assert "The newest 500 of 2000 cases are shown" in text
    assert len(text.encode()) < 2_000_000


def test_the_first_screen_has_the_verdict_and_what_to_choose() -> None:
    nothing = page(case(0), verdict=("Nothing to compare yet", "one night"))
    assert "<strong>Nothing to compare yet</strong>: one night." in nothing
    night = page(case(0), verdict=("Night of x: 1 slower", "it is slower", "and why"))
    assert "<li>it is slower</li><li>and why</li>" in night


def test_what_to_choose_is_the_likely_front_with_its_numbers() -> None:
    (line,) = choices(points(), material().front)
    assert line == "resnet18 null fp32 batch 1: top-1 70.0 % (measured), 10 ms, 64 MiB"
    assert choices(points(), {}) == []


def test_the_machine_says_its_ceilings_or_how_to_have_them() -> None:
    rows = ceiling_tables(points(), material()).rows
    assert ("fp32 sustained", "1", "100 GFLOP/s", "90.0 GFLOP/s", "105 GFLOP/s", "5", "numpy") in rows
    none = ceiling_tables(points(), dataclasses.replace(material(), ceilings=()))
    assert none.rows == ()
    assert "'benchbox ceilings' measures them" in none.notes[0]


def test_without_the_renderer_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    with pytest.raises(EnvironmentLackError, match=r"benchbox\[report\]"):
        page(case(0))
