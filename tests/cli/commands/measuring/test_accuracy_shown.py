"""``accuracy`` says what it needs, and the tiny set of docs/how-to.md shows the way."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

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
