"""What did one process measure?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from benchbox.schema.artifact import Hop
from benchbox.schema.energy import EnergyRun
from benchbox.schema.layers import ExecutedLayer
from benchbox.schema.loadgen import LoadgenRun

# Fields of a trial that are not stored with its samples: the record holds what matters of them.
IN_RECORD = {"stored": False}


class Pass(StrEnum):
    """What one worker process is for: outputs, time, memory, energy and layers are taken in separate processes."""

    CHECK = "check"
    TIMING = "timing"
    MEMORY = "memory"
    ENERGY = "energy"
    LAYERS = "layers"


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What a session reports that it was given, beside what was asked for.

    ``executed`` counts the matrix operations (convolutions, matrix products) by the precision they computed in, None
    where the session was not opened for inspection. ``providers`` are named as the runtime names them, ``versions``
    are of the libraries that ran. ``simulated`` marks the tests' GPU: ``store/records.py`` does not store its records.
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
    """The outputs of a timed process, checked outside the timed window.

    ``sha256`` is of the outputs after the warm-up. ``change`` is the hop from there to the outputs after the samples,
    on the same inputs; None where all bits are equal. ``reference`` is the hop from the expected outputs to those of
    the same inputs at the end of the process; None where nobody could say what to expect.
    """

    sha256: str
    change: Hop | None
    reference: Hop | None


@dataclass(frozen=True, kw_only=True)
class Trial:
    """The raw results of one worker process.

    ``samples_ns`` are the times of the measured inferences in order, ``warmup_ns`` those before; both by the clock
    named ``clock``. ``settled``: the warm-up ended because times had settled; samples before ``steady_from`` still
    belong to it and are left out of statistics. ``floor_ns`` is the median of the same loop around a no-op,
    ``gpu_floor_ns`` that of two events with nothing between them, 0 where not taken. ``window_ns`` is host time from
    the start of the first to the end of the last measured inference, ``device_window_ns`` device time from the start
    of the first to the end of the last inference of each block, summed. ``like`` is the tool imitated, "" for
    benchbox's own way. ``stopped_by`` is the rule that ended the sampling. ``gpu_ns`` are the times between the two
    events of each measured inference and ``enqueue_ns`` those of the call that started it, in the order of
    ``samples_ns``; ``h2d_ns`` and ``d2h_ns`` are copies of a whole batch in and out, where requested.
    ``device_bytes`` is device memory by the method that measured it, ``host_bytes`` the peak resident set at the end
    of each phase of a memory pass, ``load_s`` the time to load the runtime and the network. ``counters`` are
    differences over the window of kernel counters (steal, context switches, throttling) and, on a GPU, the
    observations of ``machine/gpu/watch.py`` (docs/metrics.md). ``hop`` is the error against the expected outputs,
    ``file_hop`` that against the outputs of the checked ONNX file on the same samples, None where no file ran.
    ``energy`` is the result of an energy pass. ``loadgen`` is LoadGen's report where it issued the requests: then
    ``samples_ns`` are times of queries by its clock, none in mode offline.
    """

    number: int
    pass_: Pass
    started_at: str
    duration_s: float
    evidence: Evidence = field(metadata=IN_RECORD)
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
    hop: Hop | None = field(default=None, metadata=IN_RECORD)
    file_hop: Hop | None = field(default=None, metadata=IN_RECORD)
    layers: tuple[ExecutedLayer, ...] = field(default=(), metadata=IN_RECORD)
    energy: EnergyRun | None = None
    outputs: OutputsSeen | None = None
    loadgen: LoadgenRun | None = None
