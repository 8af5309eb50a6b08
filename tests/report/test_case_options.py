"""The options that measure a stored case again: those of its plan, and none that it does not need."""

from __future__ import annotations

import dataclasses

import pytest
from sample_nights import nights

from benchbox.report.case_options import options_of
from benchbox.schema.identity import identity_of
from benchbox.schema.plan import TRANSFER_TIMED, Mode


@pytest.mark.parametrize(
    ("change", "options"),
    [
        ({}, ""),
        ({"mode": Mode.CONCURRENT, "streams": 3}, "--mode concurrent --streams 3"),
        (
            {"mode": Mode.SERVER, "rate_per_s": 12.5, "latency_bound_s": 0.1},
            "--mode server --rate 12.5 --latency-bound 0.1",
        ),
        ({"transfer": TRANSFER_TIMED}, "--transfers"),
        ({"like": "trtexec", "mode": Mode.BATCHED}, "--like trtexec"),
    ],
)
def test_a_case_is_measured_again_as_it_was(change: dict[str, object], options: str) -> None:
    (entry,) = nights([1e-3], flags=())
    case = dataclasses.replace(identity_of(entry), batch=4, threads=2, **change)  # type: ignore[arg-type]
    usual = ["--backend", case.backend, "--precision", str(case.precision), "--batch", "4", "--threads", "2"]
    assert options_of(case) == usual + options.split()
