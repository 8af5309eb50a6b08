"""How many samples lie far from the others? They are counted, never deleted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MILD, SEVERE = 1.5, 3.0


@dataclass(frozen=True, kw_only=True)
class Outliers:
    """Samples beyond Tukey's inner fences (mild) and outer fences (severe), below and above."""

    severe_low: int
    mild_low: int
    mild_high: int
    severe_high: int


def outliers_in(samples: Sequence[int]) -> Outliers:
    """Counts by Tukey's fences (Exploratory Data Analysis, 1977): 1.5 and 3 interquartile ranges from the quartiles.

    A severe outlier is not counted as a mild one as well.
    """
    values = np.asarray(samples, dtype=np.float64)
    first, third = np.quantile(values, [0.25, 0.75])
    spread = third - first
    severe_low = int((values < first - SEVERE * spread).sum())
    severe_high = int((values > third + SEVERE * spread).sum())
    return Outliers(
        severe_low=severe_low,
        mild_low=int((values < first - MILD * spread).sum()) - severe_low,
        mild_high=int((values > third + MILD * spread).sum()) - severe_high,
        severe_high=severe_high,
    )
