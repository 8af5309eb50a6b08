"""How is a baseline shown: a case, its levels and anchors, and what was acknowledged?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchbox.gate.baseline import Baseline, Expected
from benchbox.gate.night import Acknowledgement
from benchbox.report.table import Column, text_table
from benchbox.units import ABSENT, format_count, format_quantity

_COMMIT = 9
_TITLES = ("metric", "level", "n", "night", "commit", "kind", "anchor")
_COLUMNS = [Column[Sequence[str]](title=title, number=title in {"level", "n"}) for title in _TITLES]


def level_text(value: float, unit: str) -> str:
    """A level for people; whole numbers of things are whole."""
    return format_count(value) if unit == "1" else format_quantity(value, unit)


def render_levels(baseline: Baseline, acknowledged: Sequence[Acknowledgement]) -> str:
    """A table a case, then the acknowledgements."""
    if not baseline and not acknowledged:
        return "no levels; 'benchbox baseline propose' writes those of the newest night"
    parts = [f"{name}\n{text_table(_COLUMNS, list(_rows(baseline[name])))}" for name in sorted(baseline)]
    lines = [
        f"{entry.group}: {entry.metric} of {len(entry.cases)} up to {entry.ratio[1]:.3f}, until {entry.until}\n"
        f"  {entry.reason}"
        for entry in acknowledged
    ]
    return "\n\n".join([*parts, *(["\n".join(["acknowledged:", *lines])] if lines else [])])


def _rows(expected: Expected) -> Iterator[list[str]]:
    for metric, level in sorted(expected.levels.items()):
        anchor = expected.anchors.get(metric)
        yield [
            metric,
            level_text(level.value, level.unit),
            str(len(level.values) or ABSENT),
            level.night,
            level.commit[:_COMMIT],
            level.kind,
            f"{anchor.pinned}: {level_text(anchor.value, anchor.unit)}" if anchor else ABSENT,
        ]
