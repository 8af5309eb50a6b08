"""The process that starts the workers has no CUDA context: it would be another user of the GPU."""

from __future__ import annotations

from pathlib import Path

import pytest
from simulation import simulated

from benchbox.backends.base import BACKENDS, CompileRequest
from benchbox.backends.cuda.choice import LAYERS, open_layer, probed_layer, ready_gpu
from benchbox.backends.tensorrt import TensorRt
from benchbox.backends.tensorrt.builder import recipe_from_request
from benchbox.errors import EnvironmentLackError
from benchbox.machine.environment import capture
from benchbox.machine.instruments import instruments
from benchbox.schema.artifact import OnnxArtifact
from benchbox.schema.engine import ShapeProfile
from benchbox.schema.model import Precision


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize(
    "mode", [pytest.param(0, marks=pytest.mark.nightly), pytest.param(2, marks=pytest.mark.nightly), 3]
)
def test_no_probe_leaves_a_context(layer: str, mode: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCHBOX_CUDA", layer)
    with simulated(compute_mode=mode) as simulation:
        for backend in BACKENDS:
            backend.probe()
            assert not simulation.DEVICE.has_context, backend.name
        for name in LAYERS:
            probed_layer(name)
        capture()
        instruments()
        assert simulation.DEVICE.holders() == []
        assert BACKENDS.get("tensorrt").probe().usable is (mode != 2)


def test_opening_a_layer_is_what_makes_one() -> None:
    """The check above can fail."""
    with simulated() as simulation:
        open_layer().close()
        assert simulation.DEVICE.has_context


def test_recipe_and_engine_leave_no_context(lenet_fp32: OnnxArtifact, backend_root: Path) -> None:
    shape = (1, 1, 28, 28)
    (given,) = lenet_fp32.inputs
    request = CompileRequest(
        onnx_path=backend_root / lenet_fp32.path,
        onnx_sha256=lenet_fp32.sha256,
        weights_sha256=None,
        precision=Precision.FP32,
        profiles=(ShapeProfile(input=given.name, minimum=shape, optimum=shape, maximum=shape),),
    )
    with simulated() as simulation:
        recipe = recipe_from_request(TensorRt().bindings(), request)
        made = TensorRt().compile(request, recipe)
        assert bytes(made.engine).startswith(b"SIMULATED-ENGINE")
        assert made.peak_host_bytes is not None
        assert made.peak_host_bytes > 10 << 20
        assert TensorRt().fault(bytes(made.engine)) is None
        assert not simulation.DEVICE.has_context


@pytest.mark.parametrize("layer", LAYERS)
def test_an_exclusive_gpu_is_tried_in_a_child(layer: str, tmp_path: Path) -> None:
    with simulated(compute_mode=3, contexts=str(tmp_path)):
        assert ready_gpu(layer).exclusive
    with simulated(compute_mode=3, contexts=str(tmp_path), foreign=1):
        with pytest.raises(EnvironmentLackError, match="not available to this process"):
            ready_gpu(layer)
        with pytest.raises(EnvironmentLackError, match="not available to this process"):
            open_layer(layer)
        state = BACKENDS.get("tensorrt").probe()
        assert not state.usable
        assert "DevicesUnavailable" in state.reason
