"""Why do other counters give other numbers for the same network?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter

from benchbox.report.screen import lines_below, table_of
from benchbox.report.table import Column
from benchbox.units import format_count

_COLUMNS: tuple[Column[tuple[str, ...]], ...] = (
    Column(title="counter", cell=itemgetter(0)),
    Column(title="prints", cell=itemgetter(1), number=True),
    Column(title="called", cell=itemgetter(2)),
    Column(title="made of", fold=True, cell=itemgetter(3)),
    Column(title="amount", cell=itemgetter(4), number=True),
)


def render_reconciliation(
    title: str, counts: Sequence[Mapping[str, object]], refused: Mapping[str, str], *, form: str
) -> str:
    """The counters side by side, each taken apart.

    Args:
        title: the network, in a few words.
        counts: as in the JSON document: name, unit, total, parts, source.
        refused: counters that cannot be reproduced here, with the reason.
        form: "table" or "md".
    """
    lines: list[tuple[str, ...]] = []
    for count in counts:
        parts = count["parts"]
        total = count["total"]
        assert isinstance(parts, Mapping)
        assert isinstance(total, int)
        for place, (reason, amount) in enumerate(parts.items()):
            first = (str(count["name"]), f"{total:,}", str(count["unit"])) if place == 0 else ("", "", "")
            lines.append((*first, reason, format_count(amount)))
    table = table_of(_COLUMNS, lines, form=form)
    notes = [f"{name}: not reproduced here: {why}" for name, why in refused.items()]
    sources = [f"{count['name']}: {count['source']}" for count in counts if count["source"]]
    return f"{title}\n\n{table}\n\n{lines_below(*sources, *notes)}"
