"""``benchbox explain``: every metric and flag has its definition at hand, without the pages being installed apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from benchbox.metrics.metric import METRICS


@pytest.mark.parametrize("name", METRICS.names())
def test_every_metric_is_explained(name: str, benchbox: Callable[..., Any]) -> None:
    ran = benchbox("explain", name)
    assert ran.status == 0
    assert "(metric)" in ran.out
    assert "unit" in ran.out


def test_several_names_in_any_case(benchbox: Callable[..., Any]) -> None:
    ran = benchbox("explain", "cpu_steal", "BIMODAL")
    assert ran.out.startswith("CPU_STEAL (flag)\n  severity     warning above 0.5 %")
    assert "\nBIMODAL (flag)\n" in ran.out
    assert max(map(len, ran.out.splitlines())) <= 100


def test_one_row_of_several_names_is_shown_once(benchbox: Callable[..., Any]) -> None:
    assert benchbox("explain", "latency_p50", "latency_p99").out.count("(metric)") == 1


def test_an_unknown_name_is_answered_with_near_ones(benchbox: Callable[..., Any]) -> None:
    ran = benchbox("explain", "latncy_p50")
    assert ran.status == 2
    assert "did you mean 'latency_p50'" in ran.err
    assert "did you mean 'WIDE_INTERVAL'?" in benchbox("explain", "wide").err, "as it is written"


def test_without_a_name_all_are_listed(benchbox: Callable[..., Any]) -> None:
    out = benchbox("explain").out
    for name in ("metric:", "flag:", "counter:", "latency_p99_bound", "OUTPUT_CHANGED", "gpu_mig", "onnx_sha256"):
        assert name in out
    assert "`" not in out
    assert " -" not in out


def test_json_holds_what_the_text_shows(benchbox: Callable[..., Any]) -> None:
    document = benchbox("explain", "CPU_STEAL", "--json").document
    assert document["schema"] == "benchbox.explain/1"
    (found,) = document["definitions"]
    assert found["names"] == ["CPU_STEAL"]
    assert found["kind"] == "flag"
    assert found["facts"]["do"] == "another host"
    assert found["place"] == "docs/metrics.md, Flags"
