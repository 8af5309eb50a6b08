"""Is each picture the kept one? BENCHBOX_GOLDEN=write keeps what is drawn now."""

from __future__ import annotations

import importlib.metadata
import os
import re
from pathlib import Path

import pytest
from sample_material import material, points

from benchbox.report.plots.gallery import PICTURES
from benchbox.report.plots.rendering import svg_from_picture

FOLDER = Path(__file__).with_name("golden_pictures")
CONSTRAINTS = (Path(__file__).parents[2] / "constraints.txt").read_text()
PINNED = re.search(r"^vl-convert-python==(.*)$", CONSTRAINTS, flags=re.MULTILINE)
INSTALLED = importlib.metadata.version("vl-convert-python")
# Where words and groups stand, and how large the whole is, depends on the widths of a machine's fonts; marks do not.
_FONTS = re.compile(r'(<(?:g|text)\b[^>]*?) transform="[^"]*"')
_SIZES = re.compile(r' (?:viewBox|width|height|font-family|style)="[^"]*"')


def _kept(svg: str) -> str:
    head, _, rest = svg.partition(">")
    return _FONTS.sub(r"\1", _SIZES.sub("", head) + ">" + rest).replace("><", ">\n<") + "\n"


@pytest.mark.skipif(
    PINNED is None or PINNED[1] != INSTALLED, reason=f"vl-convert {INSTALLED} is not the one in constraints.txt"
)
@pytest.mark.parametrize("name", list(PICTURES))
def test_a_picture_is_the_kept_one(name: str) -> None:
    picture = PICTURES[name](points(), material())
    assert picture is not None
    text = _kept(svg_from_picture(picture, identity="x"))
    kept = FOLDER / f"{name}.svg.txt"
    if os.environ.get("BENCHBOX_GOLDEN") == "write":
        FOLDER.mkdir(exist_ok=True)
        kept.write_text(text, encoding="utf-8")
    assert text == kept.read_text(encoding="utf-8")
