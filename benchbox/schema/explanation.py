"""Why is a precision less of a speed-up than it could be?"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from benchbox.schema.cost import Bound
from benchbox.schema.device import Device
from benchbox.schema.layers import LayerTable


class Cause(StrEnum):
    """What a part of the measured time went to.

    Every executed layer's time goes to one, or is split over the last three. ``REQUANTISING``: kernels that quantise,
    dequantise or cast activations and do nothing else; ``UNPACKING``: the same of constants, in every inference anew.
    ``REORDERING``: layouts changed for the runtime's sake. ``WIDER``:
    convolutions and matrix products in another type than was asked for. ``BETWEEN``: other layers in another type.
    ``UNKNOWN``: kernels that stand for no node. ``ARITHMETIC`` and ``BYTES``: what layers in the asked type take at
    least, by the one or the other. ``BEYOND``: what these take beyond that, or all of it where their least time is not
    known.
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
    """A cause with its time and the executed layers that it is of: how many, and of which operators."""

    cause: Cause
    time_s: float
    layers: int
    names: tuple[str, ...]
    kinds: tuple[tuple[str, int], ...]


@dataclass(frozen=True, kw_only=True)
class ExplainedGroup:
    """Executed layers of one kind in both precisions: times, the bound on paper, and where the time went.

    Times are sums of medians over profiled inferences; 0 where a precision has no such layer of its own.
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
    """Two tables of executed layers of one network, joined with the bound on paper.

    ``device`` holds the rates that the bounds are of: absolute ones are the best seen in ``base``, unless the device's
    are published; None where nothing is known of it. ``wider`` of ``matrices`` executed convolutions and matrix
    products were in another type than asked for. ``base_beyond_s`` is what the base's layers take beyond their least
    time, None where that is not known.
    """

    table: LayerTable
    base: LayerTable
    device: Device | None
    groups: tuple[ExplainedGroup, ...]
    reasons: tuple[Reason, ...]
    bound: Bound
    matrices: int
    wider: int
    base_beyond_s: float | None = None

    @property
    def speedup(self) -> float:
        """Of whole inferences without a profiler: the base's median over the precision's."""
        return self.base.latency_s / self.table.latency_s

    @property
    def profiled_speedup(self) -> float | None:
        """The same of the sums over profiled layers; None where nothing took time."""
        return self.base.time_s / self.table.time_s if self.table.time_s else None
