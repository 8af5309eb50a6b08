"""What would trtexec print? By its own definitions and estimators (``stats/trtexec.py``); only with ``--like``.

``trtexec_latency_*`` are of the sum copy in + compute + copy out, which is no time that a request takes: neither the
wait for the request before it nor the launch is inside. ``trtexec_gpu_time_*`` are of its "GPU Compute Time",
``trtexec_throughput`` is in queries per second. Nothing is left out but the warm-up: there is no search for where it
ends. All in seconds, per process.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from functools import partial

from benchbox.metrics.metric import METRICS, Metric
from benchbox.metrics.workload import Workload
from benchbox.schema.reading import Better
from benchbox.schema.trial import Pass, Trial
from benchbox.stats import trtexec

STATISTICS: dict[str, Callable[[Sequence[int]], float]] = {
    "min": min,
    "max": max,
    "mean": statistics.fmean,
    "median": trtexec.median,
    "p90": partial(trtexec.percentile, percent=90),
    "p95": partial(trtexec.percentile, percent=95),
    "p99": partial(trtexec.percentile, percent=99),
}
TIMES: dict[str, Callable[[Trial], Sequence[int]]] = {
    "latency": lambda trial: trtexec.latencies(trial.h2d_ns, trial.gpu_ns, trial.d2h_ns),
    "gpu_time": lambda trial: trial.gpu_ns,
    "enqueue_time": lambda trial: trial.enqueue_ns,
    "h2d_time": lambda trial: trial.h2d_ns,
    "d2h_time": lambda trial: trial.d2h_ns,
}


def _metric(name: str, times: Callable[[Trial], Sequence[int]], reduce: Callable[[Sequence[int]], float]) -> Metric:
    def value(trial: Trial, _: Workload) -> float:
        return reduce(times(trial)) * 1e-9

    def applies(trial: Trial) -> bool:
        return bool(trial.like) and bool(times(trial)) and min(times(trial)) > 0

    return Metric(
        name=name, unit="s", better=Better.LOWER, pass_=Pass.TIMING, value=value, applies=applies, method=_method
    )


def _method(trial: Trial) -> str:
    return f"as {trial.like} computes it"


def _queries_per_s(trial: Trial, _: Workload) -> float:
    return trtexec.throughput(len(trial.gpu_ns), trial.device_window_ns * 1e-9)


for _time, _times in TIMES.items():
    for _statistic, _reduce in STATISTICS.items():
        _name = f"trtexec_{_time}_{_statistic}"
        METRICS.register(_name, _metric(_name, _times, _reduce))
METRICS.register(
    "trtexec_throughput",
    Metric(
        name="trtexec_throughput",
        unit="1/s",
        better=Better.HIGHER,
        pass_=Pass.TIMING,
        value=_queries_per_s,
        applies=lambda trial: bool(trial.like) and trial.device_window_ns > 0,
        method=_method,
    ),
)
