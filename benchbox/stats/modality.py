"""Does a sample have two modes that matter?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# More samples find ever smaller dips; this many find those that a reader would.
MOST = 2000


@dataclass(frozen=True, kw_only=True)
class Modes:
    """A sample split in two where its halves differ most: their medians, the share of the upper, and the dip's p."""

    lower: float
    upper: float
    upper_share: float
    p_value: float


def modes_of(samples: Sequence[int]) -> Modes:
    """Splits at the threshold that maximises the variance between the parts (Otsu 1979); p by the dip test.

    The dip test (Hartigan & Hartigan 1985, Annals of Statistics 13:70) has one mode as its null. Values that a clock
    rounds to a few ticks would fail it whatever their shape, so each is moved by up to half a tick at random (seeded).

    Raises:
        ValueError: for fewer than four samples.
    """
    import diptest

    if len(samples) < 4:
        raise ValueError(f"modes need four samples, got {len(samples)}")
    chosen = np.linspace(0, len(samples) - 1, min(MOST, len(samples))).astype(int)
    values = np.asarray(samples, dtype=np.float64)[chosen]
    ordered = np.sort(values)
    ticks = np.diff(np.unique(ordered))
    tick = float(ticks.min()) if len(ticks) else 0.0
    dithered = values + np.random.default_rng(0).uniform(-tick / 2, tick / 2, len(values))
    below = np.arange(1, len(ordered))
    sums = np.cumsum(ordered)[:-1]
    lower_mean, upper_mean = sums / below, (ordered.sum() - sums) / (len(ordered) - below)
    between = below * (len(ordered) - below) * (upper_mean - lower_mean) ** 2
    cut = int(np.argmax(between)) + 1
    # A sample without any spread has no dip to test.
    p_value = float(diptest.diptest(dithered)[1]) if tick else 1.0
    return Modes(
        lower=float(np.median(ordered[:cut])),
        upper=float(np.median(ordered[cut:])),
        upper_share=1 - cut / len(ordered),
        p_value=p_value,
    )
