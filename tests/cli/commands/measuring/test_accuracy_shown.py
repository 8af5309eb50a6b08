"""``accuracy`` says what it needs, and the tiny set of docs/how-to.md shows the way."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image
from sample_records import EVIDENCE

from benchbox.errors import ArtifactError
from benchbox.jobs import accuracy
from benchbox.schema.accuracy import AccuracyResult, Share
from benchbox.schema.model import Precision

HOW_TO = Path(__file__).parents[4] / "docs" / "how-to.md"


def test_without_pictures_it_says_what_it_needs_and_where_to_get_it(benchbox: Callable) -> None:
    ran = benchbox("accuracy", "lenet5")
    assert ran.status == 2
    assert "labelled pictures: --data DIR" in ran.err
    assert "--weights" in ran.err
    title = re.search(r"docs/how-to.md, '(.*?)'", ran.err)
    assert title is not None
    assert f"## {title[1]}\n" in HOW_TO.read_text()


def test_the_tiny_set_of_the_page(benchbox: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    section = HOW_TO.read_text().partition("## Measure accuracy\n")[2].partition("\n## ")[0]
    pictures, network = re.findall(r"```python\n(.*?)```", section, flags=re.DOTALL)
    exec(compile(pictures, str(HOW_TO), "exec"), {})
    (tmp_path / "mycolours.py").write_text(network)
    ran = benchbox("accuracy", "mycolours:Colours", "--input", "3x32x32", "--data", "tiny", "--json")
    (result,) = ran.document["results"]
    assert (result["samples"], result["top1"]["value"]) == (24, 1.0)


def test_json_has_what_was_known_when_a_later_precision_failed(
    benchbox: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = AccuracyResult(
        model="lenet5", backend="onnxruntime", precision=Precision.FP32, variant="", samples=4, classes=2,
        top1=Share(value=0.5, low=0.1, high=0.9), top5=Share(value=1.0, low=0.5, high=1.0), recipe="",
        onnx_sha256="ab" * 32, evidence=EVIDENCE, right="a", data_sha256="cd" * 32,
    )  # fmt: skip

    def fail_after_one(*_: object, **__: object) -> Iterator[AccuracyResult]:
        yield known
        raise ArtifactError("the int8 graph does not run")

    monkeypatch.setattr(accuracy, "accuracies_from_source", fail_after_one)
    (tmp_path / "pictures" / "cat").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(tmp_path / "pictures" / "cat" / "1.png")
    ran = benchbox("accuracy", "lenet5", "--data", "pictures", "--precision", "fp32,int8", "--json")
    assert (ran.status, [result["precision"] for result in ran.document["results"]]) == (4, ["fp32"])
