"""Hand-made records of one case, a night each, whose device is virtual."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sample_records import ENVIRONMENT, record

from benchbox.schema.reading import Better, Reading
from benchbox.schema.record import Record

NEW_DRIVER = dataclasses.replace(ENVIRONMENT, hash="ffff", software={"benchbox": "0.1.0", "driver": "560"})


def nights(
    values: Sequence[float], *, environment: Callable[[int], Any] = lambda _: ENVIRONMENT, **fields: Any
) -> list[Record]:
    first = datetime.datetime(2026, 1, 1, 2, 17, tzinfo=datetime.UTC)
    found = []
    for night, value in enumerate(values):
        at = first + datetime.timedelta(days=night)
        where = environment(night)
        found.append(
            record(
                id=f"{at:%Y%m%dT%H%M%SZ}-{night:08d}",
                started_at=at.isoformat(),
                environment=dataclasses.replace(where, observed={"commit": f"c{night:03d}"}),
                readings=(
                    Reading(
                        metric="latency_p50",
                        unit="s",
                        value=value,
                        low=value * 0.99,
                        high=value * 1.01,
                        n=8,
                        better=Better.LOWER,
                    ),
                ),
                **fields,
            )
        )
    return found


def level(count: int, value: float, seed: int = 0) -> list[float]:
    return list(value * np.exp(0.005 * np.random.default_rng(seed).standard_normal(count)))
