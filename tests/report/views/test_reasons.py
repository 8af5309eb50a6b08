"""Reasons of verdicts are few, and say how many rows a warning is about."""

from __future__ import annotations

from typing import Any

from benchbox.report.views.reasons import reasons_of
from benchbox.schema.verdict import Outcome, Verdict


def verdict(reason: str) -> Verdict:
    case: Any = None  # no reason looks at it
    return Verdict(case=case, metric="latency_p50", outcome=Outcome.SAME, ratio=1.0, reason=reason)


def test_a_warning_says_how_many_rows_it_is_about() -> None:
    named = [("a", verdict("alike; warnings: NOISY, CPU_STEAL")), ("b", verdict("alike; warnings: NOISY"))]
    assert reasons_of(named) == ["a and 1 more: alike", "warnings about either side: NOISY, CPU_STEAL (in 1 of 2 rows)"]
