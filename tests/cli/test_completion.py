"""What the shell completes after each flag, and which hint a name of another tool gets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sample_records import record, trials

from benchbox.cli import cli
from benchbox.registry import SYNONYMS, suggestion
from benchbox.store.records import append

click_completion = pytest.importorskip("click.shell_completion")


def completed(*words: str) -> list[str]:
    """What is offered for the last word."""
    *before, incomplete = words
    shell = click_completion.ShellComplete(cli, {}, "benchbox", "_BENCHBOX_COMPLETE")
    return [item.value for item in shell.get_completions(before, incomplete)]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("run", "--precision", "fp32,bf"), {"fp32,bf16"}),
        (("run", "--mode", "si"), {"single-stream"}),
        (("run", "--ab", "precision=fp"), {"precision=fp32", "precision=fp16", "precision=fp8", "precision=fp64"}),
        (("run", "--ab", "precision=fp32", "th"), {"threads="}),
        (("report", "--format", "c"), {"csv"}),
        (("compare", "--format", "m"), {"md"}),
        (("compare", "--metric", "latency_p9"), {"latency_p90", "latency_p99", "latency_p99_bound"}),
        (("compare", "--match", "model,bat"), {"model,batch"}),
        (("history", "--metric", "thr"), {"throughput"}),
        (("flops", "--by", "mod"), {"module"}),
        (("flops", "--convention", "lec"), {"lecture"}),
        (("flops", "--device", "h100"), {"h100-pcie", "h100-sxm"}),
        (("layers", "--sort", "t"), {"time"}),
        (("gate", "--against", "r"), {"rolling"}),
        (("report", "--where", "mod"), {"model=", "mode="}),
        (("explain", "WIDE"), {"WIDE_INTERVAL"}),
    ],
)
def test_values_of_flags(words: tuple[str, ...], expected: set[str]) -> None:
    assert set(completed(*words)) == expected


def test_what_is_stored_is_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    append(tmp_path, record(0), trials())
    monkeypatch.setenv("BENCHBOX_ROOT", str(tmp_path))
    assert completed("report", "--where", "model=") == ["model=lenet5"]
    assert completed("report", "--where", "model=x") == []
    assert completed("compare", "2026") == [record(0).id]
    assert completed("compare", "backend=n") == ["backend=null"]
    assert completed("compare", "backend=null,model=l") == ["backend=null,model=lenet5"]
    # After a comma another value of the key, or another key.
    after = completed("report", "--where", "model=resnet18,l")
    assert {"model=resnet18,lenet5", "model=resnet18,latency_bound_s="} < set(after)


@pytest.mark.parametrize(
    ("words", "last", "expected"),
    [
        ("benchbox run --ab precision = fp3", 5, "plain,fp32"),
        ("benchbox run --ab precision =", 4, "plain,fp32"),
        ("benchbox run --precision = fp3", 4, "plain,fp32"),
        ("benchbox run --precision fp3", 3, "plain,fp32"),
    ],
)
def test_bash_takes_words_apart_at_equals(
    words: str,
    last: int,
    expected: str,
    benchbox: Callable,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("_BENCHBOX_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(last))
    assert expected in benchbox().out.splitlines()


@pytest.mark.parametrize(
    ("said", "meant"), [("float16", "fp16"), ("half", "fp16"), ("FP32", "fp32"), ("bfloat16", "bf16")]
)
def test_precisions_of_other_tools_get_a_hint(said: str, meant: str, benchbox: Callable) -> None:
    ran = benchbox("run", "lenet5", "--precision", said)
    assert ran.status == 2
    assert f"did you mean '{meant}'?" in ran.err


def test_other_words_get_a_hint(benchbox: Callable) -> None:
    assert "did you mean 'md'?" in benchbox("report", "--format", "markdown").err
    unknown = benchbox("compare", "a", "b", "--metric", "latency").err
    assert "did you mean 'latency_p50'?" in unknown
    assert len(unknown) < 1000, "not every metric there is"
    assert "did you mean 'offline'?" in benchbox("run", "lenet5", "--mode", "throughput").err
    for said, meanings in SYNONYMS.items():
        for meant in [meanings] if isinstance(meanings, str) else meanings:
            assert suggestion(said, [meant, "zzz"]) == f"did you mean '{meant}'?"


def test_the_null_backend_is_no_choice_for_a_person(benchbox: Callable) -> None:
    unknown = benchbox("run", "lenet5", "--backend", "tflite").err
    assert "onnxruntime" in unknown
    assert "null" not in unknown


def test_a_selection_that_fits_nothing_says_so(benchbox: Callable, tmp_path: Path) -> None:
    append(tmp_path, record(0), trials())
    assert benchbox("report", "--where", "model=resnet99").out == (
        "none of 1 record matches model=resnet99\nno record has model=resnet99: there is lenet5\n"
    )
    append(tmp_path, record(1), trials())
    later = benchbox("report", "--where", "id=2027*").out
    assert later.startswith(
        "none of 2 records match id=2027*\nno record has id=2027*: there are 20260102T030400Z-00000000, "
    )
    missing = benchbox("report", "--root", "nosuch")
    assert missing.status == 2
    assert "the project root does not exist" in missing.err
