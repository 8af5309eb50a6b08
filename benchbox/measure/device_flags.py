"""Which conditions on a device may move or void a number?

Thresholds and advice are in docs/metrics.md; ``flags.py`` has the conditions of the host.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Sequence

from benchbox.schema.reading import Evidence, Flag, Pass, Severity, Trial

# trtexec's constant (TensorRT, samples/common/sampleReporting.cpp): above it the host cannot keep the device busy.
ENQUEUE_SHARE = 0.8
GRAPH_FAILED = "failed"
# What a session without a device of its own says it runs on.
HOSTS = ("cpu", "virtual")


def flags_of_device(trials: Sequence[Trial], checked: Evidence) -> Iterator[Flag]:
    """Every flag that a case raises on a device; none where it ran on no device of its own.

    Args:
        trials: every one of the case.
        checked: evidence of the inspected session that checked the outputs.
    """
    on_device = [trial for trial in trials if trial.purpose is Pass.TIMING and trial.evidence.device not in HOSTS]
    if on_device:
        yield from _simulated(on_device[0])
        yield from _provider_shared(checked)
        yield from _graph_fallback(on_device)
        # streams that run at once, and LoadGen, leave no times of the device
        if all(trial.gpu_ns for trial in on_device):
            yield from _enqueue_bound(on_device)
        yield from _gpu_shared(on_device)
        yield from _memory_unattributed([trial for trial in trials if trial.purpose is Pass.MEMORY])


def _simulated(trial: Trial) -> Iterator[Flag]:
    if trial.evidence.simulated:
        yield Flag(
            code="SIMULATED",
            severity=Severity.ERROR,
            message="the device is simulated: these numbers test the harness only",
        )


def _provider_shared(checked: Evidence) -> Iterator[Flag]:
    nodes: dict[str, int] = json.loads(checked.options.get("nodes", "{}"))
    on_cpu = sum(count for provider, count in nodes.items() if provider.startswith("CPU"))
    if on_cpu:
        yield Flag(
            code="EP_FALLBACK",
            severity=Severity.WARNING,
            message=f"{on_cpu} of {sum(nodes.values())} nodes run on the CPU, with copies between: "
            "another opset or --precision may have kernels for them",
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


def _gpu_shared(trials: Sequence[Trial]) -> Iterator[Flag]:
    others = max(trial.counters.get("gpu_other_processes", 0.0) for trial in trials)
    if others:
        yield Flag(
            code="GPU_SHARED",
            severity=Severity.ERROR,
            message=f"{others:.0f} other processes computed on the GPU: end them, they take time and memory",
        )


def _memory_unattributed(trials: Sequence[Trial]) -> Iterator[Flag]:
    if trials and not any(trial.device_bytes.get("process") for trial in trials):
        yield Flag(
            code="PROC_MEM_UNATTRIBUTED",
            severity=Severity.INFO,
            message="NVML tells no memory of this process (no nvidia-ml-py, or a container hides its id): "
            "device_memory_process is absent, the other methods stand",
        )
