"""What do records look like to pandas?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from benchbox.schema.reading import Reading
from benchbox.schema.record import Record

if TYPE_CHECKING:
    import pandas as pd

# Column -> pandas dtype of the tidy frame; nullable types, because what was not measured is absent, not 0.
COLUMNS = {
    "id": "string",
    "started_at": "datetime64[ns, UTC]",
    "model": "string",
    "backend": "string",
    "precision": "string",
    "batch": "Int64",
    "mode": "string",
    "device": "string",
    "threads": "Int64",
    "status": "string",
    "reason": "string",
    "metric": "string",
    "unit": "string",
    "value": "Float64",
    "low": "Float64",
    "high": "Float64",
    "n": "Int64",
    "better": "string",
    "params": "Int64",
    "macs": "Int64",
    "flops": "Int64",
    "weight_bytes": "Int64",
    "peak_activation_bytes": "Int64",
    "onnx_build_s": "Float64",
    "onnx_build_host_bytes": "Int64",
    "engine_build_s": "Float64",
    "engine_build_host_bytes": "Int64",
    "env": "string",
    "flags": "string",
    "correct": "boolean",
    "rel_l2_error": "Float64",
    "onnx_sha256": "string",
}
_OF_READING = ("metric", "unit", "value", "low", "high", "n", "better")
# Columns of the wide table that say what a row is, before those of the metrics.
_IDENTITY = tuple(name for name in list(COLUMNS)[:11])


def frame_from_records(records: Sequence[Record]) -> pd.DataFrame:
    """A tidy frame: one row per record and metric, in base SI units.

    A failed or skipped record has one row whose metric is missing, so that nothing is silently left out. Columns and
    their types are always all there, also for no records.
    """
    import pandas as pd

    rows = [row for record in records for row in _rows(record)]
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    frame["started_at"] = pd.to_datetime(frame["started_at"], utc=True)
    return frame.astype(COLUMNS)


def table_from_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """A wide frame: one row per record; each metric has the columns ``<metric>``, ``<metric>_low``, ``<metric>_high``.

    Rows are in the order of the tidy frame, metrics in the order of their first appearance.
    """
    import pandas as pd

    fixed = [name for name in COLUMNS if name not in _OF_READING]
    table = frame[fixed].drop_duplicates("id").set_index("id")
    metrics = list(frame["metric"].dropna().unique())
    parts = {}
    for metric in metrics:
        rows = frame[frame["metric"] == metric].set_index("id")
        for suffix, column in (("", "value"), ("_low", "low"), ("_high", "high")):
            parts[f"{metric}{suffix}"] = rows[column]
    counts = frame.groupby("id", sort=False)["n"].max()
    wide = pd.concat([table, pd.DataFrame(parts, index=table.index), counts.rename("n")], axis=1).reset_index()
    rest = [name for name in fixed if name not in _IDENTITY]
    if not metrics:
        parts = {f"{metric}{suffix}": None for metric in ("latency_p50",) for suffix in ("", "_low", "_high")}
        wide = wide.assign(**{name: pd.Series(dtype="Float64") for name in parts})
    return wide[[*_IDENTITY, *parts, "n", *rest]]


def _rows(record: Record) -> Iterator[dict[str, Any]]:
    key, analytic = record.key, record.analytic
    hops = record.correctness.hops
    shared = {
        "id": record.id,
        "started_at": record.started_at,
        "model": key.model,
        "backend": key.backend,
        "precision": key.precision.value,
        "batch": key.batch,
        "mode": key.mode.value,
        "device": key.device,
        "threads": record.plan.threads,
        "status": record.status.value,
        "reason": record.reason,
        "params": analytic.params if analytic else None,
        "macs": analytic.macs if analytic else None,
        "flops": analytic.flops if analytic else None,
        "weight_bytes": analytic.weight_bytes if analytic else None,
        "peak_activation_bytes": analytic.peak_activation_bytes if analytic else None,
        **_builds(record),
        "env": record.environment.hash,
        "flags": " ".join(flag.code for flag in record.flags),
        "correct": record.correctness.passed,
        "rel_l2_error": max((hop.rel_l2_error for hop in hops), default=None),
        "onnx_sha256": record.onnx_sha256,
    }
    for reading in record.readings:
        yield {**shared, **_reading(reading)}
    if not record.readings:
        yield {**shared, **dict.fromkeys(_OF_READING)}


def _builds(record: Record) -> dict[str, float | int | None]:
    """What making the files took; absent for those that were found made."""
    made = {build.what: build for build in record.builds}
    found: dict[str, float | int | None] = {}
    for what in ("onnx", "engine"):
        build = made.get(what)
        found[f"{what}_build_s"] = build.duration_s if build else None
        found[f"{what}_build_host_bytes"] = build.peak_host_bytes if build else None
    return found


def _reading(reading: Reading) -> dict[str, Any]:
    return {
        "metric": reading.metric,
        "unit": reading.unit,
        "value": reading.value,
        "low": reading.low,
        "high": reading.high,
        "n": reading.n,
        "better": reading.better.value,
    }
