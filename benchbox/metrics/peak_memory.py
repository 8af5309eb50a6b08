"""How much host memory does a process need that loads and runs the network?

The kernel's high-water mark of the resident set at the end of a process of its own that only loads and runs:
interpreter, runtime, weights and activations together, as a deployment of this kind would need.
"""

from __future__ import annotations

from benchbox.metrics.metric import METRICS, Metric
from benchbox.metrics.workload import Workload
from benchbox.schema.reading import Better
from benchbox.schema.trial import Pass, Trial


def peak_bytes(trial: Trial, _: Workload) -> float:
    """The high-water mark in bytes."""
    assert trial.peak_host_bytes is not None, "a memory pass reports its peak"
    return float(trial.peak_host_bytes)


METRICS.register(
    "peak_host_memory",
    Metric(name="peak_host_memory", unit="bytes", better=Better.LOWER, pass_=Pass.MEMORY, value=peak_bytes),
)
