"""How are records shown to a person at a terminal?"""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Sequence

from benchbox.report.records.base import FORMATS, Format
from benchbox.report.records.rows import columns_and_rows, notes_from_records
from benchbox.report.table import folded_table, text_table
from benchbox.schema.record import Record

LEGEND = (
    "p50, p90, p99: latency in the row's mode. 95 %: interval of p50 over n fresh processes. MDE: smallest change of "
    "p50 that two such runs could detect (in offline mode 95 % and MDE are of samples/s). on paper: weights + peak "
    "live activations, in bytes. achieved: FLOPs on paper / p50. executed: MACs by executed type, where not all ran "
    "in the precision. Definitions: docs/metrics.md"
)


def screen_width() -> int | None:
    """Characters of a line where standard output is a terminal, None where it is a file or a pipe."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def render(records: Sequence[Record], *, width: int | None = None) -> str:
    """A table, then reasons and flags in words, then what the columns mean; folded to the width if there is one."""
    if not records:
        return "no records; 'benchbox run' makes some"
    columns, rows, naming = columns_and_rows(records)
    notes = notes_from_records(records)
    if width is None:
        return "\n\n".join(filter(None, [text_table(columns, rows), "\n".join(notes), LEGEND]))
    table = folded_table(columns, rows, keys=naming, width=width)
    wrapped = [textwrap.fill(note, width, subsequent_indent="  ") for note in notes]
    return "\n\n".join(filter(None, [table, "\n".join(wrapped), textwrap.fill(LEGEND, width)]))


FORMATS.register("table", Format(name="table", suffix=".txt", render=render))
