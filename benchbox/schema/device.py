"""How fast does a device multiply in each precision, and how fast is its memory: as published, and as measured?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from benchbox.schema.environment import Environment
from benchbox.schema.model import Precision
from benchbox.schema.reading import Flag


@dataclass(frozen=True, kw_only=True)
class Device:
    """Peak rates of the datasheet.

    ``rates`` are multiply-adds per time in each precision relative to fp32 (fp32 itself is 1); a missing
    precision has no known rate. ``fp32_flops_per_s`` and ``bytes_per_s`` are absolute, None where nothing is published:
    then the balance of arithmetic and memory is unknown. ``widened`` are precisions
    that the device has no arithmetic for and computes in fp32. ``source`` says where the numbers are from.
    """

    name: str
    title: str
    rates: Mapping[str, float]
    fp32_flops_per_s: float | None = None
    bytes_per_s: float | None = None
    widened: tuple[str, ...] = ()
    source: str = field(default="")

    @property
    def balance(self) -> float | None:
        """FLOPs per byte at which fp32 takes as long in arithmetic as in memory; None where a rate is unknown."""
        if self.fp32_flops_per_s is None or self.bytes_per_s is None:
            return None
        return self.fp32_flops_per_s / self.bytes_per_s


class Pace(StrEnum):
    """How long a rate was held: ``BURST`` for a few inferences, ``SUSTAINED`` over a whole timed window."""

    BURST = "burst"
    SUSTAINED = "sustained"


class Level(StrEnum):
    """The memory that data was moved to and from: a cache, or main (on a GPU: device) memory."""

    L1 = "l1"
    L2 = "l2"
    LLC = "llc"
    DRAM = "dram"


class Form(StrEnum):
    """As which operator the arithmetic of a ceiling is given to a library.

    Of a product both operands are inputs; a 1x1 convolution has constant weights, which a runtime packs ahead of time,
    as in networks: its kernels are other ones, in int8 often faster.
    """

    PRODUCT = "product"
    CONVOLUTION = "convolution"


@dataclass(frozen=True, kw_only=True)
class ComputeCeiling:
    """The most operations per second that a matrix product, or the same as a convolution, reached in a precision.

    ``flops_per_s`` counts 2·M·N·K operations; it is the median over ``n`` processes, ``low`` and ``high`` are their
    least and largest. ``library`` is a backend's name, or "numpy" or "torch" where a library was called directly;
    ``version`` its version. ``shape`` is M, N, K; a convolution's M are its pixels, N and K its channels. ``clock_hz``
    and ``flops_per_cycle`` are None where the clock was not seen. ``method`` is raised when the way of measuring
    changes.
    """

    precision: Precision
    kind: Pace
    threads: int
    flops_per_s: float
    low: float
    high: float
    library: str
    shape: tuple[int, int, int]
    n: int
    form: Form = Form.PRODUCT
    version: str = ""
    clock_hz: float | None = None
    flops_per_cycle: float | None = None
    power_w: float | None = None
    method: int = 1


@dataclass(frozen=True, kw_only=True)
class BandwidthCeiling:
    """The most bytes per second that a plain kernel moved at a level of memory.

    ``bytes`` is the working set of all threads together; ``counted`` says which bytes count. Numbers as of
    ``ComputeCeiling``. ``nontemporal``: stores passed the caches by; None where it is not known.
    """

    level: Level
    threads: int
    bytes_per_s: float
    low: float
    high: float
    library: str
    kernel: str
    bytes: int
    n: int
    version: str = ""
    counted: str = "read+write"
    nontemporal: bool | None = None
    method: int = 1


@dataclass(frozen=True, kw_only=True)
class NoCeiling:
    """Why a library gave no ceiling in a precision: it refuses it, runs it behind casts, or failed."""

    precision: Precision
    library: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Ceilings:
    """What one ``benchbox ceilings`` measured on one device: lower bounds of what the device can do.

    ``compute`` has the best of all libraries and shapes, one entry per precision, pace and number of threads;
    ``backends`` the best within each library, likewise. ``bandwidth`` has the best per level and number of threads.
    ``none`` says which libraries gave no ceiling and why. ``epoch`` is the hash of ``environment``: ceilings of another
    epoch say nothing of this one. ``cpus`` is how many threads "all" were. ``theoretical`` are operations per second
    of the datasheet, where there is one; never mixed with what was measured. ``quick``: fewer shapes and processes.
    """

    id: str
    started_at: str
    device: str
    title: str
    epoch: str
    environment: Environment
    cpus: int
    compute: tuple[ComputeCeiling, ...] = ()
    backends: tuple[ComputeCeiling, ...] = ()
    bandwidth: tuple[BandwidthCeiling, ...] = ()
    none: tuple[NoCeiling, ...] = ()
    theoretical: Mapping[str, float] = field(default_factory=dict)
    flags: tuple[Flag, ...] = ()
    quick: bool = False

    def peak(self, precision: str, *, kind: Pace = Pace.SUSTAINED, threads: int | None = None) -> ComputeCeiling | None:
        """The ceiling of a precision, with all threads unless told; None where nothing was measured."""
        wanted = self.cpus if threads is None else threads
        return next(
            (one for one in self.compute if (one.precision, one.kind, one.threads) == (precision, kind, wanted)), None
        )

    def roof(self, precision: str, *, kind: Pace, threads: int) -> ComputeCeiling | None:
        """The ceiling for so many threads: measured with as many or the next more, and never below that of fewer.

        More threads can always do as one does: a busy machine's rate of all of them is no roof below that of one.
        """
        fitting = [one for one in self.compute if (one.precision, one.kind) == (precision, kind)]
        counts = [one.threads for one in fitting]
        most = min((count for count in counts if count >= threads), default=max(counts, default=0))
        within = [one for one in fitting if one.threads <= most]
        return max(within, key=lambda one: one.flops_per_s, default=None)

    def memory(self, level: Level = Level.DRAM, *, threads: int | None = None) -> BandwidthCeiling | None:
        """The bandwidth of a level, with all threads unless told; None where nothing was measured."""
        wanted = self.cpus if threads is None else threads
        return next((one for one in self.bandwidth if (one.level, one.threads) == (level, wanted)), None)

    def bandwidth_for(self, threads: int) -> BandwidthCeiling | None:
        """Main memory's bandwidth for so many threads: of all threads where it was not measured with as many."""
        return self.memory(threads=threads) or self.memory()
