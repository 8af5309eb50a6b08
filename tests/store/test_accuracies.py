"""Accuracies are kept, and a damaged file does not hide the others."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from sample_records import EVIDENCE

from benchbox.errors import StoreError
from benchbox.schema.accuracy import AccuracyResult, Share
from benchbox.schema.model import Precision
from benchbox.store.accuracies import FOLDER, accuracies_under, append_accuracy

NOW = datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)
RESULT = AccuracyResult(
    model="lenet5",
    backend="null",
    precision=Precision.INT8,
    variant="",
    samples=10,
    classes=10,
    top1=Share(value=0.7, low=0.4, high=0.9),
    top5=Share(value=1.0, low=0.7, high=1.0),
    recipe="28x28",
    onnx_sha256="ab" * 32,
    evidence=EVIDENCE,
    right="5f",
    data_sha256="cd" * 32,
)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    for name in ("b", "a"):
        append_accuracy(tmp_path, RESULT, identity=name, environment="0123", at=NOW)
    assert accuracies_under(tmp_path, warn=pytest.fail) == (RESULT, RESULT)
    assert RESULT.right_pictures == (False, False, False, True, False, True, True, True, True, True)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"schema": "benchbox.accuracy-record/99"}'])
def test_a_damaged_file_is_named_and_left_out(tmp_path: Path, text: str) -> None:
    append_accuracy(tmp_path, RESULT, identity="a", environment="0123", at=NOW)
    (tmp_path / FOLDER / "b.json").write_text(text)
    lines: list[str] = []
    assert accuracies_under(tmp_path, warn=lines.append) == (RESULT,)
    assert len(lines) == 1
    assert "b.json" in lines[0]


def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("")
    with pytest.raises(StoreError):
        append_accuracy(tmp_path, RESULT, identity="a", environment="0123", at=NOW)
