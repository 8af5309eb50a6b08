"""What the gate says to people: commands that measure a case again are of that case and no other."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from sample_nights import level, nights

from benchbox.gate.formats.markdown import markdown_of
from benchbox.gate.formats.table import render_night
from benchbox.gate.formats.words import commands_for, trend_text
from benchbox.gate.night import Finding, NightReport, Tier
from benchbox.gate.nightly import judge_night
from benchbox.gate.policy import Policy
from benchbox.report.case_options import variant_options
from benchbox.schema.identity import identity_of
from benchbox.schema.verdict import Outcome, Verdict


@pytest.mark.parametrize(
    ("variant", "options"),
    [
        ("", ""),
        ("exclude=fc*,conv1 fallback=fp16", "--exclude fc* --exclude conv1 --fallback fp16"),
        (
            "calibration=64 method=entropy converter=ort",
            "--calibration 64 --calibration-method entropy --converter ort",
        ),
        ("input=3x320x320 batch-axis=x:1 sequence=128", "--input 3x320x320 --batch-axis x=1 --input sequence=128"),
        ("batch-axis=input:0:1", "--batch-axis input:0=1"),
        ("inputs=sentences.npz@ab12", "--inputs sentences.npz"),
        ("task=text-classification ids=128", "--task text-classification --input ids=128"),
        (
            "aux_streams=2 builder_level=5 tactic_sources=CUBLAS+CUDNN workspace=1610612736 sparsity build=3",
            "--aux-streams 2 --builder-level 5 --tactic-sources CUBLAS,CUDNN --workspace 1.5 --sparsity --builds 3",
        ),
    ],
)
def test_a_variant_is_measured_again_as_it_was(variant: str, options: str) -> None:
    assert variant_options(variant) == options.split()
    (entry,) = nights([1e-3], flags=())
    case = dataclasses.replace(identity_of(entry), variant=variant)
    verdict = Verdict(case=case, metric="latency_p50", outcome=Outcome.SLOWER)
    finding = Finding(verdict=verdict, name="x", machine="m", reference="rolling", tier=Tier.PRIMARY)
    again = commands_for(finding, night_of_three())[-1].replace("'", "")
    assert again.startswith(f"benchbox run {case.model} --backend")
    assert again.endswith(options)


def night_of_three() -> NightReport:
    """Two machines' worth of cases: one slower, one missing, one of which nobody can tell."""
    noisy = [*(1e-3 * np.exp(0.04 * np.random.default_rng(3).standard_normal(21))), 1e-3]
    series = {"slow": [*level(20, 1e-3), 1.2e-3, 1.2e-3], "gone": level(21, 1e-3), "noisy": noisy}
    records = [
        dataclasses.replace(entry, id=f"{entry.id}{model}", key=dataclasses.replace(entry.key, model=model))
        for model, values in series.items()
        for entry in nights(values, flags=())
    ]
    return judge_night(records, Policy(), process_values=lambda *_: ())


def test_markdown_keeps_its_order_and_ends_with_how_was_judged() -> None:
    text = markdown_of(night_of_three())
    titles = [line for line in text.splitlines() if line.startswith("## ")]
    assert titles == [
        "## What changed",
        "## The largest",
        "## Inconclusive or blind",
        "## See the first of them again",
        "## If it is on purpose",
        "## Measure the first missing case",
    ]
    footer = text[text.rindex("\n---\n") :]
    assert "rule: slower:" in footer
    assert "false and missed alarms: not known" in footer
    assert "compared with: 14 nights, 2026-01-08 to 2026-01-21, commit c020" in footer
    unclear = text[text.index("## Inconclusive or blind") : text.index("## See")]
    assert "noisy/null" in unclear
    assert "less noise" in unclear


def test_what_is_measured_again_is_named_once_a_case() -> None:
    """A night that is flagged as invalid: two metrics, one cause, one command; the headline counts the case once."""
    records = [
        dataclasses.replace(
            entry, readings=(*entry.readings, dataclasses.replace(entry.readings[0], metric="load_time"))
        )
        for entry in nights(level(20, 1e-3))
    ]
    text = " ".join(render_night(judge_night(records, Policy(), process_values=lambda *_: ())).split())
    assert "? 1 inconclusive · " in text
    case = "lenet5/null/fp32/b1/isolated/t1/virtual@none"
    command = "benchbox run lenet5 --backend null --precision fp32 --batch 1 --threads 1"
    assert f"inconclusive or blind: {case} latency_p50, load_time; " in text
    assert text.count(f"measure it again: {command}") == 1
    assert "exit 7: 1 of 1 primary row inconclusive, more than 10 % (2 in all; secondary metrics, " in text


def test_what_all_rows_have_in_common_is_said_once() -> None:
    records = [
        dataclasses.replace(entry, id=f"{entry.id}{model}", key=dataclasses.replace(entry.key, model=model))
        for model in ("one", "two")
        for entry in nights([*level(20, 1e-3), 1.2e-3, 1.2e-3], flags=())
    ]
    text = markdown_of(judge_night(records, Policy(), process_values=lambda *_: ()))
    assert "In all rows: metric latency_p50; outcome ✖ slower" in text
    assert "| case |" in text


def test_rows_go_by_what_is_certain() -> None:
    """A large change that nobody is sure of comes behind a smaller one that is."""
    records = []
    for model, noise in (("sure", 0.002), ("vague", 0.06)):
        values = 1e-3 * np.exp(noise * np.random.default_rng(1).standard_normal(30))
        step = 1.3 if model == "sure" else 1.34
        values[-6:] = step * 1e-3
        records += [
            dataclasses.replace(entry, id=f"{entry.id}{model}", key=dataclasses.replace(entry.key, model=model))
            for entry in nights(list(values), flags=())
        ]
    report = judge_night(records, Policy(), process_values=lambda *_: ())
    assert [row.name[:4] for row in report.findings if row.is_alarm] == ["sure", "vagu"]


def test_a_finding_that_left_its_level_has_a_picture_of_its_nights() -> None:
    report = judge_night(nights([*level(40, 1e-3), 1.2e-3, 1.2e-3], flags=()), Policy(), process_values=lambda *_: ())
    (found,) = [row for row in report.findings if row.trend]
    assert found.trend is not None
    assert (len(found.trend.values), found.trend.begins) == (30, 28)
    bars = trend_text(found)
    assert bars.endswith("▁│██")
    assert bars in markdown_of(report)
    assert f"  {bars}" in render_night(report).splitlines()
