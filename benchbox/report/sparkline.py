"""How does a series look in one line of text?"""

from __future__ import annotations

from collections.abc import Collection, Sequence

_BARS = "▁▂▃▄▅▆▇█"
# A series that varies by less than this share of its middle is drawn flat: noise must not look like steps.
_LEAST_RANGE = 0.02


def sparkline(values: Sequence[float], *, breaks: Collection[int] = (), most: int = 60) -> str:
    """A bar for each value, the lowest bar for the least, and "│" before the values at which a new level begins.

    Args:
        values: finite, in the order of time.
        breaks: indices of ``values``.
        most: how many of the last values are drawn.
    """
    if not values:
        return ""
    first = max(0, len(values) - most)
    low, high = min(values[first:]), max(values[first:])
    middle = (low + high) / 2
    span = max(high - low, _LEAST_RANGE * abs(middle))
    base = middle - span / 2
    signs = []
    for index, value in enumerate(values[first:], start=first):
        height = (value - base) / span if span else 0.0
        bar = _BARS[min(len(_BARS) - 1, max(0, int(height * len(_BARS))))]
        signs.append(f"│{bar}" if index in breaks and index > first else bar)
    return "".join(signs)
