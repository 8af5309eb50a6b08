"""Which conditions of inferences on a device may move or void a number?

From the times themselves; ``gpu.py`` has what happened to the GPU meanwhile, ``case.py`` the conditions of the
host. Thresholds and advice are in docs/metrics.md.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterator, Sequence

from benchbox.backends.cuda.driver import INTEGRATED_OPTION
from benchbox.flags.gpu import flags_of_gpu
from benchbox.metrics.device_times import GATE_FORCED, gpu_work_s
from benchbox.schema.plan import MeasurementPlan, Mode
from benchbox.schema.reading import Flag, Severity
from benchbox.schema.trial import Evidence, Pass, Trial
from benchbox.units import format_percent

# trtexec's constant (TensorRT, samples/common/sampleReporting.cpp): above it the host cannot keep the device busy.
ENQUEUE_SHARE = 0.8
BUSY_SHARE = 0.95
# Of a request's time from start to end: a call that takes that much has waited for the device.
SYNC_SHARE = 0.8
# Between the device's clock and the host's over the same inferences.
CLOCKS_APART = 0.01
# In these modes both clocks bracket the same inferences and nothing else.
_SAME_WINDOW = frozenset({Mode.ISOLATED, Mode.BATCHED, Mode.PIPELINED})
LEAST_SAMPLES = 30
GRAPH_FAILED = "failed"
# The device that a session without a GPU reports.
HOSTS = ("cpu", "virtual")


def flags_of_device(trials: Sequence[Trial], checked: Evidence, plan: MeasurementPlan) -> Iterator[Flag]:
    """Every flag that a case raises on a device; none where it ran on no device of its own.

    Args:
        trials: every one of the case.
        checked: evidence of the inspected session that checked the outputs.
        plan: what they were asked for.
    """
    on_device = [trial for trial in trials if trial.pass_ is Pass.TIMING and trial.evidence.device not in HOSTS]
    if on_device:
        yield from _simulated(on_device[0])
        yield from _integrated(on_device[0])
        yield from _provider_shared(checked)
        yield from _graph_fallback(on_device)
        # Streams that run at once, and LoadGen, leave no times of the device.
        if all(trial.gpu_ns for trial in on_device):
            yield from _who_is_the_limit(on_device, plan)
        yield from _clocks_disagree(on_device, plan)
        yield from _memory_unattributed([trial for trial in trials if trial.pass_ is Pass.MEMORY])
    yield from flags_of_gpu(trials, plan)


def _simulated(trial: Trial) -> Iterator[Flag]:
    if trial.evidence.simulated:
        yield Flag(
            code="SIMULATED",
            severity=Severity.ERROR,
            message="the device is simulated: these numbers test the harness only",
        )


def _integrated(trial: Trial) -> Iterator[Flag]:
    if trial.evidence.options.get(INTEGRATED_OPTION):
        yield Flag(
            code="GPU_INTEGRATED",
            severity=Severity.WARNING,
            message="the GPU shares the host's memory and its power budget (Jetson), which benchbox does not support: "
            "device memory by the fall of free memory, clocks and energy are not to be trusted; times are",
        )


def _provider_shared(checked: Evidence) -> Iterator[Flag]:
    nodes: dict[str, int] = json.loads(checked.options.get("nodes", "{}"))
    on_cpu = sum(count for provider, count in nodes.items() if provider.startswith("CPU"))
    copies = int(checked.options.get("copies", "0"))
    if on_cpu or copies:
        known = f"{on_cpu} of {sum(nodes.values())} nodes run on the CPU, " if nodes else ""
        yield Flag(
            code="EP_FALLBACK",
            severity=Severity.WARNING,
            message=f"{known}{copies} copies between CPU and GPU were inserted: another opset or --precision may have "
            "kernels for them",
            size=on_cpu + copies,
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


def _who_is_the_limit(trials: Sequence[Trial], plan: MeasurementPlan) -> Iterator[Flag]:
    """The first of these that explains why the device waited; the later ones would only say it again."""
    for look in (_backend_syncs, _transfer_bound, _enqueue_bound):
        found = list(look(trials, plan))
        if found:
            yield from found
            return


def _backend_syncs(trials: Sequence[Trial], plan: MeasurementPlan) -> Iterator[Flag]:
    # A call that cannot return while its stream is held back waits for the device, whatever the mode.
    if any(trial.counters.get(GATE_FORCED) for trial in trials):
        yield Flag(
            code="BACKEND_SYNCS",
            severity=Severity.WARNING,
            message="the call that starts an inference waits for the device in it: enqueue_time is no host time, the "
            "gated gpu_compute_time is absent, and nothing is overlapped in --mode pipelined",
        )
        return
    if plan.mode is not Mode.PIPELINED:
        return
    share = _median_ratio(trials, lambda trial: trial.enqueue_ns, lambda trial: trial.samples_ns)
    if share > SYNC_SHARE:
        yield Flag(
            code="BACKEND_SYNCS",
            severity=Severity.WARNING,
            message=f"the call that starts an inference takes {format_percent(share)} of the request: the runtime "
            "waits for the device in it, so nothing is overlapped; use --mode isolated",
            size=share,
        )


def _transfer_bound(trials: Sequence[Trial], _: MeasurementPlan) -> Iterator[Flag]:
    directions: dict[str, Callable[[Trial], Sequence[int]]] = {
        "in": lambda trial: trial.h2d_ns,
        "out": lambda trial: trial.d2h_ns,
    }
    for direction, times in directions.items():
        if not all(map(times, trials)):
            continue
        share = statistics.median(statistics.median(times(trial)) * 1e-9 / gpu_work_s(trial) for trial in trials)
        if share >= 1:
            yield Flag(
                code="TRANSFER_BOUND",
                severity=Severity.WARNING,
                message=f"copying a batch {direction} takes {share:.1f} times as long as computing it: the link is the "
                "limit where data come from the host; smaller or fewer inputs and outputs help, a faster network does "
                "not",
                size=share,
            )
            return


def _enqueue_bound(trials: Sequence[Trial], plan: MeasurementPlan) -> Iterator[Flag]:
    # Against the device's time without the wait for the host, which an enqueue that is too slow would hide in.
    share = statistics.median(statistics.median(trial.enqueue_ns) * 1e-9 / gpu_work_s(trial) for trial in trials)
    known = [trial for trial in trials if trial.device_window_ns]
    busy = statistics.median(sum(trial.gpu_ns) / trial.device_window_ns for trial in known) if known else 1.0
    if share > ENQUEUE_SHARE:
        why, size = f"starting an inference takes {format_percent(share)} of its time on the device", share
    elif plan.mode is Mode.PIPELINED and busy < BUSY_SHARE:
        why, size = (
            f"the device worked for {format_percent(busy)} of the time although a request was always waiting",
            1 - busy,
        )
    else:
        return
    yield Flag(
        code="ENQUEUE_BOUND",
        severity=Severity.WARNING,
        message=f"{why}: the host is the limit; try a CUDA graph or a larger --batch",
        size=size,
    )


def _median_ratio(
    trials: Sequence[Trial], above: Callable[[Trial], Sequence[int]], below: Callable[[Trial], Sequence[int]]
) -> float:
    """The median over processes of one median over another."""
    return statistics.median(statistics.median(above(trial)) / statistics.median(below(trial)) for trial in trials)


def _clocks_disagree(trials: Sequence[Trial], plan: MeasurementPlan) -> Iterator[Flag]:
    known = [trial for trial in trials if trial.device_window_ns and len(trial.samples_ns) >= LEAST_SAMPLES]
    if not known or plan.mode not in _SAME_WINDOW:
        return
    apart = statistics.median(trial.device_window_ns / trial.window_ns - 1 for trial in known)
    if abs(apart) > CLOCKS_APART:
        yield Flag(
            code="CLOCKS_DISAGREE",
            severity=Severity.WARNING,
            message="device and host time for the same inferences differ by "
            f"{format_percent(apart, 1, signed=True)}: the events may bracket another stream, or a clock stepped; "
            "throughput is unreliable",
            size=abs(apart),
        )


def _memory_unattributed(trials: Sequence[Trial]) -> Iterator[Flag]:
    if trials and not any(trial.device_bytes.get("process") for trial in trials):
        yield Flag(
            code="PROC_MEM_UNATTRIBUTED",
            severity=Severity.INFO,
            message="NVML reports no memory for this process (no nvidia-ml-py, or a container hides its id): "
            "device_memory_process is absent, the other methods stand",
        )
