"""What are the medians of consecutive parts of a series?"""

from __future__ import annotations

import numpy as np

BLOCKS = 20


def block_medians(times: list[int] | tuple[int, ...]) -> list[float]:
    """Medians of (at most) ``BLOCKS`` consecutive parts."""
    if not times:
        return []
    return [float(np.median(block)) for block in np.array_split(np.asarray(times), min(BLOCKS, len(times)))]
