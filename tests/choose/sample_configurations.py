"""Hand-made records of configurations."""

from __future__ import annotations

import dataclasses
from typing import Any

from sample_records import record

from benchbox.choose.candidates import Candidate, candidates_from_records
from benchbox.schema.reading import Better, Reading
from benchbox.schema.record import Record

_BETTER = {"throughput": Better.HIGHER}
_UNITS = {"throughput": "1/s", "peak_host_memory": "bytes", "peak_device_memory": "bytes"}


def reading(metric: str, value: float, *, spread: float = 0.01, n: int = 8) -> Reading:
    """With an interval of ``spread`` to either side, on logarithms; None for n = 1."""
    known = n > 1
    return Reading(
        metric=metric,
        unit=_UNITS.get(metric, "s"),
        value=value,
        low=value / (1 + spread) if known else None,
        high=value * (1 + spread) if known else None,
        n=n,
        better=_BETTER.get(metric, Better.LOWER),
    )


def measured(model: str, *readings: Reading, number: int = 0, **fields: Any) -> Record:
    """A record of the null backend whose flags are gone, so that it can be chosen."""
    key_fields = {name: fields.pop(name) for name in ("precision", "batch", "variant", "mode") if name in fields}
    key = dataclasses.replace(record().key, model=model, **key_fields)
    values = {"key": key, "flags": (), "readings": readings, "onnx_sha256": model.ljust(64, "0"), **fields}
    return record(number, **values)


def candidates(*records: Record, **options: Any) -> tuple[Candidate, ...]:
    """Of one facet."""
    found, _ = candidates_from_records(
        records,
        facet_of=lambda entry: ("here", entry.key.mode.value),
        name_of=lambda entry: f"{entry.key.model} {entry.key.precision} b{entry.key.batch}",
        **options,
    )
    return found
