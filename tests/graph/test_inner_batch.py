"""A batch that is fixed inside, though the border leaves it open, is read off the constants that fix it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from graphs import model_of
from onnx import TensorProto, helper

from benchbox.graph.border import Sizes
from benchbox.graph.inner_batch import InnerBatch, inner_batches

node = helper.make_node
Weights = Mapping[str, np.ndarray]


def found(model: onnx.ModelProto, **sizes: tuple[int, ...]) -> list[tuple[int, bool]]:
    made = inner_batches(model, Path("net.onnx"), Sizes(named=sizes))
    return [(batch.size, batch.certain) for batch in made]


def floats(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


HEADS = [
    node("MatMul", ["x", "w"], ["h"], "project"),
    node("Reshape", ["h", "heads"], ["y"], "heads"),
]


@pytest.mark.parametrize(
    ("nodes", "weights", "shape", "batches"),
    [
        ([node("Reshape", ["x", "to"], ["y"], "flat")], {"to": np.array([4, 12])}, (3, 4), [(4, True)]),
        # 4 samples of 3 heads in one axis: 12 rows of 5 x 4.
        (HEADS, {"w": floats(12, 12), "heads": np.array([12, 5, 4])}, (5, 12), [(4, True), (12, False)]),
        ([node("Reshape", ["x", "to"], ["y"], "flat")], {"to": np.array([0, 12])}, (3, 4), []),
        ([node("Expand", ["t", "to"], ["e"], "token"), node("Concat", ["e", "x"], ["y"], axis=1)],
         {"t": floats(1, 1, 4), "to": np.array([6, 1, 4])}, (5, 4), [(6, False)]),
        ([node("Concat", ["t", "x"], ["y"], axis=1)], {"t": floats(6, 1, 4)}, (5, 4), [(6, False)]),
        ([node("LSTM", ["x", "w", "r", "", "", "h"], ["y"], hidden_size=2)],
         {"w": floats(1, 8, 4), "r": floats(1, 8, 2), "h": floats(1, 7, 2)}, (5, 4), [(7, False)]),
        ([node("Relu", ["x"], ["y"])], {}, (5, 4), []),
    ],
    ids=["flat", "heads", "zero copies", "token", "joined", "state", "none"],
)  # fmt: skip
def test_constants_say_it(
    nodes: Sequence[onnx.NodeProto], weights: Weights, shape: tuple[int, ...], batches: list[tuple[int, bool]]
) -> None:
    assert found(model_of(nodes, inputs={"x": ["batch", *shape]}, weights=weights)) == batches


def test_outputs_that_all_declare_it(tmp_path: Path) -> None:
    model = model_of([node("Relu", ["x"], ["y"])], inputs={"x": ["batch", 4]})
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", TensorProto.FLOAT, [8, 4]))
    assert found(model) == [(8, False)]


def test_where_it_is_fixed_is_named() -> None:
    model = model_of(
        [node("Reshape", ["x", "to"], ["y"], "flat")], inputs={"x": ["batch", 3]}, weights={"to": np.array([4, 3])}
    )
    assert inner_batches(model, Path("net.onnx"), Sizes())[0] == InnerBatch(
        size=4, where="node flat (Reshape) makes 4x3 of x", certain=True
    )


@pytest.mark.parametrize("batch", [2, "sequence"])
def test_a_border_without_a_free_batch_has_none_inside(batch: int | str) -> None:
    model = model_of([node("Reshape", ["x", "to"], ["y"])], inputs={"x": [batch, 3]}, weights={"to": np.array([4, 3])})
    assert found(model, **({"sequence": (4,)} if batch == "sequence" else {})) == []
