"""What ``benchbox run NETWORK...`` would have stored now, so many times slower than usual."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from sample_nights import nights
from sample_records import trials

from benchbox.store.records import append, new_record_id


def measured(networks: Sequence[str], factor: float) -> None:
    """Stores a record of each network in the current folder."""
    now = datetime.datetime.now(datetime.UTC)
    timed, _ = trials()
    for place, network in enumerate(networks):
        rng = np.random.default_rng(place + round(100 * factor))
        values = factor * 1e-3 * np.exp(0.01 * rng.standard_normal(8))
        (entry,) = nights([float(np.median(values))], flags=())
        entry = dataclasses.replace(
            entry,
            id=new_record_id(now),
            started_at=now.isoformat(timespec="seconds"),
            key=dataclasses.replace(entry.key, model=network),
        )
        runs = [
            dataclasses.replace(timed, number=number, samples_ns=(round(1e9 * value),) * 3)
            for number, value in enumerate(values)
        ]
        append(Path(), entry, runs)
