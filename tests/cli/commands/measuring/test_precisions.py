"""The contract from the command line: every hop in the record, own files in their own precision."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from branching import branching
from onnx import TensorProto, helper, numpy_helper

from benchbox.backends.base import BACKENDS
from benchbox.export.precision.casting import cast_from_float
from benchbox.export.precision.quantization import observed_tensors, quantized_from_float
from benchbox.schema.model import Precision

pytestmark = pytest.mark.usefixtures("lenet_exported", "one_process")


def network(weights: dict[str, np.ndarray]) -> onnx.ModelProto:
    """Matrix products in a row, one per weight."""
    names = list(weights)
    values = ["x", *(f"v{index}" for index in range(len(names) - 1)), "y"]
    nodes = [
        helper.make_node("MatMul", [values[index], name], [values[index + 1]], name=f"product{index}")
        for index, name in enumerate(names)
    ]
    border = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 8]) for name in ("x", "y")]
    constants = [numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "net", border[:1], border[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


@pytest.fixture
def own(tmp_path: Path) -> dict[str, str]:
    """A small network that somebody else converted, in every precision.

    Every other row of a weight is zero: 8-bit kernels without VNNI add neighbouring products in 16 bits, which would
    saturate.
    """
    draw = np.random.default_rng(0)
    weights = {name: draw.normal(0, 0.3, (8, 8)) for name in "ab"}
    for weight in weights.values():
        weight[1::2] = 0
    proto = network(weights)
    made = {precision: cast_from_float(proto, precision)[0] for precision in (Precision.FP16, Precision.BF16)}
    for precision in (Precision.INT8, Precision.FP8):
        ranges = dict.fromkeys(observed_tensors(proto, precision=precision), 4.0)
        made[precision] = quantized_from_float(proto, ranges, precision=precision).proto
    made[Precision.FP32] = proto
    for precision, graph in made.items():
        onnx.save(graph, str(tmp_path / f"mine_{precision}.onnx"))
    return {str(precision): f"mine_{precision}.onnx" for precision in made}


def test_a_record_has_every_hop(benchbox: Callable, short: tuple[str, ...]) -> None:
    ran = benchbox("run", "lenet5", "--precision", "fp32,fp16,int8", "--backend", "onnxruntime", "--json", *short)
    assert ran.status == 0, ran.err
    hops = {
        record["key"]["precision"]: [(hop["from"], hop["to"]) for hop in record["correctness"]["hops"]]
        for record in ran.document["records"]
    }
    first = [("pytorch-fp64", "pytorch-fp32"), ("pytorch-fp32", "onnx-fp32")]
    assert hops["fp32"] == [*first, ("onnx-fp32", "onnxruntime-fp32"), ("pytorch-fp32", "onnxruntime-fp32")]
    assert hops["fp16"] == [
        *first,
        ("onnx-fp32", "onnx-fp16-emulated"),
        ("onnx-fp16-emulated", "onnxruntime-fp16"),
        ("pytorch-fp32", "onnxruntime-fp16"),
    ]
    assert hops["int8"] == [
        *first,
        ("onnx-fp32", "onnx-int8"),
        ("onnx-int8", "onnxruntime-int8"),
        ("pytorch-fp32", "onnxruntime-int8"),
    ]
    for record in ran.document["records"]:
        assert all(0 <= hop["top1_agreement"] <= 1 for hop in record["correctness"]["hops"])


def test_a_module_is_no_step_from_the_file(benchbox: Callable, short: tuple[str, ...]) -> None:
    ran = benchbox("run", "lenet5", "--precision", "bf16", "--backend", "pytorch", "--json", *short, "--trials", "1")
    assert ran.status == 0, ran.err
    (record,) = ran.document["records"]
    assert record["evidence"]["executed"] == {"bf16": 4}
    last = record["correctness"]["hops"][-1]
    assert (last["from"], last["to"]) == ("pytorch-fp32", "pytorch-bf16")
    assert not any(hop["from"].startswith("onnx-bf16") for hop in record["correctness"]["hops"])
    assert last["rel_l2_error"] > 2.0**-11


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_own_files_run_as_they_are(
    precision: str, benchbox: Callable, short: tuple[str, ...], own: dict[str, str]
) -> None:
    """In what they are in, where nobody asks for anything else."""
    ran = benchbox("run", own[precision], "--backend", "onnxruntime", "--json", *short)
    assert ran.status == 0, ran.err
    (record,) = ran.document["records"]
    assert record["key"]["precision"] == precision
    assert record["correctness"]["hops"][0]["from"] == ("onnx-reference" if precision == "bf16" else "onnx-unoptimised")
    assert not [flag for flag in record["flags"] if flag["code"] == "CALIBRATION_SYNTHETIC"], "not our calibration"


@pytest.mark.parametrize("precision", ["fp16", "bf16", "int8", "fp8"])
def test_own_files_are_never_taken_for_fp32(precision: str, benchbox: Callable, own: dict[str, str]) -> None:
    ran = benchbox("run", own[precision], "--backend", "onnxruntime", "--precision", "fp32")
    assert ran.status == 2
    assert f"is in {precision}, not in fp32" in ran.err
    assert f"--precision {precision}" in ran.err


def test_own_bf16_goes_to_openvino_as_it_is(benchbox: Callable, short: tuple[str, ...], own: dict[str, str]) -> None:
    pytest.importorskip("openvino")
    ran = benchbox("run", own["bf16"], "--backend", "openvino", "--precision", "bf16", "--json", *short)
    if BACKENDS.get("openvino").refusal(Precision.BF16):
        assert (ran.status, "does not compute in bf16 on this CPU" in ran.err) == (2, True)
        return
    assert ran.status == 0, ran.err
    (record,) = ran.document["records"]
    # How many layers become one is the CPU's affair: with AVX512-BF16 both products do.
    assert set(record["evidence"]["executed"]) == {"bf16"}
    assert record["correctness"]["hops"][0]["to"] == "onnx-bf16-emulated"


@pytest.mark.parametrize("flags", [("--exclude", "product0"), ("--fallback", "fp16")])
def test_there_is_nothing_to_choose_about_a_file_that_is_converted(
    flags: tuple[str, ...], benchbox: Callable, own: dict[str, str]
) -> None:
    ran = benchbox("run", own["int8"], "--backend", "onnxruntime", "--precision", "int8", *flags)
    assert ran.status == 2
    assert "is in int8 already" in ran.err


def test_a_mixed_file_says_so(benchbox: Callable, tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    proto = network({name: draw.normal(0, 0.3, (8, 8)) for name in "abc"})
    onnx.save(cast_from_float(proto, Precision.FP16, exclude=["product1"])[0], str(tmp_path / "mixed.onnx"))
    ran = benchbox("export", "mixed.onnx", "--precision", "fp16")
    assert ran.status == 0, ran.err
    assert "mixed precision, counted as fp16" in ran.out


def test_an_overflow_has_a_failed_record_with_its_hops_and_no_numbers(
    benchbox: Callable, short: tuple[str, ...], tmp_path: Path
) -> None:
    rising = network({"up": np.full((8, 8), 6e4), "down": np.full((8, 8), 1e-5)})
    onnx.save(rising, str(tmp_path / "over.onnx"))
    ran = benchbox("run", "over.onnx", "--backend", "onnxruntime", "--precision", "fp32,fp16", "--json", *short)
    records = {record["key"]["precision"]: record for record in ran.document["records"]}
    assert records["fp32"]["status"] == "ok"
    failed = records["fp16"]
    assert (failed["status"], failed["readings"]) == ("failed", [])
    assert failed["reason"].startswith("numerics: over.onnx overflows in fp16")
    assert failed["correctness"]["passed"] is False
    assert failed["correctness"]["hops"][-1]["to"] == "onnx-fp16-emulated"
    assert failed["correctness"]["hops"][-1]["rel_l2_error"] is None, "infinite"


def test_an_empty_calibration_folder_is_refused_before_anything_is_exported(benchbox: Callable, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    shutil.rmtree(tmp_path / "engines")
    ran = benchbox("export", "lenet5", "--precision", "int8", "--calibration", "photos")
    assert ran.status == 2
    assert "nothing to calibrate on in photos" in ran.err
    assert not (tmp_path / "engines").exists()


def test_a_pattern_that_matches_nothing_is_told_in_fp16_too(benchbox: Callable) -> None:
    ran = benchbox("export", "lenet5", "--precision", "fp16", "--exclude", "nosuch*")
    assert ran.status == 0, ran.err
    assert "warning: --exclude 'nosuch*' matches no node" in ran.out


def test_int8_around_a_branch_and_a_loop_shows_its_share(
    benchbox: Callable, short: tuple[str, ...], tmp_path: Path
) -> None:
    onnx.save(branching(), str(tmp_path / "net.onnx"))
    ran = benchbox(
        "run", str(tmp_path / "net.onnx"), "--precision", "int8", "--backend", "onnxruntime", "--json", *short
    )
    assert ran.status == 0, ran.err
    (record,) = ran.document["records"]
    assert record["correctness"]["passed"] is True
    inside = (64 * 8 * 8 * 9 + 3 * 64) / record["analytic"]["macs"]
    assert record["proof"]["macs"]["int8"] <= 1 - inside
    assert sum(record["proof"]["macs"].values()) == pytest.approx(1)
    assert {layer["name"] for layer in record["proof"]["layers"]} >= {"branch", "loop"}


def test_a_list_whose_rows_exchange_places_within_ties_says_so(
    benchbox: Callable, short: tuple[str, ...], tmp_path: Path
) -> None:
    """Eight pairs of scores that are equal in fp16 alone."""
    sizes = np.repeat(np.linspace(1.0, 0.3, 8), 2) * np.tile([1.0, 1.00001], 8)
    weights = {
        "w": np.outer([0.5, 0.3, 0.1, 0.1], sizes).astype(np.float32),
        "table": np.random.default_rng(0).uniform(0, 100, (16, 4)).astype(np.float32),
        "count": np.array([16], np.int64),
    }
    node = onnx.helper.make_node
    nodes = [
        node("MatMul", ["x", "w"], ["product"], name="product"),
        node("Abs", ["product"], ["all"]),
        node("TopK", ["all", "count"], ["scores", "places"], name="list"),
        node("Gather", ["table", "places"], ["boxes"]),
    ]
    border = {"x": ["n", 4], "scores": ["n", 16], "boxes": ["n", 16, 4]}
    values = {name: onnx.helper.make_tensor_value_info(name, 1, sizes) for name, sizes in border.items()}
    stored = [onnx.numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = onnx.helper.make_graph(nodes, "net", [values["x"]], [values["boxes"], values["scores"]], stored)
    path = tmp_path / "net.onnx"
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), str(path))
    ran = benchbox("run", str(path), "--precision", "fp16", "--backend", "onnxruntime", "--json", *short)
    assert ran.status == 0, ran.err
    (record,) = ran.document["records"]
    assert record["correctness"]["passed"] is True
    assert max(hop["reordered"] for hop in record["correctness"]["hops"]) >= 16
    assert "ROWS_REORDERED" in {flag["code"] for flag in record["flags"]}
