"""What did one process measure?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from benchbox.schema.artifact import Hop
from benchbox.schema.energy import EnergyRun
from benchbox.schema.layers import ExecutedLayer
from benchbox.schema.loadgen import LoadgenRun


class Pass(StrEnum):
    """What one worker process is for: outputs, time, memory, energy and layers are taken in separate processes."""

    CHECK = "check"
    TIMING = "timing"
    MEMORY = "memory"
    ENERGY = "energy"
    LAYERS = "layers"


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What a session says was really given, beside what was asked for.

    ``executed`` counts the matrix operations (convolutions, matrix products) by the precision they
    computed in, None where the session was not opened for inspection. ``providers`` are the runtime's
    own words. ``versions`` names the libraries that ran. ``simulated`` is true of the device that tests pretend to
    have.
    """

    backend: str
    device: str
    providers: tuple[str, ...]
    threads: int
    executed: Mapping[str, int] | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    simulated: bool = False


@dataclass(frozen=True, kw_only=True)
class OutputsSeen:
    """What a timed process saw of its outputs, outside the clock.

    ``sha256`` is of the bits after the warm-up. ``change`` is from there to after the samples, on the same inputs; None
    where all bits stayed. ``reference`` is from the reference to what reference samples gave at the very end.
    """

    sha256: str
    change: Hop | None
    reference: Hop


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What one worker process brought back, raw.

    ``samples_ns`` are the times of the measured inferences in order, ``warmup_ns`` those before; both by the clock
    named ``clock``. ``settled`` says whether the warm-up ended because it had settled; samples before ``steady_from``
    still belong to it, and the statistics leave them out. ``floor_ns`` is the median of the same loop around nothing,
    ``gpu_floor_ns`` that of two events with nothing between them, 0 where it was not taken. ``window_ns`` is the host
    time from the start of the first to the end of the last measured inference. ``counters`` are differences over the
    window of what the kernel counts (steal, context switches, throttling). ``stopped_by`` says which rule ended the
    sampling. On a device, ``gpu_ns`` are the times between the two events of each measured inference and ``enqueue_ns``
    those of the call that started it, in the order of ``samples_ns``; ``h2d_ns`` and ``d2h_ns`` are copies of a whole
    batch in and out, where they were asked for; ``device_bytes`` is device memory by the method that gave it;
    ``host_bytes`` the most that was resident at the end of each phase of a memory pass; ``load_s`` the time to load the
    runtime and the network; ``energy`` is what an energy pass counted. ``counters`` of a device trial also hold what
    ``machine/gpu/watch.py`` saw (docs/metrics.md). ``device_window_ns`` is the device's time from the beginning of the
    first to the end of the last inference of each block, added up; ``like`` the tool whose way of measuring was asked
    for, "" for benchbox's own. ``outputs`` is what became of the outputs in a timed process. ``load`` is what LoadGen
    said where it issued the requests: then ``samples_ns`` are times of queries by its clock, none in mode offline.
    ``hop`` is how far the outputs are from the reference, ``file_hop`` how far from what the checked ONNX file made of
    the same samples; None where no file ran.
    """

    number: int
    pass_: Pass
    started_at: str
    duration_s: float
    evidence: Evidence
    clock: str = ""
    warmup_ns: tuple[int, ...] = ()
    settled: bool = True
    samples_ns: tuple[int, ...] = ()
    steady_from: int = 0
    floor_ns: int = 0
    gpu_floor_ns: int = 0
    window_ns: int = 0
    device_window_ns: int = 0
    like: str = ""
    stopped_by: str = ""
    gpu_ns: tuple[int, ...] = ()
    enqueue_ns: tuple[int, ...] = ()
    h2d_ns: tuple[int, ...] = ()
    d2h_ns: tuple[int, ...] = ()
    peak_host_bytes: int | None = None
    device_bytes: Mapping[str, int] = field(default_factory=dict)
    host_bytes: Mapping[str, int] = field(default_factory=dict)
    load_s: float = 0.0
    counters: Mapping[str, float] = field(default_factory=dict)
    hop: Hop | None = None
    file_hop: Hop | None = None
    layers: tuple[ExecutedLayer, ...] = ()
    energy: EnergyRun | None = None
    outputs: OutputsSeen | None = None
    loadgen: LoadgenRun | None = None
