"""What people bring is fed as it wants to be, on every command: named sizes, states, scalars, boxes, real samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchbox.jobs.prepare import exported_sources, onnx_at_batch
from benchbox.models.sources import resolve
from benchbox.schema.artifact import OnnxArtifact
from benchbox.schema.model import InputChoice, Precision

pytestmark = pytest.mark.usefixtures("one_process")

node = helper.make_node
FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
Border = Mapping[str, tuple[int, Sequence[int | str]]]
RNG = np.random.default_rng(3)


def floats(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32) / 4


def written(path: Path, nodes: Sequence[onnx.NodeProto], inputs: Border, outputs: Border, **weights: np.ndarray) -> str:
    def infos(values: Border) -> list[onnx.ValueInfoProto]:
        return [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in values.items()]

    stored = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(list(nodes), "net", infos(inputs), infos(outputs), stored)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return str(path)


def tokens(path: Path) -> str:
    """Ids and a mask, both free in batch and length."""
    nodes = [
        node("Gather", ["table", "ids"], ["e"], name="embed"),
        node("Cast", ["attention_mask"], ["m"], to=FLOAT),
        node("Unsqueeze", ["m", "last"], ["u"]),
        node("Mul", ["e", "u"], ["k"]),
        node("MatMul", ["k", "w"], ["y"], name="project"),
    ]
    sizes = ("batch", "sequence")
    return written(
        path,
        nodes,
        {"ids": (INT64, sizes), "attention_mask": (INT64, sizes)},
        {"y": (FLOAT, (*sizes, 4))},
        table=floats(300, 8),
        w=floats(8, 4),
        last=np.array([2]),
    )


def stateful(path: Path, batch: int | str) -> str:
    """A recurrent state [2, batch, 4] beside a sequence-first input, and a scalar."""
    nodes = [
        node("Slice", ["state", "zero", "one", "zero"], ["h"]),
        node("Slice", ["state", "one", "two", "zero"], ["c"]),
        node("LSTM", ["x", "W", "R", "", "", "h", "c"], ["", "hn", "cn"], hidden_size=4),
        node("Concat", ["hn", "cn"], ["next"], axis=0),
        node("Cast", ["rate"], ["r"], to=FLOAT),
        node("Squeeze", ["hn", "zero"], ["s"]),
        node("Mul", ["s", "r"], ["y"]),
    ]
    return written(
        path,
        nodes,
        {"x": (FLOAT, [20, batch, 3]), "state": (FLOAT, [2, batch, 4]), "rate": (INT64, [])},
        {"y": (FLOAT, [batch, 4]), "next": (FLOAT, [2, batch, 4])},
        W=floats(1, 16, 3),
        R=floats(1, 16, 4),
        zero=np.array([0]),
        one=np.array([1]),
        two=np.array([2]),
    )


def detector(path: Path) -> str:
    """Boxes and scores, of which NonMaxSuppression keeps as many as the data say."""
    nodes = [
        node("Reshape", ["image", "boxes_shape"], ["raw"]),
        node("Sigmoid", ["raw"], ["boxes"]),
        node("ReduceMean", ["boxes"], ["mean"], axes=[2], keepdims=0),
        node("Unsqueeze", ["mean", "one"], ["scores"]),
        node("NonMaxSuppression", ["boxes", "scores", "most", "iou", "least"], ["selected"]),
        node("Mul", ["raw", "scale"], ["scaled"]),
    ]
    return written(
        path,
        nodes,
        {"image": (FLOAT, ["batch", 3, 8, 4]), "scale": (FLOAT, [1])},
        {"selected": (INT64, ["n", 3]), "scaled": (FLOAT, ["batch", 24, 4])},
        boxes_shape=np.array([0, 24, 4]),
        one=np.array([1]),
        most=np.array([5]),
        iou=np.float32([0.5]),
        least=np.float32([0.5]),
    )


def chosen(path: Path) -> str:
    """The positive values: as many as there are."""
    nodes = [
        node("Greater", ["x", "zero"], ["g"]),
        node("Reshape", ["g", "flat"], ["f"]),
        node("Reshape", ["x", "flat"], ["v"]),
        node("Compress", ["v", "f"], ["y"], axis=0),
    ]
    return written(path, nodes, {"x": (FLOAT, [1, 50])}, {"y": (FLOAT, ["n"])}, zero=np.float32(0), flat=np.array([-1]))


def picture(path: Path, batch: int | str, rows: int | str = 6) -> str:
    nodes = [node("Reshape", ["x", "flat"], ["f"]), node("MatMul", ["f", "w"], ["y"], name="product")]
    return written(
        path,
        nodes,
        {"x": (FLOAT, [batch, rows])},
        {"y": (FLOAT, [batch, 2])},
        flat=np.array([-1, 6]),
        w=floats(6, 2),
    )


def made(path: str, root: Path, *, batch: int = 1, **choice: Any) -> OnnxArtifact:
    source = resolve(path, input_shape=None, weights=None, inputs=InputChoice(**choice))
    return onnx_at_batch(source, batch=batch, precision=Precision.FP32, root=root)


def record_of(ran: Any) -> dict[str, Any]:
    assert ran.status == 0, ran.err
    (record,) = ran.document["records"]
    assert record["status"] == "ok", record["reason"]
    assert record["correctness"]["passed"] is True
    return dict(record)


def values_of(record: dict[str, Any]) -> dict[str, float]:
    return {reading["metric"]: reading["value"] for reading in record["readings"]}


def codes(record: dict[str, Any]) -> set[str]:
    return {flag["code"] for flag in record["flags"]}


def test_named_sizes_and_what_was_fed(benchbox: Callable, short: tuple[str, ...], tmp_path: Path) -> None:
    tokens(tmp_path / "net.onnx")
    missing = benchbox("run", "net.onnx", *short)
    assert missing.status == 2
    assert "--input sequence=128" in missing.err
    record = record_of(benchbox("run", "net.onnx", "--input", "sequence=7", "--batch", "3", "--json", *short))
    assert record["key"]["variant"] == "sequence=7"
    assert [(given["name"], given["shape"], given["values"]) for given in record["inputs"]] == [
        ("ids", [3, 7], "rows 0 to 299 of table"),
        ("attention_mask", [3, 7], "ones: it is called a mask"),
    ]
    assert not codes(record) & {"INPUT_RANGE_ASSUMED", "NO_BATCH_AXIS"}
    assert record["analytic"]["macs"] == 3 * 7 * 8 * 4


@pytest.mark.parametrize(
    "command",
    [("flops",), ("export",), ("layers", "--backend", "onnxruntime", "--iterations", "2", "--threads", "1"),
     ("bisect", "--precision", "fp16")],
)  # fmt: skip
def test_every_command_takes_the_same_sizes(command: tuple[str, ...], benchbox: Callable, tmp_path: Path) -> None:
    tokens(tmp_path / "net.onnx")
    name, *flags = command
    for said in (("--input", "sequence=5"), ("--input", "5", "--input", "attention_mask=5")):
        ran = benchbox(name, "net.onnx", *said, *flags)
        assert ran.status == 0, ran.err
    twice = benchbox(name, "net.onnx", "--input", "5", "--input", "ids=5", *flags)
    assert (twice.status, "twice" in twice.err) == (2, True)
    unlike = benchbox(name, "net.onnx", "--input", "5", "--input", "sequence=6", *flags)
    assert (unlike.status, "twice" in unlike.err) == (2, True)


def test_a_state_a_scalar_and_a_sequence_first_input(
    benchbox: Callable, short: tuple[str, ...], tmp_path: Path
) -> None:
    artifact = made(stateful(tmp_path / "free.onnx", "batch"), tmp_path, batch=3)
    assert [(spec.shape, spec.batch_axis) for spec in artifact.inputs] == [
        ((20, None, 3), 1), ((2, None, 4), 1), ((), None),
    ]  # fmt: skip
    assert [(spec.shape, spec.batch_axis) for spec in artifact.outputs] == [((None, 4), 0), ((2, None, 4), 1)]
    fixed = record_of(benchbox("run", stateful(tmp_path / "fixed.onnx", 4), "--json", *short))
    assert fixed["key"]["batch"] == 4
    assert codes(fixed) >= {"INPUT_RANGE_ASSUMED"}
    values = values_of(fixed)
    assert values["throughput"] * values["latency_mean"] == pytest.approx(4, rel=0.5), "samples, not steps"


def test_boxes_that_belong_to_no_sample(benchbox: Callable, short: tuple[str, ...], tmp_path: Path) -> None:
    record = record_of(benchbox("run", detector(tmp_path / "net.onnx"), "--batch", "2", "--json", *short))
    assert [(given["shape"], given["batch_axis"]) for given in record["inputs"]] == [([2, 3, 8, 4], 0), ([1], None)]
    artifact = made(str(tmp_path / "net.onnx"), tmp_path, batch=2)
    assert artifact.fixed_batch == 2
    assert [(spec.shape, spec.batch_axis) for spec in artifact.outputs] == [((None, 3), None), ((2, 24, 4), 0)]


def test_lengths_that_depend_on_data(benchbox: Callable, short: tuple[str, ...], tmp_path: Path) -> None:
    record = record_of(benchbox("run", chosen(tmp_path / "net.onnx"), "--json", *short))
    assert record["inputs"][0]["shape"] == [1, 50]


def test_a_fixed_batch_is_the_default_and_another_is_refused(benchbox: Callable, tmp_path: Path) -> None:
    picture(tmp_path / "net.onnx", 4)
    ran = benchbox("run", "net.onnx", "--dry-run", "--json")
    assert ran.document["records"][0]["key"]["batch"] == 4
    other = benchbox("run", "net.onnx", "--batch", "2")
    assert (other.status, "--batch 4" in other.err) == (2, True)


def test_a_graph_of_one_sample_inside_runs_at_one(tmp_path: Path) -> None:
    nodes = [node("Reshape", ["x", "one"], ["y"])]
    path = written(tmp_path / "net.onnx", nodes, {"x": (FLOAT, ["batch", 6])}, {"y": (FLOAT, ["batch", 6])},
                   one=np.array([1, 6]))  # fmt: skip
    artifact = made(path, tmp_path)
    assert artifact.fixed_batch == 1
    assert "batch of 1 only" in artifact.warnings[-1]


def test_no_axis_counts_samples_unless_it_is_said(benchbox: Callable, short: tuple[str, ...], tmp_path: Path) -> None:
    sizes = ("length", 3)
    path = written(tmp_path / "net.onnx", [node("MatMul", ["x", "w"], ["y"])], {"x": (FLOAT, sizes)},
                   {"y": (FLOAT, sizes)}, w=floats(3, 3))  # fmt: skip
    alone = record_of(benchbox("run", path, "--input", "length=5", "--json", *short))
    assert (alone["key"]["batch"], alone["inputs"][0]["batch_axis"]) == (1, None)
    assert "NO_BATCH_AXIS" in codes(alone)
    said = made(path, tmp_path, batch=5, batch_axes=(("x", 0),))
    assert [(spec.shape, spec.batch_axis) for spec in said.outputs] == [((None, 3), 0)]


def test_real_samples_are_fed_in_turn(benchbox: Callable, short: tuple[str, ...], tmp_path: Path) -> None:
    tokens(tmp_path / "net.onnx")
    np.savez(tmp_path / "real.npz", ids=np.arange(40).reshape(5, 8))
    record = record_of(benchbox("run", "net.onnx", "--inputs", "real.npz", "--batch", "2", "--json", *short))
    assert [(given["shape"], given["values"]) for given in record["inputs"]] == [
        ([2, 8], "5 samples of real.npz, in turn"),
        ([2, 8], "ones: it is called a mask"),
    ]
    assert record["key"]["variant"].startswith("inputs=real.npz@")


@pytest.mark.parametrize(
    ("arrays", "word"),
    [
        ({"nobody": np.zeros((2, 8), np.int64)}, "nobody"),
        ({"ids": np.full((2, 8), 300)}, "rows 0 to 299"),
        ({"ids": np.zeros((2, 8), np.float32)}, "astype"),
        ({"ids": np.zeros((2, 8), np.int64), "attention_mask": np.ones((3, 8), np.int64)}, "same number of samples"),
        ({"ids": np.array(["a", "b"])}, "no numbers"),
        ({}, "no array"),
    ],
)
def test_samples_that_do_not_fit(arrays: dict[str, np.ndarray], word: str, benchbox: Callable, tmp_path: Path) -> None:
    tokens(tmp_path / "net.onnx")
    np.savez(tmp_path / "real.npz", **arrays)  # type: ignore[arg-type]
    ran = benchbox("export", "net.onnx", "--inputs", "real.npz")
    assert (ran.status, word in ran.err) == (2, True), ran.err
    assert benchbox("export", "net.onnx", "--inputs", "gone.npz").status == 2


def test_a_network_that_was_exported_with_sizes_is_found_with_them(tmp_path: Path) -> None:
    made(tokens(tmp_path / "net.onnx"), tmp_path, named=(("sequence", (6,)),))
    (source,) = exported_sources(tmp_path)
    assert source.variant == "sequence=6"
