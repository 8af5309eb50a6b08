"""How is the history of a case shown? Nights as rows, changes of level drawn between them, environments as rules."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import Any

from benchbox.report.screen import screen_width, wrapped
from benchbox.report.sparkline import sparkline
from benchbox.report.table import Column, fitted, text_table, texts_of
from benchbox.schema.reading import Better
from benchbox.schema.verdict import ChangeState, HistoryPoint, LevelChange, Series
from benchbox.units import format_alike, format_change, format_changes, format_count, format_half_width, format_time

_COLUMNS: tuple[Column[list[str]], ...] = (
    Column(title="night"),
    Column(title="measured (UTC)", rank=3),
    Column(title="commit", rank=1),
    Column(title="value", number=True),
    Column(title="95 %", number=True),
    Column(title="n", number=True),
    Column(title="records", number=True, optional=True, rank=2),
    Column(title="record"),
)
# Characters of a commit and how many differing fields of an environment stand in one rule.
_COMMIT, _FIELDS = 9, 3
_DRAWN = 60  # of the last nights, in the line of bars


def render_history(series: Sequence[Series], *, last: int) -> str:
    """One block a series: its title, its rows, and how many changes of level it has.

    Args:
        series: what ``series_from_records`` gives.
        last: rows to show of each; changes further back are counted in the line below.
    """
    return "\n\n".join("\n".join(_block(each, last)) for each in series)


def document_from_series(series: Sequence[Series]) -> dict[str, Any]:
    """The JSON document ``benchbox.history/1``."""
    return {"schema": "benchbox.history/1", "series": [_plain(each) for each in series]}


def _plain(series: Series) -> dict[str, Any]:
    return {
        "case": dict(series.case),
        "metric": series.metric,
        "unit": series.unit,
        "better": series.better.value,
        "points": [dataclasses.asdict(point) for point in series.points],
        "changes": [
            {
                "index": change.index,
                "ratio": change.ratio,
                "low": change.low,
                "high": change.high,
                "better": change.better,
                "commits": list(change.commits),
                "environment": _pairs(change.environment),
                "state": change.state.value,
            }
            for change in series.changes
        ],
        "epochs": [{"index": index, "environment": _pairs(changed)} for index, changed in series.epochs.items()],
    }


def _pairs(changed: Mapping[str, tuple[str, str]]) -> dict[str, list[str]]:
    return {name: list(pair) for name, pair in changed.items()}


def _block(series: Series, last: int) -> Iterator[str]:
    direction = "lower" if series.better is Better.LOWER else "higher"
    width = screen_width()
    yield wrapped(f"{_title(series.case)}: {series.metric} ({direction} is better)", width)
    first = max(0, len(series.points) - last)
    shown = series.points[first:]
    values = format_alike([point.value for point in shown], series.unit)
    rows = [_row(point, value) for point, value in zip(shown, values, strict=True)]
    columns, texts = texts_of([replace(column, cell=itemgetter(place)) for place, column in enumerate(_COLUMNS)], rows)
    columns, texts, left_out = fitted(columns, texts, width=width)
    header, rule, *lines = text_table(columns, texts).splitlines()
    yield header
    yield rule
    changes = {change.index: change for change in series.changes}
    for index, line in enumerate(lines, start=first):
        if index in series.epochs and index > first:
            yield wrapped(_rule(f"environment: {_fields(series.epochs[index])}", len(rule)), width)
        if index in changes and index > first:
            yield wrapped(_rule(_step(changes[index]), len(rule)), width)
        yield line
    if len(series.points) > 1:
        yield _picture(series)
    yield wrapped(_summary(series, first), width)
    if left_out:
        yield wrapped(f"left out at {width} columns: {', '.join(left_out)} (a wider screen or --json shows all)", width)


def _picture(series: Series) -> str:
    """The last nights as bars, with the least and the greatest of them."""
    values = [point.value for point in series.points][-_DRAWN:]
    before = len(series.points) - len(values)
    least, greatest = format_alike([min(values), max(values)], series.unit)
    line = sparkline(values, breaks={change.index - before for change in series.changes}, most=_DRAWN)
    return f"{line}  {least} to {greatest}"


def _row(point: HistoryPoint, value: str) -> list[str]:
    return [
        point.night,
        point.at[:16].replace("T", " "),
        _commit(point.commit),
        value,
        format_half_width(point.value, point.low, point.high),
        str(point.n),
        str(len(point.records)) if len(point.records) > 1 else "",
        point.record,
    ]


def _commit(commit: str) -> str:
    """A commit in short, "+" behind one with changes."""
    name = commit.removesuffix("-dirty")
    return name[:_COMMIT] + ("+" if name != commit else "")


def _step(change: LevelChange) -> str:
    word = "better" if change.better else "worse"
    known = format_changes(change.low, change.high)
    interval = f" ({known})" if known else ""
    state = {
        ChangeState.NEW: "",
        ChangeState.REVERTED: ", taken back later",
        ChangeState.ENVIRONMENT: ", with the environment",
    }[change.state]
    before, after = map(_commit, change.commits)
    commits = f", {before}..{after}" if before and after and before != after else ""
    return f"{word}: {format_change(change.ratio)}{interval}{commits}{state}"


def _rule(text: str, width: int) -> str:
    return f"── {text} {'─' * max(2, width - len(text) - 4)}"


def _fields(changed: Mapping[str, tuple[str, str]]) -> str:
    shown = [f"{name} {before or 'absent'} → {after or 'absent'}" for name, (before, after) in changed.items()]
    more = len(shown) - _FIELDS
    return ", ".join(shown[:_FIELDS]) + (f" and {more} more" if more > 0 else "")


def _summary(series: Series, first: int) -> str:
    hidden = sum(change.index <= first for change in series.changes)
    changes = _counted(len(series.changes), "change of level", "changes of level") if series.changes else "one level"
    records = sum(max(1, len(point.records)) for point in series.points)
    noun = "night" if len({point.night for point in series.points}) == len(series.points) else "row"
    parts = [f"{_counted(len(series.points), noun)}, {changes}"]
    if records > len(series.points):
        parts.append(f"{records} records, those of one night and environment as their mean (--by record)")
    if hidden:
        parts.append(f"{hidden} of them before the first row shown (--last)")
    return "; ".join(parts)


_COUNTS = {"macs": "MACs", "params": "parameters"}


def _title(case: Mapping[str, object]) -> str:
    """The case in words: "resnet18 on onnxruntime, fp32, batch 1, server, 2 threads, 40 samples/s, bound 50 ms".

    MACs and parameters are there where networks of one name differ in them.
    """
    usual = {"transfer": "resident"}
    parts = [
        _said(name, value)
        for name, value in case.items()
        if name not in ("model", "backend") and value != usual.get(name)
    ]
    return f"{case['model']} on {case['backend']}, {', '.join(parts)}"


def _said(name: str, value: object) -> str:
    """A field of a case in words."""
    if name in _COUNTS:
        return f"{format_count(float(str(value)))} {_COUNTS[name]}"
    if name in {"threads", "streams"}:
        return _counted(int(str(value)), name.removesuffix("s"))
    if name == "latency_bound_s":
        return f"bound {format_time(float(str(value)))}"
    if name == "rate_per_s":
        return f"{float(str(value)):g} samples/s"
    return f"{name} {value}" if name in {"batch", "group", "like", "wait"} else str(value)


def _counted(count: int, one: str, many: str = "") -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"
