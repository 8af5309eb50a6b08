"""Which columns do people see of a record, and what stands below the table?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from benchbox.report.records.machines import notes_on_machines
from benchbox.report.table import Column
from benchbox.schema.plan import MeasurementPlan, Mode
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

COLUMNS = (
    Column(title="model"),
    Column(title="backend"),
    Column(title="precision"),
    Column(title="batch", number=True),
    Column(title="mode"),
    Column(title="threads", number=True),
    Column(title="p50", number=True),
    Column(title="95 %", number=True),
    Column(title="n", number=True),
    Column(title="MDE", number=True),
    Column(title="p90", number=True),
    Column(title="p99", number=True),
    Column(title="GPU p50", number=True),
    Column(title="enqueue p50", number=True),
    Column(title="trtexec latency", number=True),
    Column(title="trtexec GPU", number=True),
    Column(title="trtexec qps", number=True),
    Column(title="samples/s", number=True),
    Column(title="over bound", number=True),
    Column(title="peak memory", number=True),
    Column(title="GPU memory", number=True),
    Column(title="on paper", number=True),
    Column(title="J/sample", number=True),
    Column(title="MACs", number=True),
    Column(title="params", number=True),
    Column(title="achieved", number=True),
    Column(title="environment"),
    Column(title="executed"),
    Column(title="status"),
    Column(title="flags"),
)
# How many columns at the beginning name a row.
KEYS = 4
# Only shown where some record has them: a CPU has no such numbers, energy and other modes are measured when asked for,
# and most networks run wholly in the precision asked for.
_WHERE_MEASURED = frozenset(
    {
        "mode",
        "over bound",
        "GPU p50",
        "enqueue p50",
        "trtexec latency",
        "trtexec GPU",
        "trtexec qps",
        "GPU memory",
        "J/sample",
        "executed",
    }
)


def columns_and_rows(records: Sequence[Record]) -> tuple[tuple[Column, ...], list[tuple[str, ...]]]:
    """The table of these records: the columns that they need, and a row each."""
    rows = [row_from_record(record) for record in records]
    shown = [
        index
        for index, column in enumerate(COLUMNS)
        if column.title not in _WHERE_MEASURED or any(row[index] != ABSENT for row in rows)
    ]
    return tuple(COLUMNS[index] for index in shown), [tuple(row[index] for index in shown) for row in rows]


def mode_text(plan: MeasurementPlan) -> str:
    """How requests were issued; "" for the usual way, one at a time."""
    if plan.like:
        return f"like {plan.like}"
    sizes = {Mode.BATCHED: plan.group, Mode.CONCURRENT: plan.streams, Mode.MULTI_STREAM: plan.streams}
    if plan.mode is Mode.ISOLATED:
        return ABSENT
    if plan.mode is Mode.SERVER:
        return f"server({plan.rate_per_s or 0:g}/s)"
    return f"{plan.mode}({sizes[plan.mode]})" if plan.mode in sizes else str(plan.mode)


def executed_text(proof: Proof | None) -> str:
    """Shares of the MACs by executed type, that of the precision asked for first; a dash for a network wholly in it."""
    if proof is None or proof.share == 1 or not proof.macs:
        return ABSENT
    kinds = sorted(proof.macs, key=lambda kind: (kind != proof.type, -proof.macs[kind]))
    return ", ".join(f"{kind} {format_share(proof.macs[kind])}" for kind in kinds)


def row_from_record(record: Record) -> tuple[str, ...]:
    """One record as texts, in the order of ``COLUMNS``."""
    readings = {reading.metric: reading for reading in record.readings}
    p50 = readings.get("latency_p50")
    # In mode offline no sample has a time of its own: what can be told of certainty is about the rate.
    sure = readings.get("throughput") if record.key.mode is Mode.OFFLINE else p50
    key, analytic = record.key, record.analytic
    return (
        key.model,
        key.backend,
        key.precision.value,
        str(key.batch),
        mode_text(record.plan),
        str(record.plan.threads),
        format_time(_value(p50)),
        format_half_width(sure.value, sure.low, sure.high) if sure else ABSENT,
        str(sure.n) if sure else ABSENT,
        format_ratio(sure.mde) if sure and sure.mde is not None else ABSENT,
        format_time(_value(readings.get("latency_p90"))),
        format_time(_value(readings.get("latency_p99"))),
        format_time(_value(readings.get("gpu_time_p50"))),
        format_time(_value(readings.get("enqueue_time_p50"))),
        format_time(_value(readings.get("trtexec_latency_median"))),
        format_time(_value(readings.get("trtexec_gpu_time_median"))),
        _rate(readings.get("trtexec_throughput")),
        _rate(readings.get("throughput")),
        format_ratio(_value(readings.get("over_bound_share"))),
        format_bytes(_value(readings.get("peak_host_memory"))),
        format_bytes(_value(readings.get("peak_device_memory"))),
        format_bytes(analytic.weight_bytes + analytic.peak_activation_bytes if analytic else None),
        format_quantity(_value(readings.get("energy_per_sample")), "J"),
        format_count(analytic.macs if analytic else None),
        format_count(analytic.params if analytic else None),
        format_flops_per_s(_value(readings.get("achieved_flops"))),
        record.environment.hash,
        executed_text(record.proof),
        record.status.value,
        " ".join(flag.code for flag in record.flags) or ABSENT,
    )


def notes_from_records(records: Sequence[Record]) -> tuple[str, ...]:
    """Why records failed or were skipped, each; then each flag once, as the first record has it, with how many more.

    Last, where the records stand in one table and were not taken on the same machine.
    """
    reasons = [f"{record.status.value}: {_title(record)}: {record.reason}" for record in records if record.reason]
    first: dict[str, str] = {}
    more: Counter[str] = Counter()
    for record in records:
        for flag in record.flags:
            head = f"{flag.code} ({flag.severity})"
            if head in first:
                more[head] += 1
            else:
                first[head] = f"{_title(record)}: {flag.message}"
    flags = [f"{head}, {text}" + (f" (and {more[head]} more)" if more[head] else "") for head, text in first.items()]
    return tuple(dict.fromkeys([*reasons, *flags, *notes_on_machines(records)]))


def _title(record: Record) -> str:
    key = record.key
    return f"{key.model} {key.backend} {key.precision} batch {key.batch}"


def _rate(reading: Reading | None) -> str:
    return format_rate(_value(reading)).removesuffix("/s").strip()


def _value(reading: Reading | None) -> float | None:
    return reading.value if reading else None
