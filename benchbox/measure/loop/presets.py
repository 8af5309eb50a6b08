"""What do other tools measure by default, and how is a run made to measure the same?

trtexec's defaults changed between 10.16 and 11.0 (copies, waiting, CUDA graph), so "as trtexec" says nothing without
its version. Both keep two requests in flight on one stream, warm up for 0.2 s, and measure for at least 3 s and ten
requests, on one set of buffers for all requests of a stream (``IterationBase::mBindings``), copies or not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from benchbox.backends.base import BACKENDS, EngineBackend
from benchbox.errors import UsageError
from benchbox.registry import require_known
from benchbox.schema.plan import (
    INPUTS_FIXED,
    TRANSFER_INSIDE,
    TRANSFER_RESIDENT,
    WAIT_BLOCKING,
    WAIT_SPIN,
    MeasurementPlan,
    Mode,
)

GRAPH_SUFFIX = "-graph"


@dataclass(frozen=True, kw_only=True)
class Preset:
    """The defaults of one tool: whether copies are a part of a request, how the host waits, whether a graph runs."""

    transfer: str
    wait: str
    graph: bool
    duration_s: float = 3.0
    warmup_s: float = 0.2
    iterations: int = 10


PRESETS = {
    "trtexec-10": Preset(transfer=TRANSFER_INSIDE, wait=WAIT_BLOCKING, graph=False),
    "trtexec-11": Preset(transfer=TRANSFER_RESIDENT, wait=WAIT_SPIN, graph=True),
}


def preset_named(name: str) -> Preset:
    """The preset of that name; raises UsageError for an unknown one."""
    return PRESETS[require_known("preset", name, list(PRESETS))]


def plan_like(plan: MeasurementPlan, name: str, *, duration_s: float | None = None) -> MeasurementPlan:
    """The plan that measures as a tool does; processes and threads stay as they were planned.

    Args:
        plan: of a run.
        name: of the preset.
        duration_s: how long to measure instead of the tool's default, as its ``--duration``.
    """
    preset = preset_named(name)
    length_s = preset.duration_s if duration_s is None else duration_s
    return replace(
        plan,
        like=name,
        mode=Mode.PIPELINED,
        transfer=preset.transfer,
        wait=preset.wait,
        input_slots=1,
        input_policy=INPUTS_FIXED,
        warmup_s=preset.warmup_s,
        warmup_iterations=1,
        min_time_s=length_s,
        # Ten requests are waited for however long they take; the process's time limit ends what never ends.
        max_time_s=max(length_s, plan.timeout_s),
        min_samples=preset.iterations,
        max_trials=plan.trials,
    )


def backend_like(name: str, backend: str) -> str:
    """The backend that runs as a tool does: of a TensorRT, the one with or without a CUDA graph.

    Raises:
        UsageError: it runs no engines, or it is the one with a graph and the tool launches none.
    """
    found, preset = BACKENDS.get(backend), preset_named(name)
    if not isinstance(found, EngineBackend) or not getattr(found, "queries", False):
        raise UsageError(
            f"--like {name} is for engines of TensorRT",
            values=f"{backend} runs none, and trtexec runs nothing else",
            remedy="use --backend tensorrt",
        )
    if found.name == f"{found.compiler}{GRAPH_SUFFIX}" and not preset.graph:
        raise UsageError(
            f"{name} launches no CUDA graph by default",
            values=f"got --backend {backend}",
            remedy=f"use --backend {found.compiler}, or --like {_with_graph()}",
        )
    return f"{found.compiler}{GRAPH_SUFFIX}" if preset.graph else found.compiler


def require_no_other_way(name: str, given: Sequence[str]) -> None:
    """Raises UsageError if flags were given that say how to measure, which the preset says already."""
    if given:
        raise UsageError(
            f"--like {name} says itself how to measure",
            values=f"got {', '.join(given)} as well",
            remedy="leave them out; --max-time sets how long, as trtexec's --duration",
        )


def _with_graph() -> str:
    return next(name for name, preset in PRESETS.items() if preset.graph)
