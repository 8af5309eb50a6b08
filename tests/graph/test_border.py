"""The batch is a size and not a place; what the file fixes stays, and what a message advises works."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import onnx
import pytest
from graphs import Dims
from onnx import TensorProto, helper

from benchbox.errors import UsageError
from benchbox.graph.border import Border, Sizes, border_of
from benchbox.models.sources import parse_shapes

PATH = Path("net.onnx")


def graph_of(inputs: dict[str, Dims], nodes: tuple[onnx.NodeProto, ...] = ()) -> onnx.GraphProto:
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()]
    return helper.make_graph(list(nodes), "net", values, [])


def border(inputs: dict[str, Dims], sizes: Sizes | None = None, nodes: tuple[onnx.NodeProto, ...] = ()) -> Border:
    return border_of(graph_of(inputs, nodes), sizes or Sizes(), PATH)


def axes(found: Border) -> dict[str, int | None]:
    return {given.name: given.batch_axis for given in found.inputs}


@pytest.mark.parametrize(
    ("inputs", "batch", "where"),
    [
        ({"ids": ["batch", 8], "mask": ["batch", 8]}, None, {"ids": 0, "mask": 0}),
        ({"x": ["batch", 64], "state": [2, "batch", 32], "rate": []}, None, {"x": 0, "state": 1, "rate": None}),
        ({"x": [20, "N", 8]}, None, {"x": 1}),
        ({"image": ["b", 3, 4, 4], "scale": [1], "t": []}, None, {"image": 0, "scale": None, "t": None}),
        ({"image": ["unk__0", 3], "boxes": ["unk__1", 4]}, None, {"image": 0, "boxes": 0}),
        ({"a": [None, 3], "b": [None, 5]}, None, {"a": 0, "b": 0}),
        ({"x": ["rows", 3], "y": ["rows", 4]}, None, {"x": 0, "y": 0}),
        ({"x": [4, 3], "y": [4, 5], "scale": [1]}, 4, {"x": 0, "y": 0, "scale": None}),
        ({"x": [1, 64], "state": [2, 1, 32], "rate": []}, 1, {"x": 0, "state": 1, "rate": None}),
        ({"a": [4, 8], "b": [6, 8]}, 1, {"a": None, "b": None}),
    ],
)  # fmt: skip
def test_the_batch_is_followed(inputs: dict[str, Dims], batch: int | None, where: dict[str, int | None]) -> None:
    found = border(inputs)
    assert (found.batch, axes(found)) == (batch, where)


def test_without_inputs_one_inference_is_one_sample() -> None:
    for sizes in (Sizes(), Sizes(batch=1)):
        found = border({}, sizes)
        assert (found.inputs, found.batch, found.symbols) == ((), 1, {})


@pytest.mark.parametrize(
    "sizes", [Sizes(batch=2), Sizes(shape=(3,)), Sizes(named={"x": (3,)}), Sizes(axes={"x": 0})], ids=str
)
def test_sizes_of_no_input_are_refused(sizes: Sizes) -> None:
    with pytest.raises(UsageError, match=r"net.onnx has no inputs"):
        border({}, sizes)


def test_a_number_of_points_is_no_batch() -> None:
    found = border({"points": [1, "n", 3]}, Sizes(named={"n": (5,)}))
    assert (found.batch, axes(found)) == (1, {"points": 0})


def test_a_size_that_an_input_has_twice_is_no_batch() -> None:
    """A matrix of all pairs: with one node, as with one sample, a network of graphs would compute nothing."""
    inputs: dict[str, Dims] = {"x": ["N", 8], "adjacency": ["N", "N"]}
    with pytest.raises(UsageError, match="is not known"):
        border(inputs)
    found = border(inputs, Sizes(named={"N": (6,)}))
    assert [(given.shape, given.batch_axis) for given in found.inputs] == [((6, 8), None), ((6, 6), None)]
    masked: dict[str, Dims] = {"x": ["batch", "n", 8], "mask": ["batch", "n", "n"]}
    assert [given.batch_axis for given in border(masked, Sizes(named={"n": (6,)})).inputs] == [0, 0]


def test_no_axis_of_scalars_is_advised() -> None:
    with pytest.raises(UsageError) as caught:
        border({"a": [], "b": []}, Sizes(batch=2))
    assert caught.value.remedy == "leave --batch out: one inference is one sample"


def test_every_input_that_carries_the_batch_gets_it() -> None:
    inputs: dict[str, Dims] = {"x": ["seq", "batch", 8], "state": [2, "batch", 16], "scale": [1]}
    found = border(inputs, Sizes(batch=3, named={"seq": (20,)}))
    assert [given.shape for given in found.inputs] == [(20, 3, 8), (2, 3, 16), (1,)]


def test_a_recurrent_layer_says_where_its_batch_is() -> None:
    nodes = (
        helper.make_node("Cast", ["x"], ["c"], to=1),
        helper.make_node("LSTM", ["c", "W", "R", "", "", "h"], ["y"], hidden_size=4),
    )
    found = border({"x": [20, 1, 8], "h": [1, 1, 4]}, nodes=nodes)
    assert (axes(found), found.batch) == ({"x": 1, "h": 1}, 1)
    first = (helper.make_node("Transpose", ["x"], ["c"], perm=[1, 0, 2]), *nodes[1:])
    assert axes(border({"x": [6, 20, 8], "h": [1, 6, 4]}, nodes=first)) == {"x": 0, "h": 1}


def test_the_sequence_is_no_batch() -> None:
    found = border({"x": ["sequence", 1, 8]}, Sizes(named={"sequence": (20,)}))
    assert (axes(found), found.batch) == ({"x": None}, 1)
    with pytest.raises(UsageError, match="--batch-axis x=0"):
        border({"x": ["sequence", 1, 8]}, Sizes(batch=4, named={"sequence": (20,)}))
    said = border({"x": ["sequence", 4, 8]}, Sizes(named={"sequence": (20,)}, axes={"x": 1}))
    assert (axes(said), said.batch) == ({"x": 1}, 4)


def test_an_axis_that_is_said_is_followed() -> None:
    inputs: dict[str, Dims] = {"x": ["time", "speakers", 8], "state": [2, "speakers", 16]}
    found = border(inputs, Sizes(batch=3, named={"time": (5,)}, axes={"x": 1}))
    assert [given.shape for given in found.inputs] == [(5, 3, 8), (2, 3, 16)]
    with pytest.raises(UsageError, match="no input 'y'"):
        border(inputs, Sizes(axes={"y": 1}))
    with pytest.raises(UsageError, match="no axis 3"):
        border(inputs, Sizes(axes={"x": 3}))


def test_a_fixed_batch_is_refused_otherwise_with_a_remedy() -> None:
    with pytest.raises(UsageError, match="--batch 4"):
        border({"x": [4, 8]}, Sizes(batch=1))
    assert border({"x": ["batch", 8]}, Sizes(named={"batch": (4,)})).batch == 4


def test_zero_is_a_size() -> None:
    inputs: dict[str, Dims] = {"q": ["N", 4, "L", 8], "past": ["N", 4, "P", 8]}
    found = border(inputs, Sizes(batch=2, named={"L": (3,), "P": (0,)}))
    assert [given.shape for given in found.inputs] == [(2, 4, 3, 8), (2, 4, 0, 8)]


def test_a_length_may_be_a_sum() -> None:
    inputs: dict[str, Dims] = {"ids": ["batch", "seq"], "past": ["batch", "past"], "mask": ["batch", "past + seq"]}
    found = border(inputs, Sizes(batch=1, named={"seq": (3,), "past": (5,)}))
    assert found.inputs[2].shape == (1, 8)


@pytest.mark.parametrize(
    ("sizes", "word"),
    [
        (Sizes(shape=(8,), named={"ids": (8,)}), "twice for the same input"),
        (Sizes(shape=(8,), named={"seq": (9,)}), "gives a size twice"),
        (Sizes(named={"ids": (8,), "mask": (9,)}), "gives a size twice"),
        (Sizes(named={"seq": (8, 9)}), "one size"),
        (Sizes(named={"nobody": (8,)}), "no input and no dimension"),
    ],
)
def test_the_same_thing_is_not_said_twice(sizes: Sizes, word: str) -> None:
    with pytest.raises(UsageError, match=word):
        border({"ids": ["batch", "seq"], "mask": ["batch", "seq"]}, sizes)


@pytest.mark.parametrize(
    "inputs",
    [
        {"ids": ["batch", "seq"], "mask": ["batch", "seq"], "other": ["batch", "a b", 3]},
        {"x": [None, None, 3]},
        {"x": ["height", "width"]},
        {"a": ["users", 3], "b": ["items", 3]},
        {"seq": ["batch", 3], "ids": ["batch", "seq"]},
    ],
)
def test_a_remedy_that_is_printed_works(inputs: dict[str, Dims]) -> None:
    said: list[str] = []
    for _ in range(6):
        _, named = parse_shapes(said)
        try:
            border(inputs, Sizes(named=named))
            return
        except UsageError as error:
            (option,) = re.findall(r"for example --input (.*?)(?:, or all|$| \(without)", error.remedy)
            said += shlex.split(option)
    pytest.fail(f"{said} were not enough")


def test_a_term_of_a_sum_may_be_said_though_no_axis_is_called_so() -> None:
    dims: dict[str, Dims] = {"ids": ["batch", "seq"], "mask": ["batch", "past + seq"]}
    found = border(dims, Sizes(batch=1, named={"seq": (3,), "past": (5,)}))
    assert [given.shape for given in found.inputs] == [(1, 3), (1, 8)]
    with pytest.raises(UsageError, match="no dimension 'future'"):
        border(dims, Sizes(batch=1, named={"seq": (3,), "future": (5,)}))
