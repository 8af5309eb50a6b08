"""How much memory of the GPU does a network need? By each method that reports it, under separate names.

``peak_device_memory``: how far the device's free memory fell, from before anything was loaded to its lowest after
loading and running. It holds weights, working memory, buffers and what libraries keep, and is only right where no other
process uses the device. ``device_memory_allocated``: the most that was allocated at once, counted allocation by
allocation. ``device_memory_declared``: weights and working memory as the engine declares them, a promise and no
measurement. ``device_memory_pool``: the high-water mark of CUDA's default memory pool, used or kept.
``device_memory_process``: what NVML attributes to the process after it ran. ``device_memory_accounted``: the most that
the driver accounts to the process, where an administrator has switched accounting on. ``device_memory_context``: the
CUDA context and what libraries load with it, before the network: a process takes it beside ``peak_device_memory``.

By phase, of the device's free memory like ``peak_device_memory``: ``device_memory_load``, what is held after loading;
``device_memory_first``, by how much the first inference raised that; ``device_memory_steady``, what is held after some
inferences. All in bytes, from a pass of its own.
"""

from __future__ import annotations

from collections.abc import Callable

from benchbox.metrics.host_phases import FIRST, LOAD, STEADY
from benchbox.metrics.metric import METRICS, Metric
from benchbox.metrics.workload import Workload
from benchbox.schema.reading import Better
from benchbox.schema.trial import Pass, Trial


def held_name(phase: str) -> str:
    """Of a trial's device bytes, those that are held at the end of a phase."""
    return f"held_{phase}"


_PARTS = {
    "peak_device_memory": ("device_delta",),
    "device_memory_allocated": ("allocated_peak",),
    "device_memory_declared": ("declared_weights", "declared_context"),
    "device_memory_pool": ("pool_peak",),
    "device_memory_process": ("process",),
    "device_memory_accounted": ("accounted",),
    "device_memory_context": ("context",),
    "device_memory_load": (held_name(LOAD),),
    "device_memory_steady": (held_name(STEADY),),
}


def _sum_of(parts: tuple[str, ...]) -> Callable[[Trial, Workload], float]:
    return lambda trial, _: float(sum(trial.device_bytes[part] for part in parts))


def _has(parts: tuple[str, ...]) -> Callable[[Trial], bool]:
    # A zero is a method that saw nothing (an empty pool, a process that NVML does not know): unknown, not free of cost.
    return lambda trial: all(trial.device_bytes.get(part, 0) > 0 for part in parts)


def _counted(trial: Trial) -> bool:
    """Whether the process counted its runtime's allocations; one that gave nothing but that count gave no other."""
    return "allocated_peak" in trial.device_bytes


def _as_deployed(trial: Trial) -> bool:
    return not trial.device_bytes or "device_delta" in trial.device_bytes


for _name, _parts in _PARTS.items():
    METRICS.register(
        _name,
        Metric(
            name=_name,
            unit="bytes",
            better=Better.LOWER,
            pass_=Pass.MEMORY,
            value=_sum_of(_parts),
            applies=_has(_parts),
            asked=_counted if "allocated_peak" in _parts else _as_deployed,
        ),
    )


def _first_growth(trial: Trial) -> int:
    found = trial.device_bytes
    return found.get(held_name(FIRST), 0) - found.get(held_name(LOAD), 0)


METRICS.register(
    "device_memory_first",
    Metric(
        name="device_memory_first",
        unit="bytes",
        better=Better.LOWER,
        pass_=Pass.MEMORY,
        value=lambda trial, _: float(_first_growth(trial)),
        applies=lambda trial: _first_growth(trial) > 0,
        asked=_as_deployed,
    ),
)
