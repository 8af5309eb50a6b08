"""Where does host memory go, and how long until the first answer? Phases of a process, one value each.

``host_memory_runtime``: bytes resident after the interpreter and the runtime's libraries were loaded.
``host_memory_load``: by how much loading the network raised the most that was ever resident (weights, and what the
runtime prepares of them). ``host_memory_run``: by how much running it raised that further (activations, arenas). The
three add up to ``peak_host_memory``; what did not grow is absent. ``host_memory_first``: the part of
``host_memory_run`` that the first inference raised. ``host_memory_steady``: bytes resident after some inferences, what
a deployment goes on holding. ``load_time``: seconds to load the runtime and the network in a fresh process;
``first_inference``: seconds of the first inference, cold.
"""

from __future__ import annotations

from collections.abc import Callable

from benchbox.metrics.metric import METRICS, Metric
from benchbox.metrics.workload import Workload
from benchbox.schema.reading import Better
from benchbox.schema.trial import Pass, Trial

RUNTIME, LOAD, FIRST, RUN, STEADY = "runtime", "load", "first", "run", "steady"
_GROWTH = {
    "host_memory_runtime": ("", RUNTIME),
    "host_memory_load": (RUNTIME, LOAD),
    "host_memory_run": (LOAD, RUN),
    "host_memory_first": (LOAD, FIRST),
    "host_memory_steady": ("", STEADY),
}


def _growth(before: str, after: str) -> Callable[[Trial], int]:
    return lambda trial: trial.host_bytes.get(after, 0) - trial.host_bytes.get(before, 0)


def _value_of(growth: Callable[[Trial], int]) -> Callable[[Trial, Workload], float]:
    return lambda trial, _: float(growth(trial))


def _grew(growth: Callable[[Trial], int]) -> Callable[[Trial], bool]:
    # Records of older versions lack phases: what has no end has not grown.
    return lambda trial: bool(trial.host_bytes) and growth(trial) > 0


for _name, (_before, _after) in _GROWTH.items():
    _growth_of = _growth(_before, _after)
    METRICS.register(
        _name,
        Metric(
            name=_name,
            unit="bytes",
            better=Better.LOWER,
            pass_=Pass.MEMORY,
            value=_value_of(_growth_of),
            applies=_grew(_growth_of),
        ),
    )
METRICS.register(
    "load_time",
    Metric(
        name="load_time",
        unit="s",
        better=Better.LOWER,
        pass_=Pass.TIMING,
        value=lambda trial, _: trial.load_s,
        applies=lambda trial: trial.load_s > 0,
    ),
)
METRICS.register(
    "first_inference",
    Metric(
        name="first_inference",
        unit="s",
        better=Better.LOWER,
        pass_=Pass.TIMING,
        value=lambda trial, _: trial.warmup_ns[0] * 1e-9,
        applies=lambda trial: bool(trial.warmup_ns),
    ),
)
