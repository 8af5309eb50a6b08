"""``benchbox compare`` on stored records."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sample_records import record, trials

from benchbox.schema.identity import CaseIdentity
from benchbox.schema.model import Precision
from benchbox.schema.plan import MeasurementPlan, Mode
from benchbox.schema.record import Status
from benchbox.store.records import append


def stored(root: Path, medians_ns: list[int], number: int = 0, **fields: Any) -> Path:
    timed, _ = trials()
    runs = [
        dataclasses.replace(timed, number=place, samples_ns=(value,) * 3, window_ns=3 * value)
        for place, value in enumerate(medians_ns)
    ]
    return append(root, record(number, flags=(), **fields), runs)


BASE = [1000, 1001, 999, 1002, 998]


def test_folders_files_and_ids(benchbox: Callable, tmp_path: Path) -> None:
    stored(tmp_path / "a", BASE)
    head = stored(tmp_path / "b", [2 * value for value in BASE])
    document = benchbox("compare", "a/results", "b", "--json").document
    assert document["schema"] == "benchbox.compare/1"
    assert document["outcome"] == "slower"
    (verdict,) = document["verdicts"]
    assert verdict["ratio"] == pytest.approx(2)
    assert verdict["key"]["model"] == "lenet5"
    assert {"metric", "outcome", "ratio", "low", "high", "mde", "n_base", "n_head", "reason"} < set(verdict)
    assert benchbox("compare", "a", str(head), "--json").document == document
    stored(tmp_path, BASE, 7)
    text = benchbox("compare", "20260102T030407Z", "b", "--metric", "latency_p50,throughput")
    assert text.status == 0
    assert text.out.count("slower") == 3 + 1, "two verdicts, the word for all, and the effect in words"
    assert "% slower, beyond the 5 % that count" in text.out
    assert "20260102T030407Z" in text.out, "the ids are in the table"
    assert benchbox("compare", "a", "b", "--format", "md").out.startswith("| model")


def test_a_damaged_record_is_named(benchbox: Callable, tmp_path: Path) -> None:
    path = stored(tmp_path / "a", BASE)
    path.write_bytes(path.read_bytes()[:100])
    ran = benchbox("compare", "a", "a")
    assert ran.status == 6
    assert path.name in ran.err


def test_a_damaged_record_among_others_is_skipped_with_a_warning(benchbox: Callable, tmp_path: Path) -> None:
    stored(tmp_path / "a", BASE)
    whole = benchbox("compare", "a", "a", "--json").document
    damaged = stored(tmp_path / "a", BASE, 5)
    damaged.write_bytes(damaged.read_bytes()[:100])
    ran = benchbox("compare", "a", "a", "--json")
    assert ran.status == 0
    assert ran.document == whole
    assert f"warning: skipped: the record a/{damaged.relative_to(tmp_path / 'a')} cannot be read" in ran.err


def test_the_key_of_a_verdict_is_the_whole_identity(benchbox: Callable, tmp_path: Path) -> None:
    stored(tmp_path / "a", BASE)
    (verdict,) = benchbox("compare", "a", "a", "--json").document["verdicts"]
    assert set(verdict["key"]) == {field.name for field in dataclasses.fields(CaseIdentity)}
    assert verdict["key"]["onnx_sha256"] == "ab" * 32


def test_what_tells_cases_apart_is_shown_where_they_differ(benchbox: Callable, tmp_path: Path) -> None:
    stored(tmp_path / "a", BASE)
    text = benchbox("compare", "a", "a").out
    assert text.splitlines()[0].split()[:5] == ["model", "backend", "precision", "batch", "metric"]
    assert "MDE" in text.splitlines()[0]
    stored(tmp_path / "a", BASE, 1, plan=MeasurementPlan(threads=16))
    key = dataclasses.replace(record().key, variant="exclude=fc*", mode=Mode.SERVER)
    plan = MeasurementPlan(mode=Mode.SERVER, rate_per_s=200.0, latency_bound_s=0.05, streams=1)
    stored(tmp_path / "a", BASE, 2, plan=plan, key=key, onnx_sha256="cd" * 32)
    lines = benchbox("compare", "a", "a").out.splitlines()
    assert lines[0].split()[:7] == ["model", "backend", "precision", "variant", "batch", "mode", "threads"]
    assert "16" in lines[3].split()
    assert "exclude=fc*" in lines[4]
    assert "server(200/s, bound 50.00 ms)" in lines[4]


@pytest.mark.parametrize(
    ("arguments", "status", "word"),
    [
        (("nowhere", "a"), 2, "no record at nowhere"),
        (("a", "empty"), 2, "a folder without records"),
        (("backend=nul", "a"), 2, "no records"),
        (("a", "a", "--match", "modell"), 2, "did you mean"),
        (("a", "a", "--root", "nosuch"), 2, "does not exist"),
        (("a", "a", "--metric", "latency_p5"), 2, "did you mean"),
        (("a", "a", "--min-effect", "5"), 2, "0.03"),
        (("a", "a", "--format", "xml"), 2, "csv"),
        (("a",), 2, "HEAD"),
    ],
)
def test_bad_input(arguments: tuple[str, ...], status: int, word: str, benchbox: Callable, tmp_path: Path) -> None:
    stored(tmp_path / "a", BASE)
    (tmp_path / "empty").mkdir()
    ran = benchbox("compare", *arguments)
    assert ran.status == status
    assert word in ran.err


def test_records_compared_with_themselves_are_the_same(benchbox: Callable, tmp_path: Path) -> None:
    """However widely they vary, and whatever was skipped beside them."""
    stored(tmp_path / "a", [1000, 2000, 500, 1500, 800])
    stored(tmp_path / "a", [], 1, status=Status.SKIPPED, reason="no bf16", readings=())
    document = benchbox("compare", "a", "a", "--json").document
    assert document["outcome"] == "same"
    assert document["verdicts"][0]["reason"] == "base and head are the same records"


def test_two_precisions_are_compared_when_asked(benchbox: Callable, tmp_path: Path) -> None:
    stored(tmp_path, BASE)
    int8 = dataclasses.replace(record().key, precision=Precision.INT8)
    stored(tmp_path, [value // 3 for value in BASE], 1, key=int8, onnx_sha256="cd" * 32)
    plain = benchbox("compare", "precision=fp32", "precision=int8")
    assert "only the base has it" in plain.out
    assert "--match model,batch" in plain.err
    ran = benchbox("compare", "precision=fp32", "precision=int8", "--match", "model,batch")
    row = ran.out.splitlines()[2].split()
    assert row[row.index("fp32") + 1] == "int8", "both sides in the row"
    assert "faster" in row
    assert "3 times as fast" in ran.out
    (verdict,) = benchbox("compare", "precision=fp32", "precision=int8", "--match", "model,batch", "--json").document[
        "verdicts"
    ]
    assert (verdict["base_key"]["precision"], verdict["key"]["precision"]) == ("fp32", "int8")
    assert verdict["base_records"]
    assert verdict["head_records"]


def test_other_environments_say_what_compares_them(benchbox: Callable, tmp_path: Path) -> None:
    """As after a package was installed: the reason names it, and a line below the flag that compares."""
    stored(tmp_path / "a", BASE)
    here = record(0).environment
    there = dataclasses.replace(here, hash="0" * 12, software={**here.software, "openvino": "2026.4.1"})
    stored(tmp_path / "b", BASE, environment=there)
    ran = benchbox("compare", "a", "b")
    assert "environments differ: openvino not installed and '2026.4.1'" in ran.out
    assert "--across-environments" in ran.err
    ran = benchbox("compare", "a", "b", "--across-environments")
    assert "environments" not in ran.out.partition("same")[0] + ran.err


def test_pairs_that_share_what_others_differ_in_are_told_apart(benchbox: Callable, tmp_path: Path) -> None:
    """1 thread against 1, and 2 against 2, beside 1 against 2: all were "fp32" against "int8"."""
    for number, (precision, threads) in enumerate((each, n) for each in ("fp32", "int8") for n in (1, 2)):
        plan = dataclasses.replace(record(0).plan, threads=threads)
        key = dataclasses.replace(record(0).key, precision=Precision(precision))
        stored(tmp_path, BASE, number, key=key, plan=plan)
    text = benchbox("compare", "precision=fp32", "precision=int8", "--match", "model").out
    named = [line.split(" same ")[0].split() for line in text.splitlines() if " same " in line]
    assert len(named) == len({tuple(words) for words in named}) == 4
