"""How are records shown to a person at a terminal?"""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Sequence

from benchbox.report.records.base import FORMATS, Format
from benchbox.report.records.rows import KEYS, columns_and_rows, notes_from_records
from benchbox.report.table import folded_table, text_table
from benchbox.schema.record import Record

LEGEND = (
    "p50, p90, p99: latency in the row's mode. 95 %: interval of p50 over n fresh processes. MDE: least change of "
    "p50 that two such rows would show; in mode offline both of samples/s. on paper: bytes of weights and of the "
    "most activations alive at once, beside the memory that was measured. achieved: FLOPs on paper / p50. executed:"
    " MACs by the type that they ran in, where not all ran in the precision. Definitions: docs/metrics.md"
)


def render(records: Sequence[Record]) -> str:
    """A table, then reasons and flags in words, then what the columns mean.

    On a screen the table is folded to its width and the words are wrapped; in a file or a pipe lines stay whole.
    """
    if not records:
        return "no records; 'benchbox run' makes some"
    columns, rows = columns_and_rows(records)
    notes = notes_from_records(records)
    if not sys.stdout.isatty():
        return "\n\n".join(filter(None, [text_table(columns, rows), "\n".join(notes), LEGEND]))
    width = shutil.get_terminal_size().columns
    table = folded_table(columns, rows, keys=KEYS, width=width)
    wrapped = [textwrap.fill(note, width, subsequent_indent="  ") for note in notes]
    return "\n\n".join(filter(None, [table, "\n".join(wrapped), textwrap.fill(LEGEND, width)]))


FORMATS.register("table", Format(name="table", render=render))
