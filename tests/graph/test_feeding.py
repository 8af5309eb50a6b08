"""Integers are drawn over the tables that they index, masks are ones, and what is assumed is called so."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchbox.graph.feeding import values_of_inputs
from benchbox.schema.artifact import Drawn, Values

node = helper.make_node
TABLE = np.zeros((50, 2), np.float32)


def values(
    nodes: list[onnx.NodeProto],
    *,
    kind: int = TensorProto.INT64,
    shape: tuple[int | str, ...] = ("batch", 4),
    name: str = "x",
    **weights: np.ndarray,
) -> Values | None:
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info(name, kind, shape)],
        [],
        [numpy_helper.from_array(array, key) for key, array in {"table": TABLE, **weights}.items()],
    )
    return values_of_inputs(graph, [name])[name]


LOOKUP = node("Gather", ["table", "i"], ["y"])


@pytest.mark.parametrize(
    ("nodes", "weights", "low", "high"),
    [
        ([node("Identity", ["x"], ["i"])], {}, 0, 50),
        ([node("Cast", ["x"], ["c"], to=TensorProto.INT32), node("Flatten", ["c"], ["i"])], {}, 0, 50),
        ([node("Unsqueeze", ["x", "axis"], ["u"]), node("Slice", ["u", "a", "b"], ["i"])], {}, 0, 50),
        ([node("Add", ["x", "two"], ["i"])], {"two": np.array(2)}, -2, 48),
        ([node("Add", ["fields", "x"], ["i"])], {"fields": np.array([0, 10, 30])}, 0, 20),
        ([node("Sub", ["x", "one"], ["i"])], {"one": np.array([1])}, 1, 51),
        ([node("Mul", ["x", "two"], ["i"])], {"two": np.array(2)}, 0, 25),
        ([node("Concat", ["start", "x"], ["i"], axis=1)], {"start": np.array([[1]])}, 0, 50),
    ],
)
def test_a_table_is_found_through(
    nodes: list[onnx.NodeProto], weights: dict[str, np.ndarray], low: int, high: int
) -> None:
    found = values([*nodes, LOOKUP], **weights)
    assert found is not None
    assert (found.drawn, found.low, found.high) == (Drawn.ROWS, low, high)
    assert "table" in found.text


def test_of_several_tables_the_rows_that_all_have() -> None:
    nodes = [node("Gather", ["table", "x"], ["y"]), node("Gather", ["small", "x"], ["z"], axis=1)]
    found = values(nodes, small=np.zeros((9, 7), np.float32))
    assert found is not None
    assert (found.high, found.text) == (7, "rows 0 to 6 of small")


LARGE = np.zeros((900, 2), np.float32)


@pytest.mark.parametrize(
    ("parts", "ranges"),
    [
        ([node("Split", ["x"], ["i", "j", "k", "l"], axis=1)], ((0, 50), (0, 900), None, None)),
        (
            [node("Gather", ["x", "zero"], ["i"], axis=1), node("Gather", ["x", "last"], ["j"], axis=-1)],
            ((0, 50), None, None, (0, 900)),
        ),
        (
            [
                node("Slice", ["x"], ["i"], axes=[1], starts=[0], ends=[2]),
                node("Cast", ["x"], ["c"], to=TensorProto.INT32),
                node("Slice", ["c", "two", "end", "axes"], ["j"]),
            ],
            ((0, 50), (0, 50), (0, 900), (0, 900)),
        ),
    ],
    ids=["split", "gather", "slice"],
)
def test_each_feature_is_drawn_over_its_own_table(
    parts: list[onnx.NodeProto], ranges: tuple[tuple[int, int] | None, ...]
) -> None:
    """The rows that all tables have are few, and always in the cache."""
    weights = {"zero": np.array(0), "last": np.array([-1]), "two": np.array([2]), "axes": np.array([1])}
    weights |= {"end": np.array([np.iinfo(np.int64).max]), "large": LARGE}
    found = values([*parts, LOOKUP, node("Gather", ["large", "j"], ["z"])], kind=TensorProto.FLOAT, **weights)
    assert found is not None
    assert (found.drawn, found.low, found.high, found.axis, found.ranges) == (Drawn.ROWS, 0, 900, 1, ranges)
    assert found.text.startswith("rows of large, table, by place along axis 1: up to 49")
    whole = values([*parts, LOOKUP, node("Gather", ["large", "j"], ["z"])], **weights)
    assert whole is not None
    assert (whole.drawn, whole.ranges) == (Drawn.ROWS, tuple(span or (0, 50) for span in ranges))


@pytest.mark.parametrize(
    ("into", "weights"),
    [
        (node("Clip", ["x", "low", "high"], ["i"]), {"low": np.array(0), "high": np.array(49)}),
        (node("Mod", ["x", "high"], ["i"]), {"high": np.array(50)}),
    ],
)
def test_what_is_brought_into_a_table_is_drawn_over_it(into: onnx.NodeProto, weights: dict[str, np.ndarray]) -> None:
    """Any number is right, so the range is assumed, and real inputs may be others."""
    found = values([into, LOOKUP], **weights)
    assert found is not None
    assert (found.drawn, found.high) == (Drawn.ASSUMED, 50)
    assert found.text == f"assumed: rows 0 to 49 of table, behind {into.op_type}"


def test_rows_may_come_as_floats_and_in_few_bits() -> None:
    cast = node("Cast", ["x"], ["i"], to=TensorProto.INT64)
    found = values([cast, LOOKUP], kind=TensorProto.FLOAT)
    assert found is not None
    assert (found.drawn, found.high) == (Drawn.ROWS, 50)
    short = values([cast, node("Gather", ["large", "i"], ["y"])], kind=TensorProto.INT8, large=LARGE)
    assert short is not None
    assert (short.low, short.high) == (0, 128)


@pytest.mark.parametrize(
    ("reading", "high"),
    [
        (node("SoftmaxCrossEntropyLoss", ["table", "x"], ["y"]), 2),
        (node("RotaryEmbedding", ["data", "table", "table", "x"], ["y"]), 50),
        (node("RotaryEmbedding", ["data", "x", "table", "table"], ["y"], domain="com.microsoft"), 50),
        (node("GatherBlockQuantized", ["table", "x", "data"], ["y"], gather_axis=1, domain="com.microsoft"), 2),
    ],
)
def test_labels_and_places_in_a_sequence_are_rows(reading: onnx.NodeProto, high: int) -> None:
    found = values([reading])
    assert found is not None
    assert (found.drawn, found.high) == (Drawn.ROWS, high)


def test_a_table_in_eight_bits_and_the_embedding_of_microsoft() -> None:
    nodes = [node("DequantizeLinear", ["bytes", "scale"], ["wide"]), node("Gather", ["wide", "x"], ["y"])]
    found = values(nodes, bytes=np.zeros((30, 2), np.uint8), scale=np.float32(1))
    assert found is not None
    assert found.high == 30
    fused = node("EmbedLayerNormalization", ["x", "s", "table", "p", "segments"], ["y"], domain="com.microsoft")
    assert (found := values([fused])) is not None
    assert found.high == 50


def test_masks_are_ones() -> None:
    plain = [node("Cast", ["x"], ["c"], to=TensorProto.FLOAT), node("Mul", ["c", "table"], ["y"])]
    called = values([node("Mul", ["attention_mask", "table"], ["y"])], name="attention_mask")
    used = values([node("Cast", ["x"], ["c"], to=TensorProto.FLOAT), node("Sub", ["one", "c"], ["y"])],
                  one=np.float32(1))  # fmt: skip
    compared = values([node("Equal", ["x", "zero"], ["y"])], zero=np.array(0))
    for found in (called, used, compared):
        assert found is not None
        assert (found.drawn, found.constant) == (Drawn.ONES, 1.0)
    assert (assumed := values(plain)) is not None
    assert assumed.drawn is Drawn.ASSUMED


def test_what_is_not_known_is_assumed() -> None:
    picture = [node("Cast", ["x"], ["y"], to=TensorProto.FLOAT)]
    byte = values(picture, kind=TensorProto.UINT8)
    rate = values(picture, shape=())
    assert byte is not None
    assert rate is not None
    assert (byte.drawn, byte.low, byte.high) == (Drawn.ASSUMED, 0, 256)
    assert (rate.drawn, rate.constant) == (Drawn.ASSUMED, 1.0)
    assert values(picture, kind=TensorProto.FLOAT) is None


def test_thresholds_of_a_detector_are_usual_ones() -> None:
    chosen = node("NonMaxSuppression", ["boxes", "scores", "most", "x", "score"], ["y"])
    found = values([chosen], kind=TensorProto.FLOAT, shape=(1,))
    assert found is not None
    assert (found.drawn, found.constant) == (Drawn.ASSUMED, 0.5)


def test_lengths_are_those_of_whole_sequences() -> None:
    """Lengths of 0 or 1 would let a recurrent layer skip nearly all of its steps."""

    def fed(nodes: list[onnx.NodeProto], data: list[int | str]) -> Values | None:
        value = helper.make_tensor_value_info
        inputs = [value("data", 1, data), value("lengths", TensorProto.INT32, ["batch"])]
        weights = [numpy_helper.from_array(np.zeros((1, 24, 3), np.float32), name) for name in ("w", "r")]
        graph = helper.make_graph(nodes, "net", inputs, [], weights)
        return values_of_inputs(graph, ["lengths"], {"batch": 1, "time": 20})["lengths"]

    layer = node("LSTM", ["t", "w", "r", "", "lengths"], ["y"], hidden_size=6)
    turned = node("Transpose", ["data"], ["t"], perm=[1, 0, 2])
    backwards = node("ReverseSequence", ["data", "lengths"], ["y"], time_axis=1, batch_axis=0)
    first = node("GRU", ["data", "w", "r", "", "lengths"], ["y"], hidden_size=6, layout=1)
    for nodes in ([turned, layer], [backwards], [first]):
        found = fed(nodes, ["batch", "time", 3])
        assert found is not None
        assert (found.drawn, found.constant) == (Drawn.ASSUMED, 20)


@pytest.mark.parametrize(
    ("reading", "high"),
    [
        (node("ScatterElements", ["table", "x", "table"], ["y"], axis=1), 2),
        (node("ScatterND", ["table", "x", "table"], ["y"]), 2),
        (node("RoiAlign", ["pictures", "boxes", "x"], ["y"]), 1),
        (node("Gather", ["pictures", "x"], ["y"]), 1),
    ],
)
def test_places_that_are_written_or_taken_exist(reading: onnx.NodeProto, high: int) -> None:
    pictures = helper.make_tensor_value_info("pictures", 1, ["batch", 3, 8, 8])
    graph = helper.make_graph(
        [reading], "net", [pictures, helper.make_tensor_value_info("x", 7, ["n", 2])], [],
        [numpy_helper.from_array(TABLE, "table")],
    )  # fmt: skip
    found = values_of_inputs(graph, ["x"], {"batch": 1})["x"]
    assert found is not None
    assert (found.drawn, found.low, found.high) == (Drawn.ROWS, 0, high)


def test_a_table_is_found_inside_of_branches_loops_and_scans() -> None:
    value = helper.make_tensor_value_info
    branch = helper.make_graph([node("Gather", ["table", "x"], ["t"])], "branch", [], [value("t", 1, None)])
    choice = node("If", ["on"], ["y"], then_branch=branch, else_branch=branch)
    body = helper.make_graph(
        [
            node("Gather", ["table", "ids"], ["t"]),
            node("Identity", ["going"], ["on"]),
            node("Identity", ["ids"], ["i"]),
        ],
        "body",
        [value("turn", 7, []), value("going", 9, []), value("ids", 7, ["n"])],
        [value("on", 9, []), value("i", 7, ["n"]), value("t", 1, None)],
    )
    turns = node("Loop", ["", "", "x"], ["same", "y"], body=body)
    slices = helper.make_graph(
        [node("Gather", ["table", "id"], ["t"])], "slices", [value("id", 7, [])], [value("t", 1, None)]
    )
    scanned = node("Scan", ["x"], ["y"], body=slices, num_scan_inputs=1)
    behind = helper.make_graph([node("Identity", ["x"], ["t"])], "behind", [], [value("t", 7, None)])
    handed = [node("If", ["on"], ["i"], then_branch=behind, else_branch=behind), LOOKUP]
    for nodes in ([choice], [turns], [scanned], handed):
        found = values(nodes)
        assert found is not None
        assert (found.drawn, found.high) == (Drawn.ROWS, 50)
