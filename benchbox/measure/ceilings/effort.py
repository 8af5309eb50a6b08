"""Which shapes and sizes are tried, in how many processes, and for how long?"""

from __future__ import annotations

from dataclasses import dataclass

from benchbox.machine.caches import Caches
from benchbox.measure.ceilings.native import ADD, SCALE
from benchbox.schema.device import Level
from benchbox.schema.plan import MeasurementPlan

Shape = tuple[int, int, int]
# Square: nothing gains from a special form. Small ones first: where memory is short they are what fits.
CPU_SHAPES: tuple[Shape, ...] = ((512, 512, 512), (1024, 1024, 1024), (1536, 1536, 1536))
# From so many CPUs on a larger one too: a product should take a tenth of a second at most.
LARGER: tuple[tuple[int, Shape], ...] = ((8, (2048, 2048, 2048)), (32, (4096, 4096, 4096)))
GPU_SHAPES: tuple[Shape, ...] = ((4096, 4096, 4096), (8192, 8192, 8192))
# Of 1x1 convolutions: as many pixels, a square picture, as channels. As usual in the late layers of networks.
CPU_CONVOLUTION: Shape = (1024, 1024, 1024)
GPU_CONVOLUTION: Shape = (4096, 4096, 4096)
_SMALLEST, _LEAST_DRAM = 16 << 10, 256 << 20
_SHARE_OF_MEMORY = 8


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How much is done.

    ``shapes`` of products and that of a ``convolution`` are tried in one process each, the best in ``processes``, or
    ``single`` with one thread (0: not at all). Each is timed for ``window_s`` after ``warmup_s``. ``stream_s`` is for
    each kernel and working set of numpy. On a slow machine fewer processes run, two at least, so that all takes about
    ``budget_s``. ``sweeps``: all levels of memory, else main memory alone. ``libraries``: numpy and PyTorch are called
    as well, else only the backends of deployment.
    """

    shapes: tuple[Shape, ...]
    convolution: Shape
    processes: int
    single: int
    warmup_s: float
    window_s: float
    stream_s: float
    budget_s: float
    sweeps: bool = True
    libraries: bool = True

    def plan(self, threads: int) -> MeasurementPlan:
        """The plan of one process: a window of a set length, one slot, so that the working set is the operands'."""
        return MeasurementPlan(
            threads=threads,
            trials=self.processes,
            memory_trials=0,
            warmup_s=self.warmup_s,
            warmup_max_s=self.warmup_s,
            warmup_iterations=2,
            min_time_s=self.window_s,
            max_time_s=self.window_s,
            min_samples=3,
            input_slots=1,
            timeout_s=240.0,
        )


def usual_effort(device: str, cpus: int) -> Effort:
    """The default: some minutes."""
    larger = tuple(shape for least, shape in LARGER if cpus >= least)
    return Effort(
        shapes=(*CPU_SHAPES, *larger) if device == "cpu" else GPU_SHAPES,
        convolution=CPU_CONVOLUTION if device == "cpu" else GPU_CONVOLUTION,
        processes=5,
        single=3 if device == "cpu" else 0,
        warmup_s=0.3,
        window_s=0.8,
        stream_s=0.05,
        budget_s=270.0,
    )


def quick_effort(device: str) -> Effort:
    """One shape in two processes, all threads, main memory: less than half a minute."""
    shape = GPU_SHAPES[0] if device != "cpu" else CPU_SHAPES[1]
    return Effort(
        shapes=(shape,),
        convolution=CPU_CONVOLUTION if device == "cpu" else GPU_CONVOLUTION,
        processes=2,
        single=0,
        warmup_s=0.1,
        window_s=0.3,
        stream_s=0.1,
        budget_s=25.0,
        sweeps=False,
        libraries=False,
    )


def dram_bytes(caches: Caches, available: int | None) -> int:
    """A working set that no cache holds: four times the last level, at least 256 MiB; an eighth of memory at most."""
    last = caches.llc or caches.l2 or 0
    wanted = max(_LEAST_DRAM, 4 * last)
    return wanted if available is None else min(wanted, max(1 << 20, available // _SHARE_OF_MEMORY))


def passes_of(
    caches: Caches, *, threads: int, available: int | None, sweeps: bool
) -> tuple[tuple[str, int, Level], ...]:
    """Kernel, bytes of all threads and level of each pass: 16 KiB a thread and up by factors of 2.

    A working set between two levels is left out: both serve it. Main memory is where no cache is known, too.
    """
    largest = dram_bytes(caches, available)
    sizes = [largest]
    if sweeps:
        size = _SMALLEST * threads
        while size < largest:
            sizes += [size, size * 3 // 2]
            size *= 2
    found = []
    for total in sorted(set(sizes)):
        level = Level.DRAM if total == largest else caches.level_of(total, threads=threads)
        if level is not None and (level is not Level.DRAM or total == largest):
            found += [(kernel, total, level) for kernel in (SCALE, ADD)]
    return tuple(found)
