"""Does PyTorch on the GPU compute what it computes on the CPU, and do our times agree with its own?"""

from __future__ import annotations

from typing import Any

import pytest
from networks import check_outputs, independent_median_s, inputs_of, request_of, timed

from benchbox.backends.base import BACKENDS, DeviceSession
from benchbox.errors import DeviceMemoryError
from benchbox.machine.gpu.nvml import gpu_users
from benchbox.schema.model import Precision

NETWORKS = ("lenet5", "resnet18", "mobilenet_v2", "resnet50")
BACKEND_NAMES = ("pytorch-cuda", "pytorch-cuda-graph")
COMPILED = ("pytorch-compile", "pytorch-compile-graph")


def _open(backend: str, name: str, precision: Precision = Precision.FP32, **options: Any) -> DeviceSession:
    session = BACKENDS.get(backend).open(request_of(name, precision, **options))
    assert isinstance(session, DeviceSession)
    return session


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("precision", [Precision.FP32, Precision.TF32, Precision.FP16, Precision.BF16])
@pytest.mark.parametrize("backend", BACKEND_NAMES)
def test_outputs(backend: str, precision: Precision, name: str, torch_cuda: Any, figures: dict[str, Any]) -> None:
    session = _open(backend, name, precision)
    check_outputs(session, name, precision, figures)
    options = session.evidence().options
    allowed = str(precision is Precision.TF32)
    assert (options["matmul_allow_tf32"], options["cudnn_allow_tf32"]) == (allowed, allowed)
    assert options["cuda_graph"] == ("whole inference" if backend.endswith("graph") else "off")
    session.close()


@pytest.mark.parametrize("backend", COMPILED)
def test_outputs_compiled(backend: str, torch_cuda: Any, figures: dict[str, Any]) -> None:
    pytest.importorskip("triton", reason="torch.compile needs triton")
    session = _open(backend, "resnet18")
    check_outputs(session, "resnet18", Precision.FP32, figures)
    session.close()


def test_gpu_time_agrees_with_an_independent_loop(torch_cuda: Any, figures: dict[str, Any]) -> None:
    """A graph of resnet50 replayed: our laps against a plain loop over torch.cuda.Event, within 3 %."""
    session: Any = _open("pytorch-cuda-graph", "resnet50")
    ours = timed(session)
    theirs = independent_median_s(torch_cuda, session._graphs[0].replay, session._stream)
    ours_again = timed(session)
    session.close()
    ratio = (ours["gpu_time_s"] + ours_again["gpu_time_s"]) / 2 / theirs
    figures.update(**ours, torch_event_s=theirs, ratio=ratio)
    assert ratio == pytest.approx(1, abs=0.03)
    assert ours["latency_s"] >= ours["gpu_time_s"]


@pytest.mark.parametrize("name", ["lenet5", "resnet50"])
def test_graph_against_no_graph(name: str, torch_cuda: Any, figures: dict[str, Any]) -> None:
    """A graph takes the host out of the way: it never takes longer on the device, and starting it is quicker."""
    for backend, key in (("pytorch-cuda", "eager"), ("pytorch-cuda-graph", "graph")):
        session = _open(backend, name)
        figures.update({f"{key}_{metric}": value for metric, value in timed(session).items()})
        session.close()
    assert figures["graph_gpu_time_s"] <= figures["eager_gpu_time_s"] * 1.05
    assert figures["graph_enqueue_time_s"] < figures["eager_enqueue_time_s"]


def test_memory_by_three_methods(torch_cuda: Any, figures: dict[str, Any]) -> None:
    """Given out, taken, and gone from the device: each at least the one before; NVML where it sees the process."""
    session = _open("pytorch-cuda", "resnet50", track_memory=True)
    check_outputs(session, "resnet50", Precision.FP32, figures)
    found = session.device_memory()
    users = gpu_users()
    figures.update(found)
    figures["process"] = users.own_bytes if users else None
    session.close()
    weights = 25_557_032 * 4
    assert weights < found["allocated_peak"] <= found["reserved_peak"]
    assert found["device_delta"] >= 0.9 * (found["reserved_peak"] - 32 * 2**20), "PyTorch may reuse what it kept before"


def test_memory_that_runs_out_in_an_inference_is_an_error_of_memory(torch_cuda: Any) -> None:
    import dataclasses

    total = torch_cuda.cuda.mem_get_info()[1]

    class Hungry(torch_cuda.nn.Module):  # type: ignore[misc, name-defined]
        """Needs twice the memory that there is."""

        def forward(self, x: Any) -> Any:
            return torch_cuda.empty(2 * total, dtype=torch_cuda.uint8, device="cuda")

    request = request_of("lenet5")
    session: Any = BACKENDS.get("pytorch-cuda").open(dataclasses.replace(request, module=Hungry))
    session.upload(0, inputs_of("lenet5"))
    with pytest.raises(DeviceMemoryError):
        session.enqueue(0)
    session.close()
