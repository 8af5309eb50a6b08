"""Do a GPU's clock cycles say the same as its times, night after night?

Where clocks are not held, a night may be slower because the clock was lower. Cycles (``gpu_cycles_p50``) do not change
with it: a rule with ``also = "cycles"`` calls a night slower or faster only where they say so as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from benchbox.gate.series import CaseSeries
from benchbox.metrics.device_times import CYCLES
from benchbox.stats.nights import Move, Seen, Watch, watch_nights
from benchbox.units import format_change

_SIDES = {Move.WORSE: 1, Move.BETTER: -1}


@dataclass(frozen=True, kw_only=True)
class Cycles:
    """What cycles say beside the times of a series, by the indices of its nights.

    ``sides`` of nights whose clocks floated and whose cycles were read: 1 where they are worse for good, -1 better, 0
    neither. ``seen`` is the last of these nights, at the index ``last``.
    """

    sides: Mapping[int, int]
    seen: Seen
    last: int

    def doubt(self, index: int, *, worse: bool) -> str:
        """What speaks against a night that is beyond its level in time, "" where cycles say the same or nothing."""
        if index != self.last or self.sides[index] == (1 if worse else -1):
            return ""
        ratio = self.seen.ratio
        amount = "too few nights to compare with" if ratio is None else format_change(ratio)
        return f"in cycles {amount}: the GPU's clock may have moved, which is not held (run --lock-clocks)"


def cycles_beside(
    series: CaseSeries, nights: Sequence[str], alike: Sequence[bool], watch: Watch, *, moved: Mapping[int, float]
) -> Cycles | None:
    """The cycles of a case beside its times, None where there is no night to look at.

    Args:
        series: the case.
        nights: in their order, tonight last.
        alike: whether each is of tonight's environment.
        watch: as the times are watched.
        moved: indices of nights from which on another level was accepted.
    """
    values = {
        index: value
        for index, night in enumerate(nights)
        if alike[index] and clocks_float(series, night) and (value := series.value(night, CYCLES)) is not None
    }
    if not values:
        return None
    places = {index: place for place, index in enumerate(values)}
    seen = watch_nights(
        [value.value for value in values.values()],
        replace(watch, floor=0.0, higher_is_worse=True),
        errors=[value.error for value in values.values()],
        levels={places[index]: values[index].value for index in moved if index in values},
    )
    return Cycles(
        sides={index: _SIDES.get(seen[place].move, 0) for index, place in places.items()},
        seen=seen[-1],
        last=max(values),
    )


def clocks_float(series: CaseSeries, night: str) -> bool:
    """Whether the clocks of a night were not held."""
    return any(not record.plan.locked_clocks for record in series.measured(night))
