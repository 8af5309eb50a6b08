"""Is a network that one message cannot hold refused before its weights are loaded?"""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from benchbox.errors import ArtifactError
from benchbox.export.large import require_convertible
from benchbox.schema.model import Precision


def _file(folder: Path, rows: int) -> Path:
    """A product with a weight of 4 MB a row in a sparse file: nothing of it is on the disk, and nothing is read."""
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, data_location=TensorProto.EXTERNAL)
    weight.dims.extend([1 << 20, rows])
    for key, value in (("location", "w.bin"), ("offset", "0"), ("length", str(rows << 22))):
        weight.external_data.add(key=key, value=value)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "large",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1 << 20])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, rows])],
        [weight],
    )
    path = folder / "large.onnx"
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString())
    with (folder / "w.bin").open("wb") as data:
        data.truncate(rows << 22)
    return path


@pytest.mark.parametrize("precision", [Precision.FP16, Precision.INT8])
def test_what_one_message_cannot_hold_is_refused_with_its_size(tmp_path: Path, precision: Precision) -> None:
    with pytest.raises(ArtifactError, match=f"large is too large to be converted to {precision}") as refusal:
        require_convertible(_file(tmp_path, 600), model="large", precision=precision)
    assert "2.34" in refusal.value.values
    assert "measure it as it is" in refusal.value.remedy


def test_what_fits_is_not_refused(tmp_path: Path) -> None:
    require_convertible(_file(tmp_path, 500), model="large", precision=Precision.FP16)
    assert onnx.load(str(tmp_path / "large.onnx"), load_external_data=False).graph.initializer[0].dims[1] == 500
