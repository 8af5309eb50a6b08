"""How long does the device work on an inference, and how long does the host take to start it?

``gpu_time_p50``: median over inferences of the time between the two events right before and right behind the work of
one inference, on the stream of the work. Gaps that the host leaves between kernels are inside. ``enqueue_time_p50``:
median of the host time of the one call that starts the work. ``h2d_time_p50`` and ``d2h_time_p50``: medians of the
device times of copying the inputs of a batch from pinned memory and its outputs back, by themselves, where requested
(``--transfers``). All per process, in seconds.

``gpu_compute_time_p50``: median of the same time where the stream was held back until all work of the inference lay on
it (``measure/loop/gated.py``): what the device takes when it need not wait for the host. trtexec's "GPU Compute Time"
comes near it with two requests in flight. In mode isolated ``gpu_time_p50`` is longer by the first kernel's launch.

``graph_capture_time``: seconds that a process took to capture its CUDA graphs, warm inferences included.

``gpu_cycles_p50``: ``gpu_time_p50`` times the SM clock (median of what was read between the blocks of the same
process): what an inference costs where arithmetic is the limit, whatever the clock was. Where clocks are not held it
separates a slower network from a slower clock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from benchbox.metrics.metric import METRICS, Metric, steady
from benchbox.metrics.workload import Workload
from benchbox.schema.reading import Better
from benchbox.schema.trial import Pass, Trial
from benchbox.stats.quantile import percentile

CYCLES, COMPUTE = "gpu_cycles_p50", "gpu_compute_time_p50"
# Counters of a trial, in s and as numbers; see ``measure/loop/gated.py``.
GATED, GATED_SAMPLES, GATE_FORCED = "gpu_compute_p50_s", "gpu_compute_samples", "gpu_gate_forced"
CAPTURED = "graph_capture_s"  # in s; see ``CapturingSession``
_SAMPLES: dict[str, Callable[[Trial], Sequence[int]]] = {
    "gpu_time_p50": lambda trial: steady(trial, trial.gpu_ns),
    "enqueue_time_p50": lambda trial: steady(trial, trial.enqueue_ns),
    "h2d_time_p50": lambda trial: trial.h2d_ns,
    "d2h_time_p50": lambda trial: trial.d2h_ns,
}


def _median_of(samples: Callable[[Trial], Sequence[int]]) -> Callable[[Trial, Workload], float]:
    return lambda trial, _: percentile(sorted(samples(trial)), 0.5) * 1e-9


def _has(samples: Callable[[Trial], Sequence[int]]) -> Callable[[Trial], bool]:
    # Events have a resolution of half a microsecond: a copy that is shorter has the same time at both ends.
    return lambda trial: bool(samples(trial)) and percentile(sorted(samples(trial)), 0.5) > 0


for _name, _samples in _SAMPLES.items():
    METRICS.register(
        _name,
        Metric(
            name=_name,
            unit="s",
            better=Better.LOWER,
            pass_=Pass.TIMING,
            value=_median_of(_samples),
            applies=_has(_samples),
        ),
    )


METRICS.register(
    COMPUTE,
    Metric(
        name=COMPUTE,
        unit="s",
        better=Better.LOWER,
        pass_=Pass.TIMING,
        value=lambda trial, _: trial.counters[GATED],
        applies=lambda trial: GATED in trial.counters,
        method=lambda trial: f"stream held back, {trial.counters[GATED_SAMPLES]:.0f} inferences a process",
    ),
)


METRICS.register(
    "graph_capture_time",
    Metric(
        name="graph_capture_time",
        unit="s",
        better=Better.LOWER,
        pass_=Pass.TIMING,
        value=lambda trial, _: trial.counters[CAPTURED],
        applies=lambda trial: CAPTURED in trial.counters,
    ),
)


def gpu_work_s(trial: Trial) -> float:
    """The device's time of one inference in s: gated where that was taken, else between the events as timed."""
    return trial.counters.get(GATED) or percentile(sorted(steady(trial, trial.gpu_ns)), 0.5) * 1e-9


def _cycles(trial: Trial, workload: Workload) -> float:
    return _median_of(_SAMPLES["gpu_time_p50"])(trial, workload) * trial.counters["gpu_clock_median_hz"]


METRICS.register(
    CYCLES,
    Metric(
        name=CYCLES,
        unit="1",
        better=Better.LOWER,
        pass_=Pass.TIMING,
        value=_cycles,
        applies=lambda trial: bool(trial.gpu_ns) and "gpu_clock_median_hz" in trial.counters,
        method=lambda _: "SM clock by NVML, between blocks",
    ),
)
