"""A night with owners, and with rows of which nobody can tell: as a terminal and as Markdown show it, letter by letter.

``tests/report/test_golden_tables.py`` says how the kept texts are renewed.
"""

from __future__ import annotations

import dataclasses
import math
import xml.etree.ElementTree as tree

import numpy as np
import pytest
from golden_text import require_golden
from sample_nights import level, nights

from benchbox.gate.formats.annotations import annotations_of
from benchbox.gate.formats.document import document_from_night
from benchbox.gate.formats.junit import junit_of
from benchbox.gate.formats.markdown import markdown_of
from benchbox.gate.formats.table import render_night
from benchbox.gate.night import Need, NightReport
from benchbox.gate.nightly import judge_night
from benchbox.gate.policy import policy_from_text
from benchbox.schema.record import Record

POLICY = """
[[gate.owner]]
where = { model = ["slow*", "later"] }
name = "@vision_team"
[[gate.owner]]
where = {}
name = "@runtime"
"""


def series(model: str, values: list[float], error: float = 0.005) -> list[Record]:
    """Nights of a network, whose processes leave its values so uncertain (standard error on logarithms)."""
    reach = math.exp(1.96 * error)
    return [
        dataclasses.replace(
            entry,
            id=f"{entry.id[:-8]}{sum(map(ord, model)):04d}{place:04d}",
            key=dataclasses.replace(entry.key, model=model),
            readings=tuple(
                dataclasses.replace(one, low=one.value / reach, high=one.value * reach) for one in entry.readings
            ),
        )
        for place, entry in enumerate(nights(values, flags=()))
    ]


def noisy(sd: float, seed: int) -> list[float]:
    """Sixty nights at one level, the last of them in the middle of it."""
    return [*(1e-3 * np.exp(sd * np.random.default_rng(seed).standard_normal(59))), 1e-3]


@pytest.fixture(scope="module")
def night() -> NightReport:
    step = [*level(57, 1e-3), *level(3, 1.2e-3, 1)]
    records = [
        *series("slow", step),
        *series("slow_too", [*level(57, 1e-3, 2), *level(3, 1.12e-3, 3)]),
        *series("gone", level(59, 1e-3, 4)),
        *series("vague", noisy(0.03, 5), error=0.03),
        *series("restless", noisy(0.03, 6)),
    ]
    return judge_night(records, policy_from_text(POLICY, origin="x"), process_values=lambda *_: ())


def test_golden_text(night: NightReport) -> None:
    require_golden("gate_owners", render_night(night))


def test_golden_markdown(night: NightReport) -> None:
    require_golden("gate_owners_markdown", markdown_of(night), width=None)


def test_an_alarm_says_whose_it_is(night: NightReport) -> None:
    assert [(group.id.rpartition("-")[2], group.owners) for group in night.groups] == [
        ("slower", ("@vision_team",)),
        ("missing", ("@runtime",)),
    ]
    assert [line.count("owner @vision_team") for line in annotations_of(night)] == [1, 1, 0]
    failures = [entry.text or "" for entry in tree.fromstring(junit_of(night)).iter("failure")]
    assert [text.count("owner: @vision_team") for text in failures] == [1, 1]
    assert document_from_night(night)["groups"][1]["owners"] == ["@runtime"]


def test_without_owners_there_is_no_column() -> None:
    records = series("slow", [*level(20, 1e-3), *level(3, 1.2e-3, 1)])
    text = markdown_of(judge_night(records, policy_from_text("", origin="x"), process_values=lambda *_: ()))
    assert "| cause |" in text
    assert "owner" not in text


def test_what_would_tell_is_a_number_of_processes_where_they_are_what_differs(night: NightReport) -> None:
    """Rows are blind alike: of one the processes of a night differ, of the other the nights."""
    needs = {row.verdict.case.model: row.need for row in night.findings if row.verdict.metric == "latency_p50"}
    assert needs["vague"] is not None
    assert needs["vague"].processes is not None
    assert 8 < needs["vague"].processes <= 100
    assert needs["restless"] == Need(processes=None)
    assert needs["slow"] is None


def test_a_night_that_is_vague_by_itself_needs_processes_too() -> None:
    """The nights before it agree, and it is its own processes that do not."""
    records = [*series("vague", level(20, 1e-3)), series("vague", [1e-3] * 21, error=0.02)[-1]]
    report = judge_night(records, policy_from_text("", origin="x"), process_values=lambda *_: ())
    (row,) = [row for row in report.findings if row.verdict.metric == "latency_p50"]
    assert row.need is not None
    assert row.need.processes is not None
    assert row.need.processes > 8


def test_junit_says_where_and_when(night: NightReport) -> None:
    suite = tree.fromstring(junit_of(night))[0]
    assert (suite.get("hostname"), suite.get("timestamp")) == ("none", "2026-03-01T02:17:00Z")
    assert [(entry.get("name"), entry.get("value")) for entry in suite.iter("property")] == [
        ("environment", night.taken[0].environment)
    ]
