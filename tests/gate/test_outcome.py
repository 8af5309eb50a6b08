"""What an interval of a ratio means in words, and which outcome it gives."""

from __future__ import annotations

import pytest

from benchbox.gate.outcome import effect_in_words, judge_ratio
from benchbox.metrics.metric import METRICS
from benchbox.schema.verdict import Outcome

P50 = METRICS.get("latency_p50")


@pytest.mark.parametrize(
    ("metric", "low", "high", "words"),
    [
        ("latency_p50", 1 / 1.16, 1 / 1.04, "4 to 16 % faster"),
        ("latency_p50", 1.04, 1.16, "4 to 16 % slower"),
        ("latency_p50", 0.293, 0.4, "2.5 to 3.4 times as fast"),
        ("latency_p50", 0.98, 1.03, "3 % slower to 2 % faster"),
        ("latency_p50", 2.0, 3.3, "2 to 3.3 times as long"),
        ("latency_p50", 1.0, 1.0, "equal"),
        ("throughput", 1.04, 1.16, "4 to 16 % more"),
        ("throughput", 0.9, 0.95, "5 to 10 % less"),
        ("peak_host_memory", 0.5, 0.75, "25 to 50 % less"),
        ("peak_host_memory", 2.98, 3.4, "3 to 3.4 times as much"),
        ("peak_host_memory", 0.99, 1.012, "1 % less to 1.2 % more"),
    ],
)
def test_an_effect_in_words(metric: str, low: float, high: float, words: str) -> None:
    text = effect_in_words(METRICS.get(metric), low, high)
    assert text == words


@pytest.mark.parametrize(
    ("low", "high", "p_value", "outcome", "reason"),
    [
        (1 / 1.16, 1 / 1.04, 0.01, "inconclusive", "4 to 16 % faster, not surely beyond the 5 % that count: more"),
        (0.99, 1.2, 0.2, "inconclusive", "20 % slower to 1 % faster, not surely within the 5 % that count: more"),
        (1 / 1.3, 1 / 1.1, 0.01, "faster", "10 to 30 % faster, beyond the 5 % that count (rank test p = 0.01)"),
        (1.1, 1.3, 0.01, "slower", "10 to 30 % slower, beyond the 5 % that count (rank test p = 0.01)"),
        (1.1, 1.3, 0.2, "inconclusive", "10 to 30 % slower, but not by the rank test (p = 0.2)"),
        (0.99, 1.02, 0.9, "same", "2 % slower to 1 % faster, within the 5 % that count"),
    ],
)
def test_reasons_say_the_effect(low: float, high: float, p_value: float, outcome: str, reason: str) -> None:
    found, text = judge_ratio(P50, low, high, p_value, 0.05)
    assert found is Outcome(outcome)
    assert text.startswith(reason)
    assert judge_ratio(P50, None, None, 1.0, 0.05)[0] is Outcome.INCONCLUSIVE
