"""What does a GPU do that exists only in tests?

It keeps memory (``simulated_memory.py``), streams, events and graphs, and two virtual clocks: that of the device runs
when work does, that of the host when a call is made or waited for. Work starts when its stream is ready and the host
has launched it, which takes ``launch_ns``. Events resolve 0.5 us. It is strict where a real one is undefined:
memory is looked up by address, so that use after free, reading beyond the end and freeing twice are faults; work runs
when its stream is waited for, so that results read too early are not there. A fault sticks, as on a real device: every
later call reports it. While a stream is captured, calls that are unsafe then are refused and spoil the capture, by the
thread that captures, and by every thread where the mode is global. A status that failed stays the thread's last error
until it is asked for.

``BENCHBOX_SIMULATION`` holds its knobs as JSON: ``memory_bytes``, ``inference_ns``, ``launch_ns``,
``copy_ns_per_byte``, ``syncs`` (the runtime waits in its call), ``stream_memory_operations`` (whether streams can be
held back), ``target`` ("sm90"), ``fail_capture`` ("begin", "enqueue", "end" or "instantiate"; true is "begin"),
``fail_sizing`` (of the working memory), ``old_driver``, ``cuda_driver`` (the newest CUDA it can do),
``context_bytes`` (an execution context's working memory), ``grain_bytes`` (device memory is given out in these),
``primary_bytes`` (a CUDA context takes), ``module_bytes`` (the first inference loads), ``pinned_bytes`` (that can be
page-locked); and for ``pynvml``: ``accounted_bytes`` (what the driver accounts, 0 where accounting is off),
``default_clock_mhz`` (that it is sold with), ``memory_clocks_mhz``, ``temperatures_c`` and ``powers_w`` (read in turn;
without, power is the meter's), ``pstate``, ``power_noise`` (by which share the power of an instant strays), ``read_s``
(a read of fields takes), ``nvml`` (whether it is there), ``idle_w``, ``busy_w``, ``tick_s``,
``energy_counter``, ``power_factor`` (of the power sensor against the truth), ``gpu_of_module`` (the GPU's share of the
power of a module that it shares with a CPU; None where it has a board of its own), ``mig``, ``mps``,
``foreign`` (processes), ``graphics`` (processes), ``hide_pids``, ``may_lock``, ``state`` (the file that clocks are
locked in), ``throttle_hw``, ``throttle_sw_thermal`` and ``power_capped`` (shares of the time), ``throttle_fields`` and
``violations`` (whether those counters are there), ``slowdown_bit``, ``sm_clocks_mhz`` (read in turn),
``ecc_uncorrected``, ``ecc_corrected`` and ``remapped_rows`` (that come up after the first reading), ``xid``, ``pcie``
and ``pcie_max`` (generation and lanes), ``confidential``, ``power_limit_w``, ``driver``. ``drift`` is how much longer
(as a ratio) an inference takes after 1000 others, ``bimodal`` how much longer 4 of 10 take, ``leak_bytes`` what an
inference keeps for ever, ``l2_bytes`` the size of its cache, ``understated_outputs`` how many times larger an output
of unknown size may be than the engine says, ``build_luck`` how much longer (as a ratio, drawn for each build that is
given no timing cache) an engine's inferences take at most, ``integrated`` whether it shares the host's memory. ``gpus``
are the machine's GPUs in the order of the PCI bus, each with ``pci``, ``uuid``, ``speed`` (CUDA's own order is the
fastest first) and ``mig`` (UUIDs of instances);
``contexts`` is a folder in which every process of a test keeps a file for as long as it has a context,
``compute_mode`` is as in the driver (2 prohibited, 3 one process only).
"""

from __future__ import annotations

import atexit
import json
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from simulated_memory import ALIGNMENT, Fault, Memory

__all__ = ["ALIGNMENT", "DEVICE", "HIDDEN", "NAME", "Device", "Fault", "SimulatedEvent", "SimulatedGraph", "Work"]

CALL_NS = 500  # of the host, for a call that puts something on a stream
EVENT_NS = 500  # what the times of events are multiples of
GLOBAL, THREAD_LOCAL, RELAXED = 0, 1, 2  # modes of a capture, as CUDA numbers them
DEFAULTS: dict[str, Any] = {
    "memory_bytes": 8 << 30,
    "inference_ns": 400_000,
    "launch_ns": 5_000,
    "accounted_bytes": 0,
    "default_clock_mhz": 1755,
    "memory_clocks_mhz": [2600],
    "temperatures_c": [40],
    "pstate": 0,
    "power_noise": 0.3,
    "read_s": 0.0,
    "powers_w": [],
    "copy_ns_per_byte": 0.05,
    "syncs": False,
    "stream_memory_operations": True,
    "target": "sm90",
    "fail_capture": False,
    "fail_sizing": False,
    "old_driver": False,
    "cuda_driver": 13020,
    "context_bytes": 1 << 20,
    "grain_bytes": 2 << 20,
    "primary_bytes": 256 << 20,
    "module_bytes": 8 << 20,
    "pinned_bytes": 4 << 30,
    "nvml": True,
    "idle_w": 60.0,
    "busy_w": 250.0,
    "tick_s": 0.1,
    "energy_counter": True,
    "power_factor": 1.0,
    "gpu_of_module": None,
    "mig": 0,
    "mps": False,
    "foreign": 0,
    "hide_pids": False,
    "may_lock": True,
    "graphics": 0,
    "throttle_hw": 0.0,
    "throttle_sw_thermal": 0.0,
    "power_capped": 0.0,
    "throttle_fields": True,
    "violations": True,
    "slowdown_bit": False,
    "sm_clocks_mhz": [1980],
    "ecc_uncorrected": 0,
    "ecc_corrected": 0,
    "remapped_rows": 0,
    "xid": 0,
    "pcie": [5, 16],
    "pcie_max": [5, 16],
    "confidential": 0,
    "power_limit_w": 300,
    "driver": "0.0",
    "drift": 0.0,
    "bimodal": 0.0,
    "leak_bytes": 0,
    "l2_bytes": 50 << 20,
    "understated_outputs": 1,
    "build_luck": 0.0,
    "integrated": 0,
    "state": "",
    "gpus": [{"pci": "0000:3B:00.0", "uuid": "GPU-00000000-0000-0000-0000-000000000000"}],
    "contexts": "",
    "compute_mode": 0,
}
PROHIBITED, EXCLUSIVE = 2, 3
HIDDEN = 1_000_000  # what the host's process ids are more than those in a container


def _named(gpus: list[dict[str, Any]], entry: str) -> dict[str, Any] | None:
    """The GPU that an entry of CUDA_VISIBLE_DEVICES names: by place, by UUID or the beginning of one, by instance."""
    if entry.isdigit():
        return gpus[int(entry)] if int(entry) < len(gpus) else None
    for gpu in gpus:
        if entry in gpu.get("mig", ()):
            return {**gpu, "uuid": entry}
    matching = [gpu for gpu in gpus if entry.startswith("GPU-") and gpu["uuid"].startswith(entry)]
    return matching[0] if len(matching) == 1 else None


@dataclass(eq=False)
class Work:
    """Something that runs on a stream: how long it takes, what it does, and when the host had launched it."""

    duration_ns: float | Callable[[], float]
    action: Callable[[], None]
    launched_ns: int = 0
    kernel: bool = False
    awaited: SimulatedEvent | None = None


@dataclass(eq=False)
class Capture:
    """What was put on a stream since it is captured; ``spoilt`` once something was done that cannot be meanwhile."""

    mode: int
    thread: int = field(default_factory=threading.get_ident)
    work: list[Work] = field(default_factory=list)
    spoilt: bool = False


@dataclass(eq=False)
class SimulatedStream:
    """Work in order, not yet run; while it is captured, work goes into the capture instead."""

    number: int
    ready_ns: int = 0
    pending: list[Work] = field(default_factory=list)
    capture: Capture | None = None
    alive: bool = True

    def __int__(self) -> int:
        return self.number


@dataclass(eq=False)
class SimulatedEvent:
    """A moment on the virtual clock, None until the work before it has run."""

    at_ns: int | None = None
    stream: SimulatedStream | None = None
    recorded: bool = False
    captured: bool = False
    blocking: bool = False
    alive: bool = True


@dataclass(eq=False)
class SimulatedGraph:
    """Work to be launched again and again."""

    work: list[Work]


class Device(Memory):
    """The one device of a process."""

    def __init__(self) -> None:
        super().__init__()
        self.knobs = {**DEFAULTS, **json.loads(os.environ.get("BENCHBOX_SIMULATION", "{}"))}
        self.clock_ns = 0  # of the device
        self.host_ns = 0
        self.busy_ns = 0  # in which the device worked
        self._free_ns = 0  # when the last inference ends
        self.on_work: Callable[[], None] = lambda: None
        self.sticky: Fault | None = None
        self.streams: dict[int, SimulatedStream] = {}
        self.graphs: set[SimulatedGraph] = set()
        self.captures = self.compilations = 0  # that TensorRT-RTX made by itself
        self.profiled: list[str] = []  # calls of the profiler API
        self._next_stream = 1
        self._inferences = 0
        self.has_context = False
        self._threads = threading.local()

    @property
    def last_error(self) -> str:
        """The status that this thread's last failed call of the runtime left behind, "" if none or asked for since."""
        return str(getattr(self._threads, "last_error", ""))

    @last_error.setter
    def last_error(self, status: str) -> None:
        self._threads.last_error = status

    def cuda_gpus(self) -> list[dict[str, Any]]:
        """The GPUs that CUDA shows this process, in its order."""
        if self.knobs["target"] == "none":
            return []
        found = list(self.knobs["gpus"])
        if os.environ.get("CUDA_DEVICE_ORDER") != "PCI_BUS_ID":
            found.sort(key=lambda gpu: -gpu.get("speed", 1.0))
        chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
        if chosen is None:
            return found
        visible: list[dict[str, Any]] = []
        for entry in map(str.strip, chosen.split(",")):
            gpu = _named(found, entry)
            if gpu is None:  # an entry that names none hides all that follow
                break
            visible.append(gpu)
        return visible

    def require_context(self) -> None:
        """Makes the process's context on the device, unless it has one."""
        self.check()
        if self.has_context:
            return
        mode = self.knobs["compute_mode"]
        if mode == PROHIBITED or (mode == EXCLUSIVE and (self.holders() or self.knobs["foreign"])):
            raise Fault("cudaErrorDevicesUnavailable", "the compute mode forbids it")
        self.has_context = True
        if self.knobs["contexts"]:
            file = Path(self.knobs["contexts"]) / str(os.getpid())
            file.touch()
            atexit.register(file.unlink, missing_ok=True)

    def holders(self) -> list[int]:
        """Ids of the processes of this test that have a context on the device."""
        own = [os.getpid()] if self.has_context else []
        if not self.knobs["contexts"]:
            return own
        found = (int(file.name) for file in Path(self.knobs["contexts"]).iterdir())
        return sorted({*own, *(pid for pid in found if Path(f"/proc/{pid}").exists())})

    @property
    def leaked_bytes(self) -> int:
        """What inferences have kept for ever."""
        return self._inferences * int(self.knobs["leak_bytes"])

    @property
    def resident_bytes(self) -> int:
        """What the context and the kernels that were loaded take."""
        modules = self.knobs["module_bytes"] if self._inferences else 0
        return int(self.knobs["primary_bytes"] + modules) if self.has_context else 0

    def check(self) -> None:
        """Raises the fault that stuck."""
        if self.sticky is not None:
            raise self.sticky

    def fail(self, status: str, reason: str) -> Fault:
        """Makes a fault stick and returns it."""
        self.sticky = Fault(status, reason)
        return self.sticky

    def require_safe(self, what: str) -> None:
        """Refuses what cannot be done while a stream is captured, and spoils the capture."""
        for stream in self.streams.values():
            capture = stream.capture
            if capture is None or capture.mode == RELAXED:
                continue
            if capture.mode == GLOBAL or capture.thread == threading.get_ident():
                capture.spoilt = True
                raise Fault("cudaErrorStreamCaptureUnsupported", f"{what} while a stream is captured")

    def new_stream(self) -> SimulatedStream:
        """A stream."""
        self.require_context()
        stream = SimulatedStream(self._next_stream)
        self.streams[stream.number] = stream
        self._next_stream += 1
        return stream

    def stream_of(self, handle: Any) -> SimulatedStream:
        """The stream of an object or a number; a destroyed one is a fault."""
        stream = self.streams.get(int(handle))
        if stream is None or not stream.alive:
            raise self.fail("cudaErrorInvalidResourceHandle", f"stream {int(handle)}")
        return stream

    def destroy_stream(self, handle: Any) -> None:
        """Runs what is left and ends the stream."""
        stream = self.stream_of(handle)
        self.run(stream)
        stream.alive = False

    def put(self, handle: Any, work: Work) -> None:
        """Puts work on a stream, or into its capture."""
        self.check()
        stream = self.stream_of(handle)
        self.host_ns += int(self.knobs["launch_ns"]) if work.kernel else CALL_NS
        work.launched_ns = self.host_ns
        capture = stream.capture
        if capture is None:
            stream.pending.append(work)
            return
        if work.kernel and self.knobs["fail_capture"] == "enqueue":
            capture.spoilt = True
            raise Fault("cudaErrorStreamCaptureUnsupported", "the simulation was told to refuse")
        if capture.spoilt:
            raise Fault("cudaErrorStreamCaptureInvalidated", "the capture is spoilt")
        capture.work.append(work)

    def run(self, stream: SimulatedStream) -> None:
        """Runs everything that is pending, in order; the host waits for it."""
        self.check()
        if stream.capture is not None:
            stream.capture.spoilt = True
            raise Fault("cudaErrorStreamCaptureUnsupported", "waiting for a stream that is being captured")
        if stream.pending:
            while stream.pending:
                self._step(stream)
            self.host_ns = max(self.host_ns, stream.ready_ns)

    def _step(self, stream: SimulatedStream) -> None:
        work = stream.pending.pop(0)
        if work.awaited is not None:
            self._reach(work.awaited)
            stream.ready_ns = max(stream.ready_ns, work.awaited.at_ns or 0)
        self.on_work()
        taken = round(work.duration_ns() if callable(work.duration_ns) else work.duration_ns)
        # Copies have engines of their own; inferences of several streams share the device.
        start = max(stream.ready_ns, work.launched_ns, self._free_ns if work.kernel else 0)
        stream.ready_ns = start + taken
        if work.kernel:
            self._free_ns = stream.ready_ns
        self.clock_ns = max(self.clock_ns, stream.ready_ns)
        self.busy_ns += taken
        work.action()

    def next_inference_ns(self) -> float:
        """How long the inference that runs now takes, by the knobs."""
        place, self._inferences = self._inferences, self._inferences + 1
        usual = self.knobs["inference_ns"] * (1 + self.knobs["drift"] * place / 1000)
        if not self.knobs["bimodal"]:
            return float(usual)
        # Two exact values would be two ticks of a coarse clock: each mode has a little width.
        slower = self.knobs["bimodal"] if place * 7919 % 10 < 4 else 0.0
        return float(usual * (1 + slower + 0.001 * (place % 7)))

    def copy(self, handle: Any, size: int, action: Callable[[], None]) -> None:
        """Puts a copy on a stream."""
        self.put(handle, Work(size * self.knobs["copy_ns_per_byte"], action))

    def record(self, event: SimulatedEvent, handle: Any) -> None:
        """Puts an event on a stream."""
        if not event.alive:
            raise Fault("cudaErrorInvalidResourceHandle", "event destroyed")
        stream = self.stream_of(handle)
        event.recorded, event.at_ns, event.stream = True, None, stream
        event.captured = stream.capture is not None

        def happen() -> None:
            event.at_ns = stream.ready_ns

        self.put(handle, Work(0, happen))

    def hold(self, handle: Any, event: SimulatedEvent) -> None:
        """Lets a stream's later work wait until an event of another stream has happened; not recorded: at once."""
        if not event.alive:
            raise Fault("cudaErrorInvalidResourceHandle", "event destroyed")
        self.put(handle, Work(0, lambda: None, awaited=event))

    def hold_back(self, handle: Any, is_open: Callable[[], bool]) -> None:
        """Lets a stream's later work wait until ``is_open``; who waits for a stream that stays shut waits for ever."""
        stream = self.stream_of(handle)

        def reach() -> None:
            patience = time.monotonic() + 10
            while not is_open():
                if time.monotonic() > patience:
                    raise self.fail("cudaErrorLaunchTimeout", "the stream was never released")
                time.sleep(0.001)
            stream.ready_ns = max(stream.ready_ns, self.host_ns)  # it was opened a moment ago at most

        self.put(handle, Work(0, reach))

    def wait(self, event: SimulatedEvent) -> None:
        """Runs the event's stream, and what that waits for, until it has happened; the host waits for it."""
        self.check()
        self.require_safe("waiting for an event")
        self._require_readable(event)
        self._reach(event)
        self.host_ns = max(self.host_ns, event.at_ns or 0)

    def _reach(self, event: SimulatedEvent) -> None:
        while event.recorded and event.at_ns is None and event.stream is not None and event.stream.pending:
            self._step(event.stream)

    def _require_readable(self, event: SimulatedEvent) -> None:
        if not event.alive:
            raise Fault("cudaErrorInvalidResourceHandle", "event destroyed")
        if event.captured:
            raise Fault("cudaErrorCapturedEvent", "the event was recorded into a capture")

    def elapsed_ms(self, start: SimulatedEvent, end: SimulatedEvent) -> float:
        """Virtual time between two events that have happened, as the 32-bit number of milliseconds that CUDA gives."""
        for event in (start, end):
            self._require_readable(event)
        if start.at_ns is None or end.at_ns is None:
            unknown = "cudaErrorNotReady" if start.recorded and end.recorded else "cudaErrorInvalidResourceHandle"
            raise Fault(unknown, "an event has not happened")
        ticks = end.at_ns // EVENT_NS - start.at_ns // EVENT_NS
        return float(np.float32(ticks * EVENT_NS / 1e6))

    def begin_capture(self, handle: Any, mode: int) -> None:
        """Opens a capture of a stream; other threads may capture others."""
        self.check()
        if self.knobs["fail_capture"] in {True, "begin"}:
            raise Fault("cudaErrorStreamCaptureUnsupported", "the simulation was told to refuse")
        stream = self.stream_of(handle)
        if stream.capture is not None:
            stream.capture.spoilt = True
            raise Fault("cudaErrorIllegalState", "the stream is captured already")
        if stream.pending:
            self.run(stream)
        stream.capture = Capture(mode)

    def end_capture(self, handle: Any) -> SimulatedGraph:
        """Closes the capture and returns what was captured, which may be nothing."""
        stream = self.stream_of(handle)
        if stream.capture is None:
            raise Fault("cudaErrorIllegalState", "no capture is open")
        if stream.capture.mode != RELAXED and stream.capture.thread != threading.get_ident():
            raise Fault("cudaErrorStreamCaptureWrongThread", "another thread has begun it")
        capture, stream.capture = stream.capture, None
        if capture.spoilt or self.knobs["fail_capture"] == "end":
            raise Fault("cudaErrorStreamCaptureInvalidated", "something was done that cannot be captured")
        return self.new_graph(capture.work)

    def instantiate(self, graph: SimulatedGraph) -> SimulatedGraph:
        """What can be launched."""
        if self.knobs["fail_capture"] == "instantiate":
            raise Fault("cudaErrorNotSupported", "the simulation was told to refuse")
        return self.new_graph(list(graph.work))

    def new_graph(self, work: list[Work]) -> SimulatedGraph:
        """A graph, alive until it is destroyed."""
        graph = SimulatedGraph(work)
        self.graphs.add(graph)
        return graph

    def destroy_graph(self, graph: SimulatedGraph) -> None:
        """Ends a graph."""
        if graph not in self.graphs:
            raise Fault("cudaErrorInvalidResourceHandle", "graph destroyed")
        self.graphs.discard(graph)
        graph.work.clear()

    def launch(self, graph: SimulatedGraph, handle: Any) -> None:
        """Puts a graph's work on a stream, by one launch."""
        if graph not in self.graphs:
            raise self.fail("cudaErrorInvalidResourceHandle", "graph destroyed")
        if self.stream_of(handle).capture is not None:
            self.require_safe("launching a graph into a captured stream")
        self.host_ns += int(self.knobs["launch_ns"])
        stream = self.stream_of(handle)
        self.check()
        stream.pending += [replace(work, launched_ns=self.host_ns) for work in graph.work]


DEVICE = Device()
NAME = "simulated GPU, no time passes"
