"""Which columns do people see of records?

The usual table answers "how fast, how sure, how large?" and fits a terminal. The wide one has every column that some
record has a text for.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

from benchbox.flags.void import is_void
from benchbox.registry import require_known
from benchbox.report.cases import ambiguous_models, columns_of_cases
from benchbox.report.records.base import View
from benchbox.report.records.telling import telling_columns
from benchbox.report.table import Column, texts_of
from benchbox.schema.identity import identity_of, network_of
from benchbox.schema.plan import Mode
from benchbox.schema.proof import Proof
from benchbox.schema.reading import Reading
from benchbox.schema.record import Record, Status, reading_of
from benchbox.units import (
    ABSENT,
    format_bytes,
    format_count,
    format_factor,
    format_flops_per_s,
    format_half_width,
    format_known,
    format_percent,
    format_quantity,
    format_rate,
    format_ratio,
    format_share,
    format_time,
)

VOID = "void"
# Between sides of --ab the verdicts below the table say it, from processes that ran in turn.
_SPEED_UP = "speed-up"
# A narrower interval moves no digit that somebody would decide by.
_EXACT = 0.005


def _reading(title: str, metric: str, text: Callable[[float | None], str], *, optional: bool = False) -> Column[Record]:
    """The column of one metric's value."""

    def cell(record: Record) -> str:
        reading = reading_of(record, metric)
        return text(reading.value if reading else None)

    return Column(title=title, cell=cell, number=True, optional=optional)


def _known(title: str, metric: str, *, interval: bool = True, rank: int = 0, optional: bool = False) -> Column[Record]:
    """The column of one metric's value with the digits that its interval leaves known; nothing in a void row.

    ``interval``: whether it stands in the same cell, "51.5 ms ±2 %".
    """

    def cell(record: Record) -> str:
        reading = reading_of(record, metric)
        if reading is None or is_void(record):
            return ABSENT
        text = format_known(reading.value, reading.low, reading.high, reading.unit).removesuffix("/s").strip()
        width = reading.half_width
        return f"{text} {_short_half_width(width)}" if interval and width is not None and width >= _EXACT else text

    return Column(title=title, cell=cell, number=True, rank=rank, optional=optional)


def _short_half_width(share: float) -> str:
    """One digit below a percent, whole percents above: "±0.6 %", "±2 %", "±88 %"."""
    return f"±{format_percent(share, 0 if share >= 0.0095 else 1)}"


def _certainty(title: str, text: Callable[[Reading], str]) -> Column[Record]:
    """A column about the interval of p50, or of the throughput in mode offline, where no sample has its own time."""

    def cell(record: Record) -> str:
        reading = reading_of(record, "throughput" if record.key.mode is Mode.OFFLINE else "latency_p50")
        return text(reading) if reading else ABSENT

    return Column(title=title, cell=cell, number=True)


def _analytical(title: str, name: str) -> Column[Record]:
    """The column of one count of the network."""
    return Column(title=title, cell=lambda record: format_count(getattr(record.analytic, name, None)), number=True)


def _rate(value: float | None) -> str:
    return format_rate(value).removesuffix("/s").strip()


def _energy(value: float | None) -> str:
    return format_quantity(value, "J")


def _analytical_memory(record: Record) -> str:
    analytic = record.analytic
    return format_bytes(analytic.weight_bytes + analytic.peak_activation_bytes if analytic else None)


def executed_text(proof: Proof | None) -> str:
    """Shares of the MACs by executed type, that of the precision asked for first; a dash for a network wholly in it."""
    if proof is None or proof.share == 1 or not proof.macs:
        return ABSENT
    kinds = sorted(proof.macs, key=lambda kind: (kind != proof.type, -proof.macs[kind]))
    return ", ".join(f"{kind} {format_share(proof.macs[kind])}" for kind in kinds)


def _precision(record: Record) -> str:
    """The precision asked for, with the share of the MACs that ran in it where that is not all: "int8 91 %"."""
    proof = record.proof
    if proof is None or proof.share == 1 or not proof.macs:
        return record.key.precision.value
    return f"{record.key.precision.value} {format_share(proof.share)}"


# Those of a GPU, of LoadGen, of energy and of what ran in another precision are shown where some record has them.
WIDE: tuple[Column[Record], ...] = (
    _reading("p50", "latency_p50", format_time),
    _certainty("interval", lambda reading: format_half_width(reading.value, reading.low, reading.high)),
    _certainty("n", lambda reading: str(reading.n)),
    _certainty("MDE", lambda reading: ABSENT if reading.mde is None else format_ratio(reading.mde)),
    _reading("p90", "latency_p90", format_time),
    _reading("p99", "latency_p99", format_time),
    _reading("GPU p50", "gpu_time_p50", format_time, optional=True),
    _reading("GPU compute p50", "gpu_compute_time_p50", format_time, optional=True),
    _reading("enqueue p50", "enqueue_time_p50", format_time, optional=True),
    _reading("trtexec latency", "trtexec_latency_median", format_time, optional=True),
    _reading("trtexec GPU", "trtexec_gpu_time_median", format_time, optional=True),
    _reading("trtexec qps", "trtexec_throughput", _rate, optional=True),
    _reading("samples/s", "throughput", _rate),
    _reading("over bound", "over_bound_share", format_ratio, optional=True),
    _reading("peak memory", "peak_host_memory", format_bytes),
    _reading("GPU memory", "peak_device_memory", format_bytes, optional=True),
    Column(title="analytical", cell=_analytical_memory, number=True),
    _reading("J/sample", "energy_per_sample", _energy, optional=True),
    _analytical("MACs", "macs"),
    _analytical("params", "params"),
    _reading("achieved", "achieved_flops", format_flops_per_s),
    Column(title="environment", cell=lambda record: record.environment.hash),
    Column(title="executed", cell=lambda record: executed_text(record.proof), optional=True),
    Column(title="status", cell=lambda record: record.status.value),
    Column(title="flags", cell=lambda record: " ".join(flag.code for flag in record.flags) or ABSENT),
    Column(title="id", cell=lambda record: record.id),
)
_BY_TITLE = {column.title: column for column in WIDE}


def _usual(records: Sequence[Record]) -> list[Column[Record]]:
    """The columns that answer "how fast?", in the order in which they are read; the last ones go first."""
    p50 = _known("p50", "latency_p50")
    over = _BY_TITLE["over bound"]
    return [
        dataclasses.replace(p50, cell=lambda record: _unusual_status(record) or p50.cell(record)),
        _known("samples/s", "throughput", rank=1),
        Column(title=_SPEED_UP, cell=_speed_up(records), number=True, optional=True, rank=2),
        _known("peak memory", "peak_host_memory", rank=3),
        _known("GPU memory", "peak_device_memory", rank=3, optional=True),
        dataclasses.replace(over, cell=lambda record: ABSENT if is_void(record) else over.cell(record), rank=2),
        _known("p90", "latency_p90", interval=False, rank=5),
        _known("p99", "latency_p99", interval=False, rank=4),
        _known("GPU p50", "gpu_time_p50", interval=False, rank=4, optional=True),
        _known("trtexec latency", "trtexec_latency_median", interval=False, rank=6, optional=True),
        _known("trtexec GPU", "trtexec_gpu_time_median", interval=False, rank=6, optional=True),
        _known("trtexec qps", "trtexec_throughput", interval=False, rank=6, optional=True),
        _known("J/sample", "energy_per_sample", interval=False, rank=4, optional=True),
    ]


def known_factor(own: Reading, other: Reading) -> str:
    """How many times another reading one is, with no more digits than both intervals leave: "3.13×", "2×", "~1×".

    The half-widths add in quadrature on logarithms, as for independent estimates; "~" where the interval of the ratio
    contains 1. Three digits where one of them has no interval.
    """
    factor = own.value / other.value
    width = _width_of_factor(own, other)
    if width is None:
        return format_factor(factor)
    digits = min(3, max(1, 1 - math.floor(math.log10(2 * width)))) if width else 3
    rounded = float(f"{factor:.{digits - 1}e}")
    text = f"{rounded:.{max(0, digits - 1 - math.floor(math.log10(rounded)))}f}×"
    return f"~{text}" if abs(math.log(factor)) < width else text


def _unusual_status(record: Record) -> str:
    """What stands in the place of a median that there is not, or that means nothing: "failed", "void"."""
    if record.status is not Status.OK:
        return record.status.value
    return VOID if is_void(record) else ""


def _speed_up(records: Sequence[Record]) -> Callable[[Record], str]:
    """How many times the samples/s of the first valid row of the same network in the same mode a row has.

    Where one name stands for several networks, each file is one of its own.
    """
    ambiguous = ambiguous_models([identity_of(record) for record in records])

    def series(record: Record) -> tuple[str, str, Mode]:
        model = record.key.model
        return model, (network_of(record) or "") if model in ambiguous else "", record.key.mode

    first: dict[tuple[str, str, Mode], Record] = {}
    count: dict[tuple[str, str, Mode], int] = {}
    for record in records:
        if reading_of(record, "throughput") and not is_void(record) and record.key.mode is not Mode.SERVER:
            first.setdefault(series(record), record)
            count[series(record)] = count.get(series(record), 0) + 1

    def cell(record: Record) -> str:
        own, base = reading_of(record, "throughput"), first.get(series(record))
        if own is None or base is None or is_void(record) or count[series(record)] < 2:
            return ABSENT
        other = reading_of(base, "throughput")
        if other is None or not other.value:
            return ABSENT
        return "1×" if record is base else _factor_cell(own, other)

    return cell


def _factor_cell(own: Reading, other: Reading) -> str:
    """A factor with the half-width of its interval: "3.1× ±8 %"."""
    width = _width_of_factor(own, other)
    text = known_factor(own, other).removeprefix("~")
    return text if width is None or width < _EXACT else f"{text} {_short_half_width(width)}"


def _width_of_factor(own: Reading, other: Reading) -> float | None:
    """The half-width of the 95 % interval of the ratio of two readings, on logarithms; None where one has none."""
    if own.half_width is None or other.half_width is None:
        return None
    return math.hypot(own.half_width, other.half_width)


def columns_and_rows(
    records: Sequence[Record], view: View, *, narrow: bool = False
) -> tuple[list[Column[Record]], list[list[str]], int]:
    """The table of these records: columns that they need, the texts of each row, and how many columns name it.

    ``narrow``: on a screen or a web page; ids are shortened where they are needed and their beginnings differ.

    Raises:
        UsageError: a column that was asked for does not exist.
    """
    cases = [identity_of(record) for record in records]
    always = frozenset({"threads"}) if view.wide else frozenset()
    naming: list[Column[Record]] = columns_of_cases(cases, identity_of, always=always)
    if view.wide:
        columns = [*naming, *WIDE]
    else:
        naming = [
            dataclasses.replace(column, cell=_precision) if column.title == "precision" else column for column in naming
        ]
        usual = [column for column in _usual(records) if not (view.paired and column.title == _SPEED_UP)]
        telling = [] if view.columns else telling_columns(records, texts_of(naming, records)[1], narrow=narrow)
        columns = [*naming, *usual, *telling]
    if view.columns:
        naming, columns = [], _chosen(view.columns, [*columns_of_cases(cases, identity_of, always=_ALWAYS), *columns])
    naming, _ = texts_of(naming, records)
    columns, rows = texts_of(columns, records)
    return columns, rows, len(naming)


_ALWAYS = frozenset({"threads", "network"})


def _chosen(titles: Sequence[str], known: Sequence[Column[Record]]) -> list[Column[Record]]:
    by_title = {column.title: column for column in (*WIDE, *known)}
    return [
        dataclasses.replace(by_title[require_known("column", title, by_title)], optional=False, rank=0)
        for title in titles
    ]


def titles_of_columns() -> list[str]:
    """Every title that can be asked for, for the shell's completion."""
    names = [column.title for column in columns_of_cases((), identity_of, always=_ALWAYS)]
    return list(dict.fromkeys([*names, *(column.title for column in (*_usual(()), *WIDE))]))
