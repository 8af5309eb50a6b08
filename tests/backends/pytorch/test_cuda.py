"""PyTorch on CUDA without a GPU: what each backend lacks here, and the session's own steps on a pretended device."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from torch_on_cuda import OVERWRITTEN, Event, PretendedCuda, PretendedTorch

from benchbox.backends.base import BACKENDS, CapturingSession, DeviceSession, OpenRequest
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
from benchbox.errors import DeviceMemoryError, EnvironmentLackError
from benchbox.measure.loop.timing import isolated_block
from benchbox.schema.artifact import TensorSpec
from benchbox.schema.model import Precision

NAMES = ("pytorch-cuda", "pytorch-cuda-graph", "pytorch-compile", "pytorch-compile-graph")


OPEN: list[PyTorchCudaSession] = []


@pytest.fixture(autouse=True)
def _left() -> Iterator[None]:
    """Threads that ran inferences are given back: they stay in inference mode until their session is closed."""
    yield
    for session in OPEN:
        session._leave()
    OPEN.clear()
    assert not torch.is_inference_mode_enabled()


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


def _network() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(144, 5))


def _session(
    backend: PyTorchCudaBackend,
    precision: Precision = Precision.FP32,
    *,
    refuse: bool = False,
    inspect: bool = False,
    module: Callable[[], torch.nn.Module] | None = None,
) -> PyTorchCudaSession:
    request = OpenRequest(
        precision=precision,
        threads=1,
        inputs=(TensorSpec(name="input", dtype="float32", shape=(2, 3, 8, 8)),),
        outputs=(TensorSpec(name="output", dtype="float32", shape=(2, 5)),),
        slots=2,
        module=module or _network,
        inspect=inspect,
    )
    OPEN.append(
        PyTorchCudaSession(PretendedTorch(PretendedCuda(refuse_capture=refuse)), request, backend=backend, device="cpu")
    )
    return OPEN[-1]


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
    assert session.device_memory() == {
        "allocated_peak": 7,
        "reserved_peak": 9,
        "device_delta": 0,
        "device_held": 0,
        "base_free": 1000,
    }
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


class Counting(torch.nn.Module):
    """Adds how often it ran."""

    def __init__(self) -> None:
        super().__init__()
        self.within = _network()
        self.register_buffer("runs", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.runs += 1
        made: torch.Tensor = self.within(x) + self.runs
        return made


@pytest.mark.parametrize("backend", [PyTorchCudaBackend(), PyTorchCudaGraph(), PyTorchCompileGraph()])
def test_each_upload_begins_with_the_first_tensors(backend: PyTorchCudaBackend) -> None:
    """Also behind the inferences of a capture, which are none of the caller's."""
    modules: list[Counting] = []

    def module() -> Counting:
        modules.append(Counting())
        return modules[-1]

    session = _session(backend, module=module)
    for _ in range(2):
        session.upload(0, {"input": INPUT})
        assert modules[0].runs.item() == 0.0
        session.enqueue(0)
        session.synchronize()
        if not backend.graph:  # a pretended graph replays nothing
            assert np.allclose(session.download(0)["output"], _expected() + 1, atol=1e-6)


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


def _filled(session: PyTorchCudaSession) -> list[np.ndarray]:
    """Other inputs in each slot; what they give."""
    arrays = [np.random.default_rng(seed).standard_normal((2, 3, 8, 8), dtype=np.float32) for seed in (1, 2)]
    for slot, array in enumerate(arrays):
        session.upload(slot, {"input": array})
    with torch.inference_mode():
        return [np.array(_network()(torch.from_numpy(array)).numpy()) for array in arrays]


@pytest.mark.parametrize("inferences", range(1, 8))
def test_graphs_of_the_compiler_write_over_their_outputs(inferences: int) -> None:
    """Whichever slot ran last and whether the graphs record or replay: a slot's outputs are its own."""
    session = _session(PyTorchCompileGraph())
    expected = _filled(session)
    for index in range(inferences):
        session.enqueue(index % 2)
        session.synchronize()
    for slot in (0, 1, 1, 0):
        assert np.allclose(session.download(slot)["output"], expected[slot], atol=1e-6)
    session.upload(0, {"input": INPUT})
    session.enqueue(1)
    assert np.allclose(session.download(0)["output"], _expected(), atol=1e-6)
    assert [len(times) for times in session.transfer_ns(2)] == [2, 2]
    torch_module: Any = session._torch
    assert torch_module.steps >= inferences, "each inference says that it begins"
    session.close()


def test_the_stand_in_makes_old_outputs_unreadable() -> None:
    """The tests above could not fail otherwise."""
    torch_module = PretendedTorch(PretendedCuda())
    run = torch_module.compile(_network().eval(), mode="reduce-overhead")
    with torch.inference_mode():
        first = run(torch.from_numpy(INPUT))
        run(torch.from_numpy(INPUT + 1))
        with pytest.raises(RuntimeError, match=OVERWRITTEN[:30]):
            first.cpu()
        third = run(torch.from_numpy(INPUT))
        before = third.cpu().numpy().copy()
        assert run(torch.from_numpy(INPUT + 1)) is third
        assert not np.allclose(third.cpu().numpy(), before)


def test_the_check_looks_at_the_compiled_module() -> None:
    """Its outputs are judged, the types come from the eager one beside it."""
    session = _session(PyTorchCompileGraph(), Precision.FP16, inspect=True)
    session.upload(0, {"input": INPUT})
    session.enqueue(0)
    session.synchronize()
    torch_module: Any = session._torch
    (compiled,) = torch_module.compiled
    assert len(compiled.recordings) == 1
    assert np.allclose(session.download(0)["output"], _expected(), atol=5e-3)
    assert session.evidence().executed == {Precision.FP16: 2}
    assert [layer.module for layer in session.reported_layers()] == ["0", "3"]
    session.close()


@pytest.mark.parametrize("backend", [PyTorchCudaBackend(), PyTorchCudaGraph(), PyTorchCompileGraph()])
def test_memory_that_runs_out_in_an_inference_has_its_name(backend: PyTorchCudaBackend) -> None:
    class Hungry(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB.\nmore")

    session = _session(backend, module=Hungry)

    def infer() -> None:
        session.upload(0, {"input": INPUT})
        session.enqueue(0)

    with pytest.raises(DeviceMemoryError, match=r"batch 2: CUDA out of memory\. Tried to allocate 9 GiB\.\n") as error:
        infer()
    assert "smaller --batch" in error.value.remedy


def test_memory_that_runs_out_in_an_upload_has_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(array: np.ndarray) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    session = _session(PyTorchCudaBackend())
    monkeypatch.setattr(torch, "from_numpy", refuse)
    with pytest.raises(DeviceMemoryError):
        session.upload(0, {"input": INPUT})


def test_cleaning_up_does_not_replace_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    session = _session(PyTorchCudaBackend())

    def broken() -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(session._torch.cuda, "synchronize", broken)

    def fail() -> None:
        try:
            raise ValueError("the first cause")
        finally:
            session.close()

    with pytest.raises(ValueError, match="the first cause"):
        fail()


def test_the_compiled_form_says_what_it_is() -> None:
    evidence = _session(PyTorchCompileGraph(), inspect=True).evidence()
    assert evidence.providers == ("torch.compile reduce-overhead",)
    assert evidence.options["cuda_graph"] == "by torch.compile"


def test_no_event_is_made_while_the_clock_runs() -> None:
    """PyTorch makes an event when it is first recorded, which a block that is longer than the last one would time."""
    session = _session(PyTorchCudaBackend())
    session.upload(0, {"input": INPUT})
    made: list[int] = []
    run = session._run

    def counted(slot: int) -> None:
        made.append(Event.made)
        run(slot)

    session._run = counted  # type: ignore[method-assign]
    for count in (2, 7):
        made.clear()
        before = Event.made
        isolated_block(session, count, slots=1)
        assert set(made) == {Event.made}, "all were made before the first inference"
        assert Event.made > before


def test_a_thread_enters_inference_mode_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """To enter it and the stream takes longer than a short network; sessions in one thread have each its own stream."""
    entered: list[str] = []
    sessions = [_session(PyTorchCudaBackend()) for _ in range(2)]
    for session in sessions:
        session.upload(0, {"input": INPUT})
    usual = torch.inference_mode
    monkeypatch.setattr(torch, "inference_mode", lambda: entered.append("mode") or usual())
    streams: list[Any] = []
    monkeypatch.setattr(PretendedCuda, "set_stream", lambda _, stream: streams.append(stream))
    for session in (sessions[0], sessions[0], sessions[1], sessions[1], sessions[0]):
        session.enqueue(0)
    assert entered == ["mode"]
    assert streams == [sessions[index]._stream for index in (0, 1, 0)]
    with ThreadPoolExecutor(1) as other:
        other.submit(sessions[1].enqueue, 0).result()
        assert other.submit(torch.is_inference_mode_enabled).result()
    assert entered == ["mode"] * 2, "each thread for itself"
    sessions[1].close()
    assert torch.is_inference_mode_enabled(), "the other still runs here"
    sessions[0].close()
    assert not torch.is_inference_mode_enabled()


def test_evidence_names_what_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91200)
    monkeypatch.setattr(cuda, "newest_cuda", lambda: 13020)
    evidence = _session(PyTorchCudaBackend()).evidence()
    assert evidence.device == "pretended GPU (sm90)"
    assert evidence.versions["cudnn"] == "91200"
    assert evidence.versions["cuda_driver"] == "13.2"


def test_captures_have_a_time_of_their_own() -> None:
    plain, graph = _session(PyTorchCudaBackend()), _session(PyTorchCudaGraph())
    for session in (plain, graph):
        session.upload(0, {"input": INPUT})
    assert isinstance(graph, CapturingSession)
    once = graph.capture_s
    assert once > 0
    graph.upload(1, {"input": INPUT})
    assert graph.capture_s > once, "a graph a slot"
    assert plain.capture_s == 0


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
