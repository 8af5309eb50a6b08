"""What does a GPU do that exists only in tests?

It keeps memory, streams, events and graphs, and a clock of its own that advances when work runs. It is strict where a
real one is undefined: memory is looked up by address, so that use after free, reading beyond the end and freeing twice
are faults; work runs when its stream is waited for, so that results read too early are not there; only one capture may
be open. A fault sticks, as on a real device: every later call reports it.

``BENCHBOX_SIMULATION`` holds its knobs as JSON: ``memory_bytes``, ``inference_ns``, ``launch_ns`` (what starting one
takes the host), ``syncs`` (the runtime waits in its call), ``stream_memory_operations`` (whether streams can be held),
``target`` ("sm90"),
``fail_capture``, ``fail_sizing`` (of the working memory), ``old_driver``, ``context_bytes``; and for ``pynvml``:
``nvml`` (whether it is there), ``idle_w``,
``busy_w``, ``tick_s``, ``energy_counter``, ``power_factor`` (of the power sensor against the truth), ``mig``, ``mps``,
``foreign`` (processes), ``graphics`` (processes), ``hide_pids``, ``may_lock``, ``state`` (the file that clocks are
locked in), ``throttle_hw``, ``throttle_sw_thermal`` and ``power_capped`` (shares of the time), ``throttle_fields`` and
``violations`` (whether those counters are there), ``slowdown_bit``, ``sm_clocks_mhz`` (read in turn),
``ecc_uncorrected``, ``ecc_corrected`` and ``remapped_rows`` (that come up after the first reading), ``xid``, ``pcie``
and ``pcie_max`` (generation and lanes), ``confidential``, ``power_limit_w``, ``driver``. ``drift`` is how much longer
(as a ratio) an inference takes after 1000 others, ``bimodal`` how much longer 4 of 10 take, ``leak_bytes`` what an
inference keeps for ever, ``l2_bytes`` the size of its cache. ``gpus`` are the machine's GPUs in the order of the PCI
bus, each with ``pci``, ``uuid``, ``speed`` (CUDA's own order is the fastest first) and ``mig`` (UUIDs of instances);
``contexts`` is a folder in which every process of a test keeps a file for as long as it has a context,
``compute_mode`` is as in the driver (2 prohibited, 3 one process only).
"""

from __future__ import annotations

import atexit
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

ALIGNMENT = 256
COPY_NS_PER_BYTE = 0.05
LAUNCH_NS = 2_000
DEFAULTS: dict[str, Any] = {
    "memory_bytes": 8 << 30,
    "inference_ns": 400_000,
    "launch_ns": 0,
    "syncs": False,
    "stream_memory_operations": True,
    "target": "sm90",
    "fail_capture": False,
    "fail_sizing": False,
    "old_driver": False,
    "context_bytes": 1 << 20,
    "nvml": True,
    "idle_w": 60.0,
    "busy_w": 250.0,
    "tick_s": 0.1,
    "energy_counter": True,
    "power_factor": 1.0,
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


class Fault(Exception):
    """A CUDA status that is not success, by its name."""

    def __init__(self, status: str, reason: str = "") -> None:
        super().__init__(f"{status}: {reason}")
        self.status = status


@dataclass(eq=False)
class Work:
    """Something that runs on a stream: how long it takes, what it does, and when the host had started it."""

    duration_ns: float | Callable[[], float]
    action: Callable[[], None]
    ready_ns: int = 0


@dataclass(eq=False)
class SimulatedStream:
    """Work in order, not yet run; while it is captured, work goes into the capture instead."""

    number: int
    pending: list[Work] = field(default_factory=list)
    captured: list[Work] | None = None
    alive: bool = True

    def __int__(self) -> int:
        return self.number


@dataclass(eq=False)
class SimulatedEvent:
    """A moment on the virtual clock, None until the work before it has run."""

    at_ns: int | None = None
    stream: SimulatedStream | None = None
    recorded: bool = False
    blocking: bool = False
    alive: bool = True


@dataclass(eq=False)
class SimulatedGraph:
    """Work to be launched again and again."""

    work: list[Work]
    alive: bool = True


class Device:
    """The one device of a process."""

    def __init__(self) -> None:
        self.knobs = {**DEFAULTS, **json.loads(os.environ.get("BENCHBOX_SIMULATION", "{}"))}
        self.clock_ns = 0
        self.host_ns = 0
        self.on_work: Callable[[], None] = lambda: None
        self.sticky: Fault | None = None
        self.blocks: dict[int, np.ndarray] = {}
        self.host: dict[int, np.ndarray] = {}
        self.streams: dict[int, SimulatedStream] = {}
        self._next_address = 0x7F00_0000_0000
        self._next_stream = 1
        self._inferences = 0
        self.has_context = False

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
    def used_bytes(self) -> int:
        """Device memory in use."""
        leaked = self._inferences * int(self.knobs["leak_bytes"])
        return leaked + sum(block.nbytes for block in self.blocks.values())

    def check(self) -> None:
        """Raises the fault that stuck."""
        if self.sticky is not None:
            raise self.sticky

    def fail(self, status: str, reason: str) -> Fault:
        """Makes a fault stick and returns it."""
        self.sticky = Fault(status, reason)
        return self.sticky

    def allocate(self, size: int) -> int:
        """New memory full of noise, never zeros."""
        self.require_context()
        if size <= 0:
            raise Fault("cudaErrorInvalidValue", f"{size} bytes")
        if self.used_bytes + size > self.knobs["memory_bytes"]:
            raise Fault("cudaErrorMemoryAllocation", f"{size} bytes")
        address = self._next_address
        self._next_address += -(-size // ALIGNMENT) * ALIGNMENT + ALIGNMENT
        self.blocks[address] = np.full(size, 0xA5, dtype=np.uint8)
        return address

    def free(self, address: int) -> None:
        """Gives memory back; only what ``allocate`` returned can be."""
        self.check()
        if self.blocks.pop(address, None) is None:
            raise self.fail("cudaErrorInvalidValue", f"{address:#x} is not allocated")

    def view(self, address: int, size: int) -> np.ndarray:
        """The bytes at an address; outside of what is allocated is an illegal access."""
        for start, block in self.blocks.items():
            if start <= address and address + size <= start + block.nbytes:
                return block[address - start : address - start + size]
        raise self.fail("cudaErrorIllegalAddress", f"{size} bytes at {address:#x}")

    def allocate_host(self, size: int) -> int:
        """New pinned memory: real memory, at its real address."""
        self.require_context()
        array = np.full(size, 0x5A, dtype=np.uint8)
        self.host[array.ctypes.data] = array
        return int(array.ctypes.data)

    def free_host(self, address: int) -> None:
        """Gives pinned memory back."""
        if self.host.pop(address, None) is None:
            raise Fault("cudaErrorInvalidValue", f"{address:#x} is not pinned")

    def host_view(self, address: int, size: int) -> np.ndarray:
        """The bytes of pinned memory at an address."""
        array = self.host.get(address)
        if array is None or size > array.nbytes:
            raise Fault("cudaErrorInvalidValue", f"{size} bytes at {address:#x} are not pinned")
        return array[:size]

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
        """Puts work on a stream, or into its capture; it cannot run before the host has put it there."""
        self.check()
        stream = self.stream_of(handle)
        work.ready_ns = self.host_ns
        (stream.pending if stream.captured is None else stream.captured).append(work)

    def run(self, stream: SimulatedStream) -> None:
        """Runs everything that is pending, in order."""
        self.check()
        if stream.captured is not None:
            raise Fault("cudaErrorStreamCaptureUnsupported", "waiting for a stream that is being captured")
        while stream.pending:
            self._step(stream)
        self.host_ns = max(self.host_ns, self.clock_ns)  # the host has waited

    def launched(self) -> None:
        """The host spent its time on starting an inference: ``launch_ns``."""
        self.host_ns += int(self.knobs["launch_ns"])

    def hold_back(self, handle: Any, is_open: Callable[[], bool]) -> None:
        """Lets a stream's later work wait until ``is_open``; who waits for a stream that stays shut waits for ever."""

        def reach() -> None:
            patience = time.monotonic() + 10
            while not is_open():
                if time.monotonic() > patience:
                    raise self.fail("cudaErrorLaunchTimeout", "the stream was never released")
                time.sleep(0.001)
            self.clock_ns = max(self.clock_ns, self.host_ns)  # it was opened a moment ago at most

        self.put(handle, Work(0, reach))

    def _step(self, stream: SimulatedStream) -> None:
        work = stream.pending.pop(0)
        self.on_work()
        self.clock_ns = max(self.clock_ns, work.ready_ns)
        self.clock_ns += round(work.duration_ns() if callable(work.duration_ns) else work.duration_ns)
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
        self.put(handle, Work(size * COPY_NS_PER_BYTE, action))

    def record(self, event: SimulatedEvent, handle: Any) -> None:
        """Puts an event on a stream."""
        if not event.alive:
            raise Fault("cudaErrorInvalidResourceHandle", "event destroyed")
        event.recorded, event.at_ns, event.stream = True, None, self.stream_of(handle)

        def happen() -> None:
            event.at_ns = self.clock_ns

        self.put(handle, Work(0, happen))

    def hold(self, handle: Any, event: SimulatedEvent) -> None:
        """Lets a stream's later work wait until an event of another stream has happened; not recorded: at once."""
        if not event.alive:
            raise Fault("cudaErrorInvalidResourceHandle", "event destroyed")

        def reach() -> None:
            while event.recorded and event.at_ns is None and event.stream is not None and event.stream.pending:
                self._step(event.stream)

        self.put(handle, Work(0, reach))

    def wait(self, event: SimulatedEvent) -> None:
        """Runs all streams until the event has happened."""
        self.check()
        if not event.alive:
            raise Fault("cudaErrorInvalidResourceHandle", "event destroyed")
        for stream in self.streams.values():
            if event.recorded and event.at_ns is None and stream.alive:
                self.run(stream)

    def elapsed_ns(self, start: SimulatedEvent, end: SimulatedEvent) -> int:
        """Virtual time between two events that have happened."""
        if start.at_ns is None or end.at_ns is None:
            unknown = "cudaErrorNotReady" if start.recorded and end.recorded else "cudaErrorInvalidResourceHandle"
            raise Fault(unknown, "an event has not happened")
        return end.at_ns - start.at_ns

    def begin_capture(self, handle: Any) -> None:
        """Opens a capture; only one may be open."""
        self.check()
        if self.knobs["fail_capture"]:
            raise Fault("cudaErrorStreamCaptureUnsupported", "the simulation was told to refuse")
        if any(stream.captured is not None for stream in self.streams.values()):
            raise Fault("cudaErrorIllegalState", "another capture is open")
        stream = self.stream_of(handle)
        if stream.pending:
            self.run(stream)
        stream.captured = []

    def end_capture(self, handle: Any) -> SimulatedGraph:
        """Closes the capture and returns what was captured."""
        stream = self.stream_of(handle)
        if stream.captured is None:
            raise Fault("cudaErrorIllegalState", "no capture is open")
        graph, stream.captured = SimulatedGraph(stream.captured), None
        if not graph.work:
            raise Fault("cudaErrorStreamCaptureInvalidated", "nothing was captured")
        return graph

    def launch(self, graph: SimulatedGraph, handle: Any) -> None:
        """Puts a graph's work on a stream."""
        if not graph.alive:
            raise self.fail("cudaErrorInvalidResourceHandle", "graph destroyed")
        self.launched()
        for work in graph.work:
            self.put(handle, replace(work))


DEVICE = Device()
NAME = "simulated GPU, no time passes"
