"""What ONNX Runtime does not load is refused with a remedy that works."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from benchbox.backends.once import evaluate_graph
from benchbox.errors import ArtifactError
from benchbox.schema.artifact import TensorSpec
from benchbox.schema.model import Precision


def written(path: Path, nodes: list[onnx.NodeProto], kind: int = TensorProto.FLOAT) -> Path:
    border = [helper.make_tensor_value_info(name, kind, [2, 3, 4]) for name in "xy"]
    graph = helper.make_graph(nodes, "net", border[:1], border[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return path


def run(path: Path, dtype: str = "float32") -> np.ndarray:
    spec = TensorSpec(name="x", dtype=dtype, shape=(2, 3, 4))
    output = TensorSpec(name="y", dtype=dtype, shape=(2, 3, 4))
    feed = {"x": np.full((2, 3, 4), -2, dtype)}
    (made,) = evaluate_graph(path, [feed], inputs=[spec], outputs=[output], precision=Precision.FP32)
    return made["y"]


def test_nodes_of_one_name_are_named_and_the_remedy_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["a"], name="act"),
        helper.make_node("Neg", ["a"], ["b"], name="turn"),
        helper.make_node("Exp", ["b"], ["y"], name="act"),
    ]
    path = written(tmp_path / "a net.onnx", nodes)
    with pytest.raises(ArtifactError, match="several of its nodes have one name") as caught:
        run(path)
    assert caught.value.values == "nodes 0, 2 are all called 'act'"
    command = caught.value.remedy.partition("renamed.onnx: ")[2].partition("; or try")[0]
    python, flag, code = shlex.split(command)
    assert (python, flag) == ("python", "-c")
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    assert (run(tmp_path / "renamed.onnx") == 1).all()


def test_an_operator_that_has_no_kernel_for_its_type(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="cannot load") as caught:
        run(written(tmp_path / "net.onnx", [helper.make_node("Elu", ["x"], ["y"])], TensorProto.DOUBLE), "float64")
    assert "Elu" in caught.value.values
    assert "ONNXRuntimeError" not in caught.value.values
    assert "another --backend" in caught.value.remedy
