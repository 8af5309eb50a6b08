"""How is a baseline shown: its levels and anchors, what was acknowledged, and what a night would propose?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchbox.gate.levels.baseline import Baseline, Expected
from benchbox.gate.levels.proposals import Proposal
from benchbox.gate.night import Acknowledgement
from benchbox.report.screen import lines_below
from benchbox.report.table import Column, markdown_table, text_table
from benchbox.units import ABSENT, format_change, format_count, format_quantity

_COMMIT = 9
_TITLES = ("metric", "level", "n", "night", "commit", "kind", "anchor")
_PROPOSED = [
    Column[Sequence[str]](title=title, number=title == "change")
    for title in ("case", "metric", "kind", "level", "change")
]
_COLUMNS = [Column[Sequence[str]](title=title, number=title in {"level", "n"}) for title in _TITLES]


def level_text(value: float, unit: str) -> str:
    """A level for people; whole numbers of things are whole."""
    return format_count(value) if unit == "1" else format_quantity(value, unit)


def render_proposals(found: Sequence[Proposal]) -> str:
    """A line for each level that would be written."""
    return (
        "\n".join(
            " ".join(f"{one.level.kind}: {one.name} {one.metric} {_before(one)}{_after(one)}".split()) for one in found
        )
        or "no level to write"
    )


def proposals_markdown(found: Sequence[Proposal], night: str) -> str:
    """The same as a table, the text of a pull request."""
    rows = [
        [f"`{one.name}`", one.metric, one.level.kind, f"{_before(one)}{_after(one)}", _change(one)] for one in found
    ]
    title = f"Levels of the night of {night}"
    return f"## {title}\n\n" + (markdown_table(_PROPOSED, rows) if rows else "No level to write.") + "\n"


def _before(proposal: Proposal) -> str:
    return level_text(proposal.before.value, proposal.level.unit) + " → " if proposal.before else ""


def _after(proposal: Proposal) -> str:
    return level_text(proposal.level.value, proposal.level.unit)


def _change(proposal: Proposal) -> str:
    before = proposal.before.value if proposal.before else 0.0
    return format_change(proposal.level.value / before) if before else ABSENT


def render_levels(baseline: Baseline, acknowledged: Sequence[Acknowledgement]) -> str:
    """A table a case, then the acknowledgements."""
    if not baseline and not acknowledged:
        return "no levels; 'benchbox baseline propose' writes those of the newest night"
    parts = [f"{name}\n{text_table(_COLUMNS, list(_rows(baseline[name])))}" for name in sorted(baseline)]
    lines = [line for entry in acknowledged for line in _accepted(entry)]
    return "\n\n".join([*parts, *(["\n".join(["acknowledged:", *lines])] if lines else [])])


def _accepted(entry: Acknowledgement) -> Iterator[str]:
    cases = f"{len(entry.cases)} case{'s' * (len(entry.cases) != 1)}"
    who = f" by {entry.by}" if entry.by else ""
    yield f"{entry.group}: {entry.kind}, {entry.metric} of {cases}, {entry.ratio[0]:.3f} to {entry.ratio[1]:.3f}"
    yield lines_below(f"  since {entry.accepted}{who}, until {entry.until}: {entry.reason}")
    if entry.issue:
        yield f"  {entry.issue}"


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
