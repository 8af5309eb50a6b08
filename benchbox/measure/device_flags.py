"""Which conditions on a device may move or void a number?

Thresholds and advice are in docs/metrics.md; ``flags.py`` has the conditions of the host.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

from benchbox.schema.reading import Flag, Severity, Trial

# trtexec's constant (TensorRT, samples/common/sampleReporting.cpp): above it the host cannot keep the device busy.
ENQUEUE_SHARE = 0.8
GRAPH_FAILED = "failed"


def flags_of_device(trials: Sequence[Trial]) -> Iterator[Flag]:
    """Every flag that the timed trials of a case raise; none where they ran on no device of their own."""
    on_device = [trial for trial in trials if trial.gpu_ns]
    if on_device:
        yield from _simulated(on_device[0])
        yield from _graph_fallback(on_device)
        yield from _enqueue_bound(on_device)


def _simulated(trial: Trial) -> Iterator[Flag]:
    if trial.evidence.simulated:
        yield Flag(
            code="SIMULATED",
            severity=Severity.ERROR,
            message="the device is simulated: these numbers test the harness only",
        )


def _graph_fallback(trials: Sequence[Trial]) -> Iterator[Flag]:
    for trial in trials:
        state = trial.evidence.options.get("cuda_graph", "")
        if state.startswith(GRAPH_FAILED):
            yield Flag(
                code="GRAPH_FALLBACK",
                severity=Severity.ERROR,
                message=f"no CUDA graph was used ({state}): measure the backend without -graph instead",
            )
            return


def _enqueue_bound(trials: Sequence[Trial]) -> Iterator[Flag]:
    shares = [statistics.median(trial.enqueue_ns) / statistics.median(trial.gpu_ns) for trial in trials]
    share = statistics.median(shares)
    if share > ENQUEUE_SHARE:
        yield Flag(
            code="ENQUEUE_BOUND",
            severity=Severity.WARNING,
            message=f"starting an inference takes {share:.0%} of its time on the device: the host is the limit; "
            "try a CUDA graph or a larger --batch",
        )
