"""Engines that need more than buffers: plugins, shapes on the host, memory for outputs whose size depends on data."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from simulation import simulated

from benchbox.backends.base import BACKENDS, OpenRequest, Session
from benchbox.backends.tensorrt import TensorRt
from benchbox.backends.tensorrt.builder import engine_from_onnx
from benchbox.backends.tensorrt.plugins import LIBRARIES_VARIABLE, plugin_flags
from benchbox.errors import ArtifactError, DeviceMemoryError, MeasurementError, UsageError
from benchbox.schema.artifact import TensorSpec
from benchbox.schema.engine import EngineRecipe
from benchbox.schema.model import Precision

RECIPE = EngineRecipe(
    onnx_sha256="",
    weights_sha256=None,
    backend="tensorrt",
    backend_version="",
    targets=(),
    device="",
    profiles=(),
    flags=(),
    timing_cache_sha256=None,
)


@pytest.fixture
def simulation(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.setattr("benchbox.backends.tensorrt.plugins._loaded", set())
    with simulated() as module:
        yield module


def _graph(tmp_path: Path, *nodes: onnx.NodeProto, shape_input: bool = False, kind: int = TensorProto.FLOAT) -> Path:
    inputs = [helper.make_tensor_value_info("input", TensorProto.FLOAT, [2, 4])]
    if shape_input:
        inputs.append(helper.make_tensor_value_info("sizes", TensorProto.INT64, [2]))
    shape = [None, None] if kind == TensorProto.INT64 else [2, 4]
    outputs = [helper.make_tensor_value_info("output", kind, shape)]
    graph = helper.make_graph(list(nodes), "small", inputs, outputs)
    path = tmp_path / "small.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


def _opened(
    path: Path, *inputs: TensorSpec, output: TensorSpec | None = None, backend: str = "tensorrt", **options: Any
) -> Session:
    engine = path.with_suffix(".engine")
    engine.write_bytes(bytes(engine_from_onnx(TensorRt().bindings(), path, RECIPE).engine))
    first = TensorSpec(name="input", dtype="float32", shape=(2, 4), batch_axis=0)
    made = output or TensorSpec(name="output", dtype="float32", shape=(2, 4), batch_axis=0)
    request = OpenRequest(
        precision=Precision.FP32, threads=1, inputs=(first, *inputs), outputs=(made,), engine_path=engine, **options
    )
    return BACKENDS.get(backend).open(request)


def test_plugins_of_the_vendor_are_known(simulation: ModuleType, tmp_path: Path) -> None:
    """To the parser and to the runtime: neither finds them before they are initialised."""
    session = _opened(_graph(tmp_path, helper.make_node("EfficientNMS_TRT", ["input"], ["output"], "nms")))
    assert "plugin_libraries" not in session.evidence().options
    session.close()


def test_a_library_of_plugins_is_loaded_and_named(
    simulation: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _graph(tmp_path, helper.make_node("CustomScale", ["input"], ["output"], "scale"))
    with pytest.raises(ArtifactError, match=r"node 'scale' \(CustomScale\).*Plugin not found"):
        _opened(path)
    library = tmp_path / "libscale.so"
    library.write_bytes(b"simulated plugin CustomScale")
    monkeypatch.setenv(LIBRARIES_VARIABLE, os.pathsep.join([str(library), str(library)]))
    session = _opened(path)
    assert session.evidence().options["plugin_libraries"] == "libscale.so"
    (flag,) = plugin_flags()
    assert flag.startswith("plugin libscale.so ")
    session.close()
    library.write_bytes(b"simulated plugin CustomScale, another build")
    assert plugin_flags() != (flag,), "another library is another engine"


def test_what_is_no_library_of_plugins_is_refused(
    simulation: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _graph(tmp_path, helper.make_node("Relu", ["input"], ["output"], "relu"))
    (tmp_path / "libother.so").write_bytes(b"something else")
    monkeypatch.setenv(LIBRARIES_VARIABLE, str(tmp_path / "libother.so"))
    with pytest.raises(ArtifactError, match=r"cannot load the plugin library libother\.so"):
        _opened(path)
    monkeypatch.setenv(LIBRARIES_VARIABLE, str(tmp_path / "none.so"))
    with pytest.raises(UsageError, match="no such plugin library"):
        _opened(path)


def test_a_shape_that_the_host_reads_is_refused_by_name(simulation: ModuleType, tmp_path: Path) -> None:
    path = _graph(tmp_path, helper.make_node("Reshape", ["input", "sizes"], ["output"], "shape"), shape_input=True)
    sizes = TensorSpec(name="sizes", dtype="int64", shape=(2,), batch_axis=None)
    with pytest.raises(UsageError, match="reads sizes on the host"):
        _opened(path, sizes)
    assert simulation.DEVICE.used_bytes == 0


@pytest.mark.parametrize("understated", [1, 16])
@pytest.mark.parametrize("name", ["tensorrt", "tensorrt-graph"])
def test_an_output_is_as_long_as_the_data_say(name: str, understated: int, tmp_path: Path) -> None:
    """In memory that the runtime asks for, of each slot its own, also where an engine says less than it needs."""
    node = helper.make_node("NonZero", ["input"], ["output"], "found")
    path = _graph(tmp_path, node, kind=TensorProto.INT64)
    made = TensorSpec(name="output", dtype="int64", shape=(2, None), batch_axis=None)
    few, many = np.zeros((2, 4), np.float32), np.ones((2, 4), np.float32)
    few[1, 2] = 1
    with simulated(understated_outputs=understated, grain_bytes=1) as simulation:
        session = _opened(path, output=made, backend=name, slots=2)
        session.upload(0, {"input": few})
        session.upload(1, {"input": many})
        for slot in (1, 0, 1, 0):
            session.enqueue(slot)
        session.synchronize()
        for slot, array in ((0, few), (1, many)):
            assert np.array_equal(session.download(slot)["output"], np.array(np.nonzero(array)))
        graph = session.evidence().options["cuda_graph"]
        assert graph == "off" if name == "tensorrt" else "depends on data" in graph
        session.close()
        assert simulation.DEVICE.used_bytes == 0


def test_an_output_that_finds_no_memory_is_an_error(tmp_path: Path) -> None:
    path = _graph(tmp_path, helper.make_node("NonZero", ["input"], ["output"], "found"), kind=TensorProto.INT64)
    made = TensorSpec(name="output", dtype="int64", shape=(2, None), batch_axis=None)
    with simulated(understated_outputs=16, grain_bytes=1) as simulation:
        session = _opened(path, output=made)
        session.upload(0, {"input": np.ones((2, 4), np.float32)})
        left = simulation.DEVICE.knobs["memory_bytes"]
        simulation.DEVICE.knobs["memory_bytes"] = 0
        with pytest.raises(MeasurementError, match="could not start") as error:
            session.enqueue(0)
        assert "no memory for output output" in error.value.values
        simulation.DEVICE.knobs["memory_bytes"] = left
        session.close()


def test_such_an_output_cannot_be_copied_inside_a_request(simulation: ModuleType, tmp_path: Path) -> None:
    path = _graph(tmp_path, helper.make_node("NonZero", ["input"], ["output"], "found"), kind=TensorProto.INT64)
    made = TensorSpec(name="output", dtype="int64", shape=(2, None), batch_axis=None)
    with pytest.raises(UsageError, match="cannot be a part of a request"):
        _opened(path, output=made, transfers=True)
    assert simulation.DEVICE.used_bytes == 0


def test_only_memory_that_ran_out_is_called_so(tmp_path: Path) -> None:
    """A refusal that merely has the word memory in it is none."""
    path = _graph(tmp_path, helper.make_node("Relu", ["input"], ["output"], "relu"))
    with simulated(memory_bytes=1, primary_bytes=0), pytest.raises(DeviceMemoryError, match="OutOfMemory"):
        _opened(path)
    with simulated(fail_sizing=True), pytest.raises(ArtifactError, match="cannot size its memory"):
        _opened(path)
