"""Sizes that a graph computes for itself are followed, and only small ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from graphs import cost_from_onnx, model_of, saved
from onnx import helper

from benchbox.errors import ArtifactError
from benchbox.graph.graph import graph_from_file
from benchbox.graph.propagation import LIMIT, small_values

node = helper.make_node


def test_a_shape_made_with_where_and_constant_of_shape(tmp_path: Path) -> None:
    """As TorchScript's exporter writes x.expand(n, -1, -1) of a class token."""
    nodes = [
        node("Shape", ["x"], ["s"], name="shape"),
        node("Gather", ["s", "zero"], ["n"], name="gather"),
        node("Concat", ["n", "minus", "minus"], ["wanted"], name="concat", axis=0),
        node("Shape", ["wanted"], ["length"], name="length"),
        node("ConstantOfShape", ["length"], ["zeros"], name="zeros"),
        node("Add", ["zeros", "one"], ["ones"], name="ones"),
        node("Equal", ["wanted", "minus"], ["kept"], name="equal"),
        node("Cast", ["ones"], ["whole"], name="cast", to=7),
        node("Where", ["kept", "whole", "wanted"], ["target"], name="where"),
        node("Expand", ["token", "target"], ["y"], name="expand"),
    ]
    weights = {
        "zero": np.array([0], np.int64),
        "minus": np.array([-1], np.int64),
        "one": np.array([1], np.float32),
        "token": np.zeros((1, 1, 16), np.float32),
    }
    path = saved(tmp_path / "net.onnx", model_of(nodes, inputs={"x": ["batch", 3]}, weights=weights))
    graph = graph_from_file(path, batch=6)
    assert graph.nodes[-1].outputs[0].shape == (6, 1, 16)
    assert [view.name for view in graph.nodes] == [n.name for n in nodes]


def test_a_huge_constant_is_not_made(tmp_path: Path) -> None:
    nodes = [
        node("Shape", ["x"], ["s"], name="shape"),
        node("Mul", ["s", "many"], ["size"], name="mul"),
        node("ConstantOfShape", ["size"], ["z"], name="zeros"),
        node("NonZero", ["z"], ["y"], name="nonzero"),
    ]
    model = model_of(nodes, inputs={"x": [4]}, weights={"many": np.array([2**30], np.int64)})
    values = small_values(model.graph, {"x": (4,)}, 20)
    assert set(values) == {"s", "size"}
    with pytest.raises(ArtifactError, match="nonzero"):
        cost_from_onnx(saved(tmp_path / "net.onnx", model))


def test_what_depends_on_data_stays_unknown(tmp_path: Path) -> None:
    nodes = [node("NonZero", ["x"], ["y"], name="where_is_it")]
    with pytest.raises(ArtifactError, match="where_is_it"):
        cost_from_onnx(saved(tmp_path / "net.onnx", model_of(nodes, inputs={"x": [2, 3]})))


def test_ranges_and_tiles_are_bounded() -> None:
    nodes = [
        node("Range", ["start", "end", "step"], ["r"]),
        node("Range", ["start", "far", "step"], ["too_long"]),
        node("Tile", ["r", "times"], ["t"]),
        node("Tile", ["r", "too_often"], ["too_large"]),
    ]
    weights = {
        "start": np.array(0, np.int64), "end": np.array(5, np.int64), "step": np.array(1, np.int64),
        "far": np.array(LIMIT + 1, np.int64), "times": np.array([2], np.int64),
        "too_often": np.array([LIMIT], np.int64),
    }  # fmt: skip
    values = small_values(model_of(nodes, inputs={"x": [1]}, weights=weights).graph, {}, 20)
    assert {name: array.tolist() for name, array in values.items()} == {
        "r": [0, 1, 2, 3, 4],
        "t": [0, 1, 2, 3, 4, 0, 1, 2, 3, 4],
    }
