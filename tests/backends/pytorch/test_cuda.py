"""PyTorch on CUDA without a GPU: what each backend lacks here, and the session's own steps on a pretended device."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from benchbox.backends.base import BACKENDS, DeviceSession, OpenRequest
from benchbox.backends.cuda.driver import Gpu
from benchbox.backends.pytorch import cuda
from benchbox.backends.pytorch.cuda import (
    GRAPH_USED,
    PyTorchCompileGraph,
    PyTorchCudaBackend,
    PyTorchCudaGraph,
    PyTorchCudaSession,
    compiled_graphs,
)
from benchbox.backends.pytorch.dispatch import allow_tf32
from benchbox.errors import EnvironmentLackError
from benchbox.measure.loop.timing import isolated_block
from benchbox.schema.artifact import TensorSpec
from benchbox.schema.model import Precision

NAMES = ("pytorch-cuda", "pytorch-cuda-graph", "pytorch-compile", "pytorch-compile-graph")


@pytest.fixture(autouse=True)
def _gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the driver reports."""
    monkeypatch.setattr(cuda, "gpu_from_driver", lambda: Gpu(name="pretended GPU", target="sm90"))


def test_a_recompilation_is_counted() -> None:
    @torch.compile(backend="eager", dynamic=False)
    def twice(tensor: torch.Tensor) -> torch.Tensor:
        return 2 * tensor

    counts = [compiled_graphs()]
    for size in (3, 3, 4):  # the third has another shape than the graph was made for
        twice(torch.ones(size))
        counts.append(compiled_graphs())
    assert [after - before for before, after in itertools.pairwise(counts)] == [1, 0, 1]


class Event:
    """Takes the host's time."""

    def __init__(self, *, enable_timing: bool, blocking: bool = False) -> None:
        assert enable_timing
        self.at = 0.0

    def record(self, stream: Any) -> None:
        self.at = time.perf_counter()

    def synchronize(self) -> None:
        assert self.at, "waited for before it was recorded"

    def elapsed_time(self, end: Event) -> float:
        return (end.at - self.at) * 1e3


class Graph:
    """Remembers what ran while it was captured and runs it again."""

    captured: Callable[[], None]

    def replay(self) -> None:
        self.captured()


class PretendedCuda:
    """The calls of torch.cuda that a session makes, on the CPU."""

    Event = Event
    CUDAGraph = Graph

    def __init__(self, *, refuse_capture: bool = False) -> None:
        self.refuse_capture = refuse_capture
        self.capturing = False

    def Stream(self) -> Any:
        return SimpleNamespace(synchronize=lambda: None)

    @contextlib.contextmanager
    def stream(self, stream: Any) -> Iterator[None]:
        yield

    @contextlib.contextmanager
    def graph(self, graph: Graph, *, stream: Any) -> Iterator[None]:
        if self.refuse_capture:
            raise RuntimeError("CUDA error: operation not permitted when stream is capturing\nmore")
        graph.captured = lambda: None
        yield

    def mem_get_info(self) -> tuple[int, int]:
        return 1000, 2000

    def synchronize(self) -> None: ...

    def reset_peak_memory_stats(self) -> None: ...

    def empty_cache(self) -> None: ...

    def max_memory_allocated(self) -> int:
        return 7

    def max_memory_reserved(self) -> int:
        return 9


class PretendedTorch:
    """torch, with the pretended ``cuda``."""

    def __init__(self, cuda: PretendedCuda) -> None:
        self.cuda = cuda

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)


def _network() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(144, 5))


def _session(
    backend: PyTorchCudaBackend,
    precision: Precision = Precision.FP32,
    *,
    refuse: bool = False,
    inspect: bool = False,
) -> PyTorchCudaSession:
    request = OpenRequest(
        precision=precision,
        threads=1,
        inputs=(TensorSpec(name="input", dtype="float32", shape=(2, 3, 8, 8)),),
        outputs=(TensorSpec(name="output", dtype="float32", shape=(2, 5)),),
        slots=2,
        module=_network,
        inspect=inspect,
    )
    return PyTorchCudaSession(
        PretendedTorch(PretendedCuda(refuse_capture=refuse)),
        request,
        backend=backend,
        device="cpu",
    )


INPUT = np.random.default_rng(0).standard_normal((2, 3, 8, 8), dtype=np.float32)


def _expected() -> np.ndarray:
    with torch.inference_mode():
        return np.array(_network()(torch.from_numpy(INPUT)).numpy())


@pytest.mark.parametrize(
    ("precision", "tolerance"), [(Precision.FP32, 1e-6), (Precision.FP16, 5e-3), (Precision.BF16, 5e-2)]
)
def test_outputs_and_laps(precision: Precision, tolerance: float) -> None:
    session = _session(PyTorchCudaBackend(), precision)
    assert isinstance(session, DeviceSession)
    for slot in (0, 1):
        session.upload(slot, {"input": np.zeros_like(INPUT)})
        session.upload(slot, {"input": INPUT})
    times = isolated_block(session, 6, slots=2).times_ns
    assert len(times) == len(session.laps.gpu_ns) == len(session.laps.enqueue_ns) == 6
    assert all(gpu >= enqueue for gpu, enqueue in zip(session.laps.gpu_ns, session.laps.enqueue_ns, strict=True))
    assert np.allclose(session.download(1)["output"], _expected(), atol=tolerance)
    copied = session.transfer_ns(3)
    assert [len(times) for times in copied] == [3, 3]
    assert session.device_memory() == {"allocated_peak": 7, "reserved_peak": 9, "device_delta": 0, "device_held": 0}
    session.close()


@pytest.mark.parametrize("precision", [Precision.FP16, Precision.BF16])
def test_inspection_sees_the_executed_types(precision: Precision) -> None:
    session = _session(PyTorchCudaBackend(), precision, inspect=True)
    session.upload(0, {"input": INPUT})
    session.enqueue(0)
    session.synchronize()
    assert session.evidence().executed == {precision: 2}
    assert [(layer.module, layer.executed) for layer in session.reported_layers()] == [
        ("0", precision),
        ("3", precision),
    ]


def test_a_graph_is_captured_a_slot() -> None:
    session = _session(PyTorchCudaGraph())
    session.upload(0, {"input": INPUT})
    assert session.evidence().options["cuda_graph"] == GRAPH_USED
    session.enqueue(0)
    session.synchronize()
    assert np.allclose(session.download(0)["output"], _expected(), atol=1e-6)


def test_a_capture_that_fails_is_said_and_eager_runs() -> None:
    session = _session(PyTorchCudaGraph(), refuse=True)
    session.upload(0, {"input": INPUT})
    assert session.evidence().options["cuda_graph"] == (
        "failed: CUDA error: operation not permitted when stream is capturing more"
    )
    session.enqueue(0)
    session.synchronize()
    assert np.allclose(session.download(0)["output"], _expected(), atol=1e-6)


def test_the_compiled_form_says_what_it_is() -> None:
    evidence = _session(PyTorchCompileGraph(), inspect=True).evidence()
    assert evidence.providers == ("torch.compile reduce-overhead",)
    assert evidence.options["cuda_graph"] == "by torch.compile"


@pytest.fixture
def switches() -> Iterator[None]:
    before = (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32)
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


@pytest.mark.parametrize(
    ("allowed", "target", "told"),
    [(True, "sm80", "allowed"), (False, "sm90", "forbidden"), (True, "sm75", "none on this device")],
)
def test_evidence_reads_tf32_back(
    switches: None, allowed: bool, target: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cuda, "gpu_from_driver", lambda: Gpu(name="pretended GPU", target=target))
    allow_tf32(torch, allowed)
    assert _session(PyTorchCudaBackend()).evidence().options["tf32"] == told


def test_one_switch_that_is_left_on_counts(switches: None) -> None:
    """PyTorch's own defaults: products forbidden, convolutions allowed. That is not fp32."""
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = False, True
    options = _session(PyTorchCudaBackend()).evidence().options
    assert (options["tf32"], options["matmul_allow_tf32"], options["cudnn_allow_tf32"]) == ("allowed", "False", "True")


def test_tf32_is_set_for_products_and_convolutions_alike() -> None:
    before = (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32)
    try:
        for allowed in (True, False):
            allow_tf32(torch, allowed)
            assert torch.backends.cuda.matmul.allow_tf32 is allowed
            assert torch.backends.cudnn.allow_tf32 is allowed
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


@pytest.mark.parametrize("name", NAMES)
def test_without_a_gpu_it_says_so(name: str) -> None:
    if torch.cuda.is_available():
        pytest.skip("runs on a machine without a GPU; tests/gpu checks this one")
    state = BACKENDS.get(name).probe()
    assert not state.usable
    assert "CUDA" in state.reason
    request = OpenRequest(precision=Precision.FP32, threads=1, inputs=(), outputs=())
    with pytest.raises(EnvironmentLackError, match="CUDA"):
        BACKENDS.get(name).open(request)
