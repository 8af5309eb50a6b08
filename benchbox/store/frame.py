"""What do records look like to pandas?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from benchbox.schema.identity import CaseIdentity, identity_of
from benchbox.schema.reading import Reading
from benchbox.schema.record import Record
from benchbox.store.documents import plain, value_from_plain

if TYPE_CHECKING:
    import pandas as pd

# Column -> pandas dtype of the tidy frame; nullable types, because what was not measured is absent, not 0.
_OF_CASE = {
    "model": "string",
    "backend": "string",
    "precision": "string",
    "variant": "string",
    "batch": "Int64",
    "mode": "string",
    "group": "Int64",
    "streams": "Int64",
    "rate_per_s": "Float64",
    "latency_bound_s": "Float64",
    "threads": "Int64",
    "transfer": "string",
    "wait": "string",
    "like": "string",
    "device": "string",
    "onnx_sha256": "string",
    "weights_sha256": "string",
}
_WHICH = {"id": "string", "started_at": "datetime64[ns, UTC]", **_OF_CASE, "status": "string", "reason": "string"}
COLUMNS = {
    **_WHICH,
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
    "onnx_nodes": "Int64",
    "least_bytes": "Int64",
    "onnx_build_s": "Float64",
    "onnx_build_host_bytes": "Int64",
    "engine_build_s": "Float64",
    "engine_build_host_bytes": "Int64",
    "env": "string",
    "locked_clocks": "string",
    "flags": "string",
    "correct": "boolean",
    "rel_l2_error": "Float64",
    "engine_sha256": "string",
}
_OF_READING = ("metric", "unit", "value", "low", "high", "n", "better")


def frame_from_records(records: Sequence[Record]) -> pd.DataFrame:
    """A tidy frame: one row per record and metric, in base SI units.

    A failed or skipped record has one row whose metric is missing, so that nothing is silently left out. All columns
    and their types are there also without records.
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
    rest = [name for name in fixed if name not in _WHICH]
    if not metrics:
        parts = {f"{metric}{suffix}": None for metric in ("latency_p50",) for suffix in ("", "_low", "_high")}
        wide = wide.assign(**{name: pd.Series(dtype="Float64") for name in parts})
    return wide[[*_WHICH, *parts, "n", *rest]]


def identity_from_row(row: Mapping[str, Any]) -> CaseIdentity:
    """The case of a row of either frame: rows of equal cases and environments are replicates.

    Args:
        row: by column name, as ``frame.to_dict("records")`` gives them.
    """
    import pandas as pd

    values = {name: None if pd.isna(row[name]) else row[name] for name in _OF_CASE}
    return value_from_plain(CaseIdentity, values, origin="a row")


def _rows(record: Record) -> Iterator[dict[str, Any]]:
    analytic = record.analytic
    hops = record.correctness.hops
    shared = {
        "id": record.id,
        "started_at": record.started_at,
        **plain(identity_of(record)),
        "status": record.status.value,
        "reason": record.reason,
        "params": analytic.params if analytic else None,
        "macs": analytic.macs if analytic else None,
        "flops": analytic.flops if analytic else None,
        "weight_bytes": analytic.weight_bytes if analytic else None,
        "peak_activation_bytes": analytic.peak_activation_bytes if analytic else None,
        "onnx_nodes": analytic.onnx_nodes if analytic else None,
        "least_bytes": analytic.least_bytes if analytic else None,
        **_builds(record),
        "env": record.environment.hash,
        "locked_clocks": record.plan.locked_clocks,
        "flags": " ".join(flag.code for flag in record.flags),
        "correct": record.correctness.passed,
        "rel_l2_error": max((hop.rel_l2_error for hop in hops), default=None),
        "engine_sha256": record.engine_sha256,
    }
    for reading in record.readings:
        yield {**shared, **_reading(reading)}
    if not record.readings:
        yield {**shared, **dict.fromkeys(_OF_READING)}


def _builds(record: Record) -> dict[str, float | int | None]:
    """Time and memory of building the files; absent for those that were there already."""
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
