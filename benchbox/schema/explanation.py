"""Why is a lower precision not as fast as it could be?"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from benchbox.schema.cost import Bound
from benchbox.schema.device import Device
from benchbox.schema.layers import LayerTable


class Cause(StrEnum):
    """What a part of the measured time was spent on.

    The time of an executed layer has one cause, or is split over the last three. ``REQUANTISING``: kernels that only
    quantise, dequantise or cast activations; ``UNPACKING``: the same for constants, repeated in every inference.
    ``REORDERING``: layout conversions inserted by the runtime. ``WIDER``: convolutions and matrix products in another
    type than the one asked for. ``BETWEEN``: other layers in another type. ``UNKNOWN``: kernels without a node.
    ``ARITHMETIC`` and ``BYTES``: the roofline time of layers in the asked type, whichever limit applies. ``BEYOND``:
    their time above the roofline, or all of it where the roofline is not known.
    """

    REQUANTISING = "requantising"
    UNPACKING = "unpacking"
    REORDERING = "reordering"
    WIDER = "wider"
    BETWEEN = "between"
    UNKNOWN = "unknown"
    ARITHMETIC = "arithmetic"
    BYTES = "bytes"
    BEYOND = "beyond"


@dataclass(frozen=True, kw_only=True)
class Reason:
    """A cause, its time and its executed layers: how many, and of which operators."""

    cause: Cause
    time_s: float
    layers: int
    names: tuple[str, ...]
    kinds: tuple[tuple[str, int], ...]


@dataclass(frozen=True, kw_only=True)
class ExplainedGroup:
    """Executed layers of one kind in both precisions: times, the roofline bound, and the causes of the time.

    Times are sums of medians over profiled inferences; 0 where a precision has no such layer.
    """

    name: str
    time_s: float
    base_time_s: float
    bound: Bound
    reasons: tuple[Reason, ...]

    @property
    def speedup(self) -> float | None:
        """The base's time over the precision's, None where either has no such layer."""
        return self.base_time_s / self.time_s if self.time_s and self.base_time_s else None


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """Two tables of executed layers of one network, joined with the roofline bound.

    ``device`` holds the rates of the roofline: published ones, else the best seen in ``base``; None if the device is
    unknown. ``wider`` of ``matrices`` executed convolutions and matrix products ran in another type than the one asked
    for. ``base_beyond_s`` is the time of the base's layers above their roofline, None if that is not known.
    ``speedup`` is how many times as fast whole inferences are without a profiler, over ``processes`` processes a side;
    its 95 % interval is None where they are too few for one.
    """

    table: LayerTable
    base: LayerTable
    device: Device | None
    groups: tuple[ExplainedGroup, ...]
    reasons: tuple[Reason, ...]
    bound: Bound
    matrices: int
    wider: int
    speedup: float
    speedup_interval: tuple[float, float] | None
    processes: int
    base_beyond_s: float | None = None

    @property
    def profiled_speedup(self) -> float | None:
        """The same for the sums over profiled layers, in one process each; None where nothing was timed."""
        return self.base.time_s / self.table.time_s if self.table.time_s else None
