"""What the gate says to people: commands that measure a case again are of that case and no other."""

from __future__ import annotations

import dataclasses

import pytest
from sample_nights import level, nights

from benchbox.gate.formats.markdown import markdown_of
from benchbox.gate.formats.table import render_night
from benchbox.gate.formats.words import commands_for, trend_text, variant_options
from benchbox.gate.night import Finding, Tier
from benchbox.gate.nightly import judge_night
from benchbox.gate.policy import Policy
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
        ("inputs=sentences.npz@ab12", "--inputs sentences.npz"),
    ],
)
def test_a_variant_is_measured_again_as_it_was(variant: str, options: str) -> None:
    assert variant_options(variant) == options.split()
    (entry,) = nights([1e-3], flags=())
    case = dataclasses.replace(identity_of(entry), variant=variant)
    verdict = Verdict(case=case, metric="latency_p50", outcome=Outcome.SLOWER)
    finding = Finding(verdict=verdict, name="x", machine="m", reference="rolling", tier=Tier.PRIMARY)
    again = commands_for(finding)[-1].replace("'", "")
    assert again.startswith(f"benchbox run {case.model} --backend")
    assert again.endswith(options)


def test_a_finding_that_left_its_level_has_a_picture_of_its_nights() -> None:
    report = judge_night(nights([*level(40, 1e-3), 1.2e-3, 1.2e-3], flags=()), Policy(), process_values=lambda *_: ())
    (found,) = [row for row in report.findings if row.trend]
    assert found.trend is not None
    assert (len(found.trend.values), found.trend.begins) == (30, 28)
    bars = trend_text(found)
    assert bars.endswith("▁│██")
    assert bars in markdown_of(report)
    assert f"  {bars}" in render_night(report).splitlines()
