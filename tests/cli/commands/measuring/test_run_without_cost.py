"""Networks whose analytical cost is zero or not wholly known are measured; one case does not end the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchbox.errors import StoreError
from benchbox.jobs import run as pipeline
from benchbox.store import records

pytestmark = pytest.mark.usefixtures("one_process")

X = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])
MATMUL = helper.make_node("MatMul", ["h", "w"], ["y"], name="product")
WEIGHTS = numpy_helper.from_array(np.ones((4, 3), np.float32), "w")


def written(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    *,
    outputs: Sequence[onnx.ValueInfoProto] | None = None,
    weights: Sequence[onnx.TensorProto] = (),
    domains: Sequence[tuple[str, int]] = (),
) -> str:
    made = outputs or [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", "width"])]
    graph = helper.make_graph(list(nodes), "net", [X], list(made), list(weights))
    imports = [helper.make_opsetid(*entry) for entry in (("", 17), *domains)]
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=8), str(path))
    return str(path)


def identity(path: Path) -> str:
    return written(path, [helper.make_node("Identity", ["x"], ["y"])])


def classifier(path: Path) -> str:
    linear = helper.make_node(
        "LinearClassifier",
        ["x"],
        ["label", "scores"],
        name="linear",
        domain="ai.onnx.ml",
        classlabels_ints=[0, 1, 2],
        coefficients=[float(number) for number in range(12)],
        intercepts=[0.0, 0.0, 0.0],
        post_transform="SOFTMAX",
    )
    outputs = [
        helper.make_tensor_value_info("label", TensorProto.INT64, ["n"]),
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 3]),
    ]
    return written(path, [linear], outputs=outputs, domains=[("ai.onnx.ml", 3)])


def repeated(path: Path) -> str:
    """A Loop whose number of turns depends on data, which is not counted, before a product, which would be."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["going"], ["on"]), helper.make_node("Relu", ["each"], ["next"])],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("each", TensorProto.FLOAT, ["n", 4]),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, ["n", 4]),
        ],
    )
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["most"], keepdims=0),
        helper.make_node("Abs", ["most"], ["size"]),
        helper.make_node("Ceil", ["size"], ["whole"]),
        helper.make_node("Cast", ["whole"], ["turns"], to=TensorProto.INT64),
        helper.make_node("Loop", ["turns", "", "x"], ["h"], name="running", body=body),
        MATMUL,
    ]
    return written(path, nodes, weights=[WEIGHTS])


def mapped(path: Path) -> str:
    """A SequenceMap, whose graph inside is not counted."""
    body = helper.make_graph(
        [helper.make_node("Relu", ["each"], ["made"])],
        "body",
        [helper.make_tensor_value_info("each", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("made", TensorProto.FLOAT, ["n", 4])],
    )
    nodes = [
        helper.make_node("SequenceConstruct", ["x"], ["s"]),
        helper.make_node("SequenceMap", ["s"], ["t"], name="each", body=body),
        helper.make_node("ConcatFromSequence", ["t"], ["h"], axis=0),
        MATMUL,
    ]
    return written(path, nodes, weights=[WEIGHTS])


def found(ran: Any, *codes: str) -> dict[str, str]:
    (record,) = ran.document["records"]
    return {flag["code"]: flag["message"] for flag in record["flags"] if flag["code"] in codes}


def metrics_of(record: dict[str, Any]) -> set[str]:
    return {reading["metric"] for reading in record["readings"]}


def test_a_network_without_flops_has_no_achieved_flops_and_leaves_the_others_be(
    benchbox: Callable, short: tuple[str, ...], tmp_path: Path
) -> None:
    other = written(tmp_path / "other.onnx", [helper.make_node("Relu", ["x"], ["y"])])
    ran = benchbox("run", identity(tmp_path / "same.onnx"), other, "--backend", "onnxruntime", "--json", *short)
    assert ran.status == 0, ran.err
    same, relu = ran.document["records"]
    assert (same["status"], same["analytic"]["flops"]) == ("ok", 0)
    assert "latency_p50" in metrics_of(same)
    assert "achieved_flops" not in metrics_of(same)
    assert "achieved_flops" in metrics_of(relu)
    compared = benchbox("compare", "results", "results", "--metric", "achieved_flops,latency_p50", "--json")
    assert compared.status in {0, 7}, compared.err


def test_an_operator_without_a_rule_is_measured_with_a_partial_cost(
    benchbox: Callable, short: tuple[str, ...], tmp_path: Path
) -> None:
    path = classifier(tmp_path / "net.onnx")
    ran = benchbox("run", path, "--backend", "onnxruntime", "--json", *short)
    assert ran.status == 0, ran.err
    assert "linear (ai.onnx.ml::LinearClassifier)" in found(ran, "COST_PARTIAL")["COST_PARTIAL"]
    (record,) = ran.document["records"]
    assert "achieved_flops" not in metrics_of(record)
    assert record["correctness"]["passed"] is True
    assert record["correctness"]["expected_by"].startswith("onnxruntime")
    assert record["analytic"]["uncounted"] == ["linear (ai.onnx.ml::LinearClassifier)"]
    assert "COST_PARTIAL" in benchbox("report").out


def test_a_loop_that_cannot_be_counted_leaves_the_rest_counted(
    benchbox: Callable, short: tuple[str, ...], tmp_path: Path
) -> None:
    path = repeated(tmp_path / "net.onnx")
    ran = benchbox("run", path, "--backend", "onnxruntime", "--json", *short)
    assert ran.status == 0, ran.err
    assert "not known for running (Loop)" in found(ran, "COST_PARTIAL")["COST_PARTIAL"]
    assert ran.document["records"][0]["analytic"]["macs"] == 4 * 3
    assert "achieved_flops" not in metrics_of(ran.document["records"][0])
    insisted = benchbox("run", path, "--backend", "onnxruntime", "--min-executed", "0.9", *short)
    assert insisted.status == 4
    assert "cannot be proven" in insisted.err


def test_a_bug_in_one_case_does_not_end_the_others(
    benchbox: Callable, short: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = pipeline.onnx_at_batch

    def breaks(source: Any, **rest: Any) -> Any:
        if source.name == "bad":
            raise RuntimeError("index out of range")
        return real(source, **rest)

    monkeypatch.setattr(pipeline, "onnx_at_batch", breaks)
    bad, good = identity(tmp_path / "bad.onnx"), identity(tmp_path / "good.onnx")
    ran = benchbox("run", bad, good, "--backend", "onnxruntime", "--json", *short)
    assert ran.status == 70
    first, second = ran.document["records"]
    assert (first["status"], second["status"]) == ("failed", "ok")
    assert "RuntimeError: index out of range" in first["reason"]


def test_numbers_are_shown_where_the_disk_is_full(
    benchbox: Callable, short: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise StoreError("the record cannot be written", values="No space left on device")

    monkeypatch.setattr(records, "append", full)
    ran = benchbox("run", identity(tmp_path / "net.onnx"), "--backend", "onnxruntime", "--json", *short)
    assert ran.status == 6
    assert "No space left" in ran.err
    assert "latency_p50" in metrics_of(ran.document["records"][0])


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_outputs_whose_length_depends_on_data(
    benchbox: Callable, short: tuple[str, ...], tmp_path: Path, backend: str
) -> None:
    """Where the positive values of one sample are: [1, 2, n], another n for every sample."""
    nodes = [
        helper.make_node("Greater", ["x", "zero"], ["positive"]),
        helper.make_node("NonZero", ["positive"], ["places"], name="places"),
        helper.make_node("Unsqueeze", ["places", "axis"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 200])],
        [helper.make_tensor_value_info("y", TensorProto.INT64, [1, 2, "found"])],
        [numpy_helper.from_array(np.float32(0), "zero"), numpy_helper.from_array(np.array([0]), "axis")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(tmp_path / "net.onnx"))
    ran = benchbox("run", "net.onnx", "--backend", backend, "--json", *short)
    assert ran.status == 0, ran.err
    assert "places (NonZero): all operations are counted" in found(ran, "COST_PARTIAL")["COST_PARTIAL"]
    assert found(ran, "UNCHECKED", "OUTPUT_CHANGED") == {}
    (record,) = ran.document["records"]
    assert record["correctness"]["passed"] is True
    assert "latency_p50" in metrics_of(record)


def test_layers_are_timed_where_the_cost_is_not_known(benchbox: Callable[..., Any], tmp_path: Path) -> None:
    path = mapped(tmp_path / "net.onnx")
    flags = ("--backend", "onnxruntime", "--iterations", "2", "--threads", "1")
    ran = benchbox("layers", path, *flags, "--json")
    assert ran.status == 0, ran.err
    assert [flag["code"] for flag in ran.document["flags"]] == ["COST_ABSENT"]
    assert (ran.document["macs"], ran.document["uncovered_macs"]) == (None, None)
    assert {layer["macs"] for layer in ran.document["layers"]} == {None}
    assert all(layer["time_s"] > 0 for layer in ran.document["layers"])
    assert "info COST_ABSENT" in benchbox("layers", path, *flags).out
    partial = benchbox("layers", classifier(tmp_path / "partial.onnx"), *flags, "--json")
    assert [flag["code"] for flag in partial.document["flags"]] == ["COST_PARTIAL"]


def without_inputs(path: Path, *, random: bool) -> str:
    """A product of two weights, or of noise and a weight."""
    noise = [helper.make_node("RandomNormal", [], ["h"], shape=[8, 4], name="noise")] if random else []
    weights = [WEIGHTS, *([] if random else [numpy_helper.from_array(np.ones((8, 4), np.float32), "h")])]
    made = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [8, 3])]
    graph = helper.make_graph([*noise, MATMUL], "net", [], made, weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return str(path)


def test_a_network_of_constants_is_measured_and_says_what_that_means(
    benchbox: Callable, short: tuple[str, ...], tmp_path: Path
) -> None:
    path = without_inputs(tmp_path / "net.onnx", random=False)
    ran = benchbox("run", path, "--backend", "onnxruntime", "--json", *short)
    assert ran.status == 0, ran.err
    (record,) = ran.document["records"]
    assert (record["status"], record["key"]["batch"], record["inputs"]) == ("ok", 1, [])
    assert record["correctness"]["passed"] is True
    assert record["analytic"]["macs"] == 0
    assert "latency_p50" in metrics_of(record)
    assert "no output depends on an input" in found(ran, "OUTPUTS_CONSTANT")["OUTPUTS_CONSTANT"]
    layers = benchbox("layers", path, "--backend", "onnxruntime")
    assert layers.status == 5
    assert "no output depends on an input" in layers.err
    counted = benchbox("flops", path)
    assert counted.status == 0, counted.err
    assert "net, batch 1: 0 MACs" in counted.out


def test_noise_without_inputs_is_measured_and_its_node_is_named(
    benchbox: Callable, short: tuple[str, ...], tmp_path: Path
) -> None:
    path = without_inputs(tmp_path / "net.onnx", random=True)
    ran = benchbox("run", path, "--backend", "onnxruntime", "--json", *short)
    assert ran.status == 0, ran.err
    flags = found(ran, "UNCHECKED", "OUTPUTS_CONSTANT")
    assert list(flags) == ["UNCHECKED"]
    assert "noise (RandomNormal)" in flags["UNCHECKED"]
    assert ran.document["records"][0]["analytic"]["macs"] == 8 * 4 * 3
    layers = benchbox("layers", path, "--backend", "onnxruntime", "--json")
    assert layers.status == 0, layers.err


@pytest.mark.parametrize("asked", [("--batch", "2"), ("--input", "x=3"), ("--input", "3"), ("--batch-axis", "x=0")])
def test_sizes_of_a_network_without_inputs_are_refused(
    asked: tuple[str, str], benchbox: Callable, short: tuple[str, ...], tmp_path: Path
) -> None:
    path = without_inputs(tmp_path / "net.onnx", random=True)
    for command in (("flops", path), ("run", path, "--backend", "onnxruntime", *short)):
        ran = benchbox(*command, *asked)
        assert ran.status == 2, ran.err
        assert "has no inputs" in ran.err


def test_a_network_without_inputs_is_converted(benchbox: Callable, tmp_path: Path) -> None:
    path = without_inputs(tmp_path / "net.onnx", random=False)
    ran = benchbox("export", path, "--precision", "fp16,int8", "--json")
    assert ran.status == 0, ran.err
    np.save(tmp_path / "pictures.npy", np.zeros((2, 3), np.float32))
    fed = benchbox("export", path, "--precision", "int8", "--calibration", str(tmp_path / "pictures.npy"))
    assert fed.status == 2
    assert "has no inputs" in fed.err
