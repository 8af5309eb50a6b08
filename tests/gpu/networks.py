"""What do the checks run? Zoo networks with seeded weights, and what PyTorch's CPU says in fp32."""

from __future__ import annotations

import functools
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchbox.backends.base import DeviceSession, OpenRequest
from benchbox.measure.loop.timing import isolated_block
from benchbox.models.building import module_from_source
from benchbox.models.sources import resolve
from benchbox.schema.artifact import TensorSpec
from benchbox.schema.model import Precision
from benchbox.stats.agreement import TOLERANCES, hop_from_outputs
from benchbox.stats.inputs import seeded_arrays

# Outputs of an average are compared on a batch: one sample alone may sit on a rounding edge.
BATCH = 4
SLOTS = 2


@functools.cache
def module_of(name: str) -> Any:
    """The network with seeded weights, on the CPU."""
    return module_from_source(resolve(name, input_shape=None, weights=None), seed=0)


@functools.cache
def specs_of(name: str, batch: int = BATCH) -> tuple[TensorSpec, TensorSpec]:
    """Input and output of a network."""
    shape = resolve(name, input_shape=None, weights=None).input_shape
    assert shape is not None
    return (
        TensorSpec(name="input", dtype="float32", shape=(batch, *shape)),
        TensorSpec(name="output", dtype="float32", shape=(batch, probe_of(name, batch).shape[1])),
    )


@functools.cache
def inputs_of(name: str, batch: int = BATCH) -> dict[str, np.ndarray]:
    """Seeded inputs."""
    shape = resolve(name, input_shape=None, weights=None).input_shape
    assert shape is not None
    return seeded_arrays((TensorSpec(name="input", dtype="float32", shape=(None, *shape)),), seed=0, samples=batch)


@functools.cache
def probe_of(name: str, batch: int = BATCH) -> np.ndarray:
    """What PyTorch's CPU makes of the inputs in fp32."""
    import torch

    with torch.inference_mode():
        made = module_of(name)(torch.from_numpy(inputs_of(name, batch)["input"]))
    return np.array(made.numpy())


def request_of(name: str, precision: Precision = Precision.FP32, **options: Any) -> OpenRequest:
    """How a session of a network is opened."""
    given, made = specs_of(name)
    import copy

    return OpenRequest(
        precision=precision,
        threads=1,
        inputs=(given,),
        outputs=(made,),
        slots=SLOTS,
        module=lambda: copy.deepcopy(module_of(name)),
        **options,
    )


def check_outputs(session: Any, name: str, precision: Precision, figures: dict[str, Any]) -> None:
    """Outputs of every slot within the tolerance of the precision, against PyTorch's CPU."""
    for slot in range(SLOTS):
        session.upload(slot, inputs_of(name))
        session.enqueue(slot)
        session.synchronize()
        _check(session.download(slot), name, precision, figures)
    _check(session.download(0), name, precision, figures)  # other slots ran since


def _check(output: Any, name: str, precision: Precision, figures: dict[str, Any]) -> None:
    hop = hop_from_outputs("cpu", "gpu", {"output": probe_of(name)}, output, TOLERANCES[precision])
    figures["rel_l2_error"] = hop.rel_l2_error
    assert hop.passed, f"{name} {precision}: relative L2 error {hop.rel_l2_error:.3g}, cosine {hop.cosine:.6f}"


def timed(session: DeviceSession, count: int = 200) -> dict[str, float]:
    """Medians of a warm session, in seconds, by the definition that every measurement has."""
    for slot in range(SLOTS):
        session.upload(slot, {"input": inputs_of_session(session)})
    isolated_block(session, 50, slots=SLOTS)
    session.laps.forget()
    times = isolated_block(session, count, slots=SLOTS).times_ns
    return {
        "latency_s": statistics.median(times.tolist()) * 1e-9,
        "gpu_time_s": statistics.median(session.laps.gpu_ns) * 1e-9,
        "enqueue_time_s": statistics.median(session.laps.enqueue_ns) * 1e-9,
    }


def inputs_of_session(session: Any) -> np.ndarray:
    """Random inputs of the shape that a session was opened for."""
    (spec,) = session._request.inputs
    return np.random.default_rng(1).standard_normal(spec.shape, dtype=np.float32)


def independent_median_s(torch: Any, work: Callable[[], Any], stream: Any, count: int = 200) -> float:
    """Median device time of some work by a plain loop over torch.cuda.Event, made without anything of benchbox."""
    times = []
    with torch.cuda.stream(stream), torch.inference_mode():
        for _ in range(50):
            work()
        stream.synchronize()
        for _ in range(count):
            start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            start.record(stream)
            work()
            end.record(stream)
            end.synchronize()
            times.append(start.elapsed_time(end) * 1e-3)
    return statistics.median(times)


def onnx_of(name: str, precision: Precision, root: Path) -> Any:
    """The checked ONNX artifact of a network."""
    from benchbox.jobs.prepare import onnx_from_source

    return onnx_from_source(resolve(name, input_shape=None, weights=None), precision=precision, root=root)
