"""Texts that people read use the words of the field: phrases that had to be read twice do not come back."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Where a person reads: pages, and the package, whose docstrings and messages are its help and its errors.
READ = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("benchbox/**/*.py")])
# What not to write, and what to write instead.
BANNED = {
    r"PRECISION_MISS|BETWEEN_PROC\b": "WIDE_INTERVAL, PROCESSES_DIFFER",
    r"one CPU saw what another wrote": "core-to-core latency",
    r"moves? them apart": "moves virtual CPUs",
    r"as where a\b": "as if, or the cause itself",
    r"that two such rows would show": "that comparing two such runs would detect",
    r"speed is right, accuracy is not": "latency is valid; accuracy is not",
    r"takes one case apart": "compares variants",
    r"combinations were asked for": "name the number of models",
    r"lies across": "not surely beyond the limit",
    r"but the machine was another": "the machine's state had changed",
    r"times of rows so far apart": "do not compare these rows",
    r"for the runtime's sake": "layout conversion",
    r"belongs? to no node|stand for no node": "could not be attributed",
    r"take beyond that|beyond what they need": "above their roofline minimum",
    r"no balance of arithmetic and memory": "peak rates unknown",
    r"LoadGen around nothing": "LoadGen itself costs",
    r"look at what was timed beside it": "check the probes",
    r"subtracted from nothing": "never subtracted",
    r"Who wants no such number": "To refuse such numbers",
    r"[Aa]sked is compared with given": "requested and executed",
    r"the architecture, the house|^# The house": "architecture",
    r"no image is built there": "images are built elsewhere",
    r"How ranges follow from the values seen": "how calibration turns values into ranges",
    r"Who converts to the precision": "what converts to the precision",
    r"makes no network": "is not a network factory",
    r"Nothing that the structure of a network could tell": "not derivable from the structure",
    r"of pure noise nearly all series pass": "say how often",
    r"\buntold\b(?!\"|`|\))": "unreported",
    r"wants to be replaced": "replace it if it continues",
    r"lower bound of the truth": "lower bound of the true peak",
    r"know no classes": "untrained weights",
    r"asks nothing of anybody|scripts add is comfort": "self-contained; scripts add interaction",
    r"which nothing here was measured against": "for comparison only",
    r"How ranges follow": "how calibration sets the ranges",
    r"Who places units": "what runs the units",
    r"[Ww]hat converts to the precision": "the tool that converts",
    r"[Oo]n paper\b": "analytical",
    r"accuracy worth the name": "meaningful accuracy",
    r"nobody can say whether the outputs": "the outputs could not be verified",
    r"must move at most|title=\"(in it|must move|at most alive)\"": "converted, least traffic, peak live",
    r"to be believed\b": "testing the gate itself",
    r"before it gets its name": "every record is verified first",
    r"\b1 (cases|threads|records|processes)\b": "mind the singular",
    r"(?<!here )\bis no (ONNX|valid|UTF|TOML|JSON|dense|policy|sweep\b|tensor\b|quantity)": "is not a",
    r"(?<!here )\bis no (record|plan|folder|library) of": "is not a",
    r"\blone caller\b": "single caller",
    r"\bdearer\b": "more expensive",
    r"that are sparse so\b|[Mm]ost GPU memory|[Ll]east warm-up|[Ll]ongest timing": "limit, minimum, maximum",
    r"nothing of the host is inside": "it contains no host time",
    r"the judge of nights": "the nightly gate",
    r"\bin every inference anew|\banew in every": "again in every inference",
    r"--force-reinstall benchbox|-U benchbox": "another project has that name on PyPI",
}
# Names of an older version, which its records hold.
ALLOWED = {"benchbox/store/migrations.py", "CHANGELOG.md"}


@pytest.mark.parametrize("path", READ, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_phrase_that_had_to_be_read_twice(path: Path) -> None:
    if str(path.relative_to(ROOT)) in ALLOWED:
        return
    text = path.read_text(encoding="utf-8")
    found = {
        f"line {text.count(chr(10), 0, match.start()) + 1}: {match[0]!r}": remedy
        for phrase, remedy in BANNED.items()
        for match in re.finditer(phrase, text, re.MULTILINE)
    }
    assert not found
