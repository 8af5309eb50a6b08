"""Sessions with bfloat16 or fp8 at their border: computed on the CPU for real, bound to a GPU by the numbers of ONNX.

Files from elsewhere with such a border are refused when they are read (``export/borders.py``).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnxruntime_on_cuda import SimulatedRuntime
from simulation import simulated

from benchbox.backends.base import BACKENDS, OpenRequest
from benchbox.backends.cuda.choice import open_layer
from benchbox.backends.cuda.slots import DeviceSlots
from benchbox.backends.onnxruntime.cuda import CPU, CUDA, OnnxRuntimeCudaSession
from benchbox.backends.onnxruntime.types import runtime_type
from benchbox.errors import UsageError
from benchbox.schema.artifact import TensorSpec
from benchbox.schema.model import Precision
from benchbox.stats.inputs import seeded_arrays
from benchbox.tensor_types import array_type

TYPES = {"bfloat16": TensorProto.BFLOAT16, "float8_e4m3fn": TensorProto.FLOAT8E4M3FN}


def _file(tmp_path: Path, kind: int) -> Path:
    """Twice its input, computed in fp32."""
    border = [helper.make_tensor_value_info(name, kind, [2, 8]) for name in ("input", "output")]
    nodes = [
        helper.make_node("Cast", ["input"], ["wide"], "widen", to=TensorProto.FLOAT),
        helper.make_node("Add", ["wide", "wide"], ["sum"], "add"),
        helper.make_node("Cast", ["sum"], ["output"], "shorten", to=kind),
    ]
    graph = helper.make_graph(nodes, "short", border[:1], border[1:])
    path = tmp_path / "short.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


def _request(path: Path, name: str = "bfloat16") -> OpenRequest:
    inputs, outputs = ((TensorSpec(name=side, dtype=name, shape=(2, 8)),) for side in ("input", "output"))
    return OpenRequest(precision=Precision.FP32, threads=1, inputs=inputs, outputs=outputs, onnx_path=path)


@pytest.mark.parametrize("name", TYPES)
def test_the_cpu_computes_them(name: str, tmp_path: Path) -> None:
    request = _request(_file(tmp_path, TYPES[name]), name)
    session = BACKENDS.get("onnxruntime").open(request)
    arrays = seeded_arrays(request.inputs, seed=0, samples=2)
    session.upload(0, arrays)
    session.enqueue(0)
    made = session.download(0)["output"]
    assert made.dtype == array_type(name)
    wide = arrays["input"].astype(np.float32)
    assert np.array_equal(made.astype(np.float32), (2 * wide).astype(array_type(name)).astype(np.float32))
    session.close()


def test_the_gpu_is_given_onnx_numbers(tmp_path: Path) -> None:
    """NumPy's name for the type means nothing to the binding."""
    request = _request(_file(tmp_path, TensorProto.BFLOAT16))
    with simulated() as simulation:
        session = OnnxRuntimeCudaSession(
            SimulatedRuntime([CUDA, CPU]), open_layer(), request, provider=CUDA, graph=False
        )
        bound = session._run[0].args[0].bound
        assert {name: where[2] for name, where in bound.items()} == {"input": 16, "output": 16}
        session.close()
        assert simulation.DEVICE.used_bytes == 0


@pytest.mark.parametrize("name", TYPES)
def test_slots_on_the_device_hold_them(name: str, tmp_path: Path) -> None:
    request = _request(_file(tmp_path, TYPES[name]), name)
    with simulated():
        layer = open_layer()
        stream = layer.stream()
        slots = DeviceSlots(layer, stream, inputs=request.inputs, outputs=request.inputs, count=1)
        arrays = seeded_arrays(request.inputs, seed=0, samples=2)
        slots.upload(0, arrays)
        assert np.array_equal(slots.download(0)["input"].astype(np.float32), arrays["input"].astype(np.float32))
        slots.close()


def test_a_type_without_a_number_is_refused() -> None:
    with pytest.raises(UsageError, match="float8_e3m4"):
        runtime_type("float8_e3m4")
