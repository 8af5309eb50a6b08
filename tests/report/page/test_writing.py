"""Does the page say everything about any records, and ask nothing of anybody?"""

from __future__ import annotations

import dataclasses
import html.parser
import re
import sys
import time

import pytest
from sample_records import record, skipped

from benchbox.errors import EnvironmentLackError
from benchbox.report.material import Accuracy, Material
from benchbox.report.page.writing import page_from_material
from benchbox.schema.model import ModelSpec
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
    assert reader.links == []
    assert "svg" in reader.tags
    assert "default-src 'none'" in text
    assert not re.search(r"@import|url\(", text)


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


def test_five_hundred_cases_are_small_and_quick() -> None:
    records = [
        dataclasses.replace(case(number % 50, model=f"network{number // 10}", batch=1 + number % 10), id=f"r{number}")
        for number in range(500)
    ]
    begun = time.process_time()
    text = page(*records)
    assert len(text.encode()) < 1_000_000
    assert time.process_time() - begun < 60  # far above what it takes, for slow machines


def test_without_the_renderer_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    with pytest.raises(EnvironmentLackError, match=r"benchbox\[report\]"):
        page(case(0))
