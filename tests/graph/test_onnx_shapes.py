"""Sizes that a graph computes are inferred, and a small file cannot ask for more of them than memory holds."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import benchbox.graph.onnx_shapes as shapes
from benchbox.errors import ArtifactError
from benchbox.export.foreign import graph_from_file
from benchbox.graph.border import Sizes


def doubling(times: int, *, halved: bool = False) -> onnx.ModelProto:
    """A vector of one size that is doubled so many times, and halved again each time if asked; then a reshape by it."""
    nodes = [helper.make_node("Shape", ["x"], ["s0"])]
    for place in range(times):
        nodes.append(helper.make_node("Concat", [f"s{place}", f"s{place}"], [f"d{place}"], axis=0))
        after = ["Slice", [f"d{place}", "zero", "one"]] if halved else ["Identity", [f"d{place}"]]
        nodes.append(helper.make_node(*after, [f"s{place + 1}"]))
    nodes.append(helper.make_node("Reshape", ["x", f"s{times}"], ["y"]))
    graph = helper.make_graph(
        nodes,
        "doubling",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [7])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(onnx.numpy_helper.np.array([at]), name) for name, at in (("zero", 0), ("one", 1))],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def shape_of(model: onnx.ModelProto, name: str) -> list[int]:
    values = {value.name: value for value in (*model.graph.value_info, *model.graph.output)}
    return [dim.dim_value for dim in values[name].type.tensor_type.shape.dim]


def test_sizes_are_propagated_where_vectors_stay_short() -> None:
    """Sixty doublings, each halved again, look like 2^60 numbers until their lengths are asked for."""
    assert shape_of(shapes.infer_shapes(doubling(60, halved=True)), "y") == [7]


def test_no_values_are_propagated_where_vectors_grow() -> None:
    inferred = shapes.infer_shapes(doubling(40))
    assert shape_of(inferred, "d39") == [2**40]


@pytest.mark.parametrize("inside", [False, True])
def test_vectors_of_inner_graphs_count_too(inside: bool) -> None:
    model = doubling(40)
    if inside:
        branch = helper.make_graph(
            list(model.graph.node), "branch", [], [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
        )
        del model.graph.node[:]
        model.graph.node.append(helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch))
        model.graph.input.append(helper.make_tensor_value_info("c", TensorProto.BOOL, []))
    assert not shapes._few_numbers(model, strict=False)


def test_a_file_that_asks_for_more_than_a_machine_holds_meets_no_runtime(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "net.onnx"
    onnx.save(doubling(60), path)
    monkeypatch.setattr("benchbox.export.foreign.is_loadable", lambda path: pytest.fail("a runtime was asked"))
    with pytest.raises(ArtifactError, match="absurdly large") as refusal:
        graph_from_file(path, sizes=Sizes())
    assert str(2**49) in refusal.value.values
