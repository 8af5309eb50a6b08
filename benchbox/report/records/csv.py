"""How are records written for spreadsheets and other programs?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from benchbox.report.records.base import FORMATS, USUAL, Format, View
from benchbox.schema.record import Record

if TYPE_CHECKING:
    import pandas as pd

# How a column's name says its unit.
_UNITS = {"s": "s", "1/s": "per_s", "bytes": "bytes", "J": "j", "W": "w", "Hz": "hz"}
# Digits of an interval's width that are kept, and of a value without an interval.
_OF_WIDTH, _OF_VALUE = 2, 6


def render(records: Sequence[Record], *, width: int | None = None, view: View = USUAL) -> str:
    """One line per record (RFC 4180), in base SI units, which the names of the columns end with.

    Values are rounded to what their interval leaves known; ``report --format json`` has them unrounded. Empty cells are
    what was not measured.
    """
    from benchbox.store.frame import frame_from_records, table_from_frame

    table = table_from_frame(frame_from_records(records))
    units = {reading.metric: _UNITS.get(reading.unit, "") for record in records for reading in record.readings}
    for metric in units:
        _round(table, metric)
    hardware = {record.id: record.environment.hardware for record in records}
    for name in ("gpu", "cpu"):
        table.insert(list(table.columns).index("env"), name, [hardware[key].get(name) for key in table["id"]])
    names = {
        f"{metric}{bound}": f"{metric}{bound}_{unit}"
        for metric, unit in units.items()
        for bound in ("", "_low", "_high")
        if unit and not metric.endswith(f"_{unit}")
    }
    return table.rename(columns=names).to_csv(index=False, date_format="%Y-%m-%dT%H:%M:%S%z")


def _round(table: pd.DataFrame, metric: str) -> None:
    """Rounds a metric and its bounds to the digits that its interval leaves known."""
    columns = [metric, f"{metric}_low", f"{metric}_high"]
    for row in table.index:
        value, low, high = (_number(table.loc[row, column]) for column in columns)
        if value is None:
            continue
        decimals = _decimals(value, low, high)
        for column, number in zip(columns, (value, low, high), strict=True):
            if number is not None:
                table.loc[row, column] = round(number, decimals)


def _decimals(value: float, low: float | None, high: float | None) -> int:
    """Decimals that are known: two digits of the interval's width; without one, six digits of the value."""
    width = high - low if low is not None and high is not None else 0.0
    measure, digits = (width, _OF_WIDTH) if width > 0 else (abs(value), _OF_VALUE)
    return digits - 1 - math.floor(math.log10(measure)) if measure > 0 else 0


def _number(cell: Any) -> float | None:
    """A cell's number; None where nothing was measured."""
    return float(cell) if isinstance(cell, int | float) and math.isfinite(cell) else None


FORMATS.register("csv", Format(name="csv", suffix=".csv", render=render))
