"""Weights beside an ONNX file identify it as much as the file itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchbox.errors import ArtifactError
from benchbox.export.exporting import artifact_from_source
from benchbox.export.foreign import graph_from_file
from benchbox.graph.border import Sizes
from benchbox.graph.external import model_from_file
from benchbox.models.sources import resolve
from benchbox.schema.model import Precision
from benchbox.store.checking import check_store
from benchbox.store.external import external_sha256, weights_fault


def product(path: Path, *, where: str = "initializer") -> onnx.ModelProto:
    """x @ w, its weight in net.data: an initializer, or the value of a Constant."""
    weight = numpy_helper.from_array(np.ones((4, 3), np.float32), "w")
    constant = helper.make_node("Constant", [], ["w"], value=weight)
    graph = helper.make_graph(
        [*([constant] if where == "constant" else []), helper.make_node("MatMul", ["x", "w"], ["y"])],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])],
        [weight] if where == "initializer" else [],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = {"save_as_external_data": True, "location": "net.data", "size_threshold": 0, "convert_attribute": True}
    onnx.save(proto, str(path), **options)
    return proto


def write_weights(path: Path, value: float) -> None:
    data = path.with_suffix(".data")
    data.write_bytes(np.full(data.stat().st_size // 4, value, np.float32).tobytes())


@pytest.mark.parametrize("where", ["initializer", "constant"])
def test_changed_data_has_another_digest(where: str, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    proto = product(path, where=where)
    first = external_sha256(path)
    write_weights(path, 2.0)
    assert None not in {first, external_sha256(path)}
    assert external_sha256(path) != first
    (tmp_path / "net.data").unlink()
    with pytest.raises(ArtifactError, match=r"external data of .*net\.onnx"):
        external_sha256(path)
    onnx.save(proto, str(tmp_path / "whole.onnx"), save_as_external_data=False)


def test_a_file_with_its_weights_inside_names_none(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    product(path)
    onnx.save(onnx.load(str(path)), str(tmp_path / "whole.onnx"))
    assert external_sha256(tmp_path / "whole.onnx") is None


def test_changed_data_has_other_expected_outputs(tmp_path: Path) -> None:
    """Those of the old data would make every backend look wrong."""
    path = tmp_path / "net.onnx"
    product(path)
    source = resolve(str(path), input_shape=None, weights=None)
    before = artifact_from_source(source, precision=Precision.FP32, root=tmp_path)
    half = artifact_from_source(source, precision=Precision.FP16, root=tmp_path)
    assert artifact_from_source(source, precision=Precision.FP16, root=tmp_path) == half
    write_weights(path, 1.5)
    after = artifact_from_source(source, precision=Precision.FP32, root=tmp_path)
    assert (after.sha256, after.path) == (before.sha256, before.path)
    assert None not in {before.weights_sha256, after.weights_sha256}
    assert before.weights_sha256 != after.weights_sha256, "it is another network"
    assert half.weights_sha256 is None, "a derived file holds all its weights"
    with np.load(tmp_path / before.expected_path) as old, np.load(tmp_path / after.expected_path) as new:
        np.testing.assert_allclose(new["y"], 1.5 * old["y"], rtol=1e-5)
    assert artifact_from_source(source, precision=Precision.FP16, root=tmp_path).sha256 != half.sha256


def test_of_external_data_only_what_is_small_is_read(tmp_path: Path) -> None:
    """Whole numbers that are added to ids decide which ids are in range; the weights need not be in memory."""
    arrays = {"table": np.ones((5000, 64), np.float32), "offset": np.array([3, 7], np.int64)}
    graph = helper.make_graph(
        [helper.make_node("Add", ["ids", "offset"], ["rows"]), helper.make_node("Gather", ["table", "rows"], ["y"])],
        "net",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 2, 64])],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path / "net.onnx"
    onnx.save(proto, str(path), save_as_external_data=True, location="net.data", size_threshold=0)
    table, offset = model_from_file(path).graph.initializer
    assert table.data_location == TensorProto.EXTERNAL
    assert not table.raw_data
    assert numpy_helper.to_array(offset).tolist() == [3, 7]
    (ids,) = graph_from_file(path, sizes=Sizes()).inputs
    assert ids.values is not None
    assert (ids.values.low, ids.values.high) == (-3, 4993)
    with (tmp_path / "net.data").open("r+b") as data:
        data.truncate(1000)
    with pytest.raises(ArtifactError, match="is not a valid ONNX file") as refusal:
        graph_from_file(path, sizes=Sizes())
    assert "ends at byte 1000" in refusal.value.values


def test_the_store_notices_that_the_data_beside_a_file_changed(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    product(path)
    artifact_from_source(resolve(str(path), input_shape=None, weights=None), precision=Precision.FP32, root=tmp_path)
    assert not check_store(tmp_path).faults
    write_weights(path, 2.0)
    (fault,) = check_store(tmp_path).faults
    assert "external data" in fault.reason
    assert weights_fault(path, external_sha256(path)) == ""
    (tmp_path / "net.data").unlink()
    assert "net.data" in weights_fault(path, "0")
