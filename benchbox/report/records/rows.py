"""Which columns do people see of a record, and what stands below the table?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from benchbox.report.cases import columns_of_cases, names_of_cases
from benchbox.report.records.machines import notes_on_machines
from benchbox.report.table import Column, texts_of
from benchbox.schema.identity import identity_of
from benchbox.schema.plan import Mode
from benchbox.schema.proof import Proof
from benchbox.schema.reading import Reading
from benchbox.schema.record import Record
from benchbox.units import (
    ABSENT,
    format_bytes,
    format_count,
    format_flops_per_s,
    format_half_width,
    format_quantity,
    format_rate,
    format_ratio,
    format_share,
    format_time,
)


def _reading(title: str, metric: str, text: Callable[[float | None], str], *, optional: bool = False) -> Column[Record]:
    """The column of one metric's value."""

    def cell(record: Record) -> str:
        return text(next((reading.value for reading in record.readings if reading.metric == metric), None))

    return Column(title=title, cell=cell, number=True, optional=optional)


def _certainty(title: str, text: Callable[[Reading], str]) -> Column[Record]:
    """A column about the interval of p50, or of the throughput in mode offline, where no sample has its own time."""

    def cell(record: Record) -> str:
        metric = "throughput" if record.key.mode is Mode.OFFLINE else "latency_p50"
        return next((text(reading) for reading in record.readings if reading.metric == metric), ABSENT)

    return Column(title=title, cell=cell, number=True)


def _on_paper(title: str, name: str) -> Column[Record]:
    """The column of one count of the network."""
    return Column(title=title, cell=lambda record: format_count(getattr(record.analytic, name, None)), number=True)


def _rate(value: float | None) -> str:
    return format_rate(value).removesuffix("/s").strip()


def _energy(value: float | None) -> str:
    return format_quantity(value, "J")


def _memory_on_paper(record: Record) -> str:
    analytic = record.analytic
    return format_bytes(analytic.weight_bytes + analytic.peak_activation_bytes if analytic else None)


def executed_text(proof: Proof | None) -> str:
    """Shares of the MACs by executed type, that of the precision asked for first; a dash for a network wholly in it."""
    if proof is None or proof.share == 1 or not proof.macs:
        return ABSENT
    kinds = sorted(proof.macs, key=lambda kind: (kind != proof.type, -proof.macs[kind]))
    return ", ".join(f"{kind} {format_share(proof.macs[kind])}" for kind in kinds)


# Those of a GPU, of LoadGen, of energy and of what ran in another precision are shown where some record has them.
COLUMNS: tuple[Column[Record], ...] = (
    _reading("p50", "latency_p50", format_time),
    _certainty("95 %", lambda reading: format_half_width(reading.value, reading.low, reading.high)),
    _certainty("n", lambda reading: str(reading.n)),
    _certainty("MDE", lambda reading: ABSENT if reading.mde is None else format_ratio(reading.mde)),
    _reading("p90", "latency_p90", format_time),
    _reading("p99", "latency_p99", format_time),
    _reading("GPU p50", "gpu_time_p50", format_time, optional=True),
    _reading("enqueue p50", "enqueue_time_p50", format_time, optional=True),
    _reading("trtexec latency", "trtexec_latency_median", format_time, optional=True),
    _reading("trtexec GPU", "trtexec_gpu_time_median", format_time, optional=True),
    _reading("trtexec qps", "trtexec_throughput", _rate, optional=True),
    _reading("samples/s", "throughput", _rate),
    _reading("over bound", "over_bound_share", format_ratio, optional=True),
    _reading("peak memory", "peak_host_memory", format_bytes),
    _reading("GPU memory", "peak_device_memory", format_bytes, optional=True),
    Column(title="on paper", cell=_memory_on_paper, number=True),
    _reading("J/sample", "energy_per_sample", _energy, optional=True),
    _on_paper("MACs", "macs"),
    _on_paper("params", "params"),
    _reading("achieved", "achieved_flops", format_flops_per_s),
    Column(title="environment", cell=lambda record: record.environment.hash),
    Column(title="executed", cell=lambda record: executed_text(record.proof), optional=True),
    Column(title="status", cell=lambda record: record.status.value),
    Column(title="flags", cell=lambda record: " ".join(flag.code for flag in record.flags) or ABSENT),
    Column(title="id", cell=lambda record: record.id),
)


def columns_and_rows(records: Sequence[Record]) -> tuple[list[Column[Record]], list[list[str]], int]:
    """The table of these records: the columns that they need, the texts of each row, and how many columns name it."""
    cases = [identity_of(record) for record in records]
    naming, _ = texts_of(columns_of_cases(cases, identity_of, always=frozenset({"threads"})), records)
    columns, rows = texts_of([*naming, *COLUMNS], records)
    return columns, rows, len(naming)


def notes_from_records(records: Sequence[Record]) -> tuple[str, ...]:
    """Why each record failed or was skipped; each flag once, by its first record, with the number of others.

    Last, whether the records of one table were taken on one machine.
    """
    name = names_of_cases([identity_of(record) for record in records])
    reasons = [
        f"{record.status.value}: {name(identity_of(record))}: {record.reason}" for record in records if record.reason
    ]
    first: dict[str, str] = {}
    more: Counter[str] = Counter()
    for record in records:
        for flag in record.flags:
            head = f"{flag.code} ({flag.severity})"
            if head in first:
                more[head] += 1
            else:
                first[head] = f"{name(identity_of(record))}: {flag.message}"
    flags = [f"{head}, {text}" + (f" (and {more[head]} more)" if more[head] else "") for head, text in first.items()]
    return tuple(dict.fromkeys([*reasons, *flags, *notes_on_machines(records)]))
