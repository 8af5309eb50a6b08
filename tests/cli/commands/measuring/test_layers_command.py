"""``benchbox layers``: what really ran, beside what it costs on paper."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from benchbox.store.records import SIMULATION_MARK

pytestmark = pytest.mark.usefixtures("lenet_exported", "one_process")

QUICK = ("--iterations", "5", "--threads", "1")


@pytest.mark.parametrize(
    "name", ["lenet5", *(pytest.param(name, marks=pytest.mark.nightly) for name in ("squeezenet1_1", "resnet18"))]
)
def test_every_multiply_add_is_in_a_layer(name: str, benchbox: Callable) -> None:
    document = benchbox("layers", name, *QUICK, "--json").document
    assert document["uncovered_macs"] == 0
    assert sum(layer["macs"] for layer in document["layers"]) == document["macs"]
    assert document["profiled_s"] > 0
    assert document["latency_s"] > 0
    assert document["unmapped_s"] <= 0.05 * document["profiled_s"]
    matrix = [layer for layer in document["layers"] if layer["macs"]]
    assert all(layer["time_s"] > 0 and layer["flops_per_s"] > 0 for layer in matrix)
    assert {layer["type"] for layer in matrix} == {"fp32"}


def test_fp16_on_a_cpu_is_shown_as_fp32_behind_casts(benchbox: Callable) -> None:
    document = benchbox(
        "layers", "lenet5", "--backend", "onnxruntime", "--precision", "fp16", *QUICK, "--json"
    ).document
    assert document["precision"] == "fp16"
    assert {layer["type"] for layer in document["layers"] if layer["macs"]} == {"fp32"}
    assert "Cast" in {layer["kind"] for layer in document["layers"]}


def test_the_table_and_its_groups(benchbox: Callable) -> None:
    ran = benchbox("layers", "lenet5", *QUICK, "--by", "op", "--sort", "time", "--top", "2")
    assert ran.status == 0
    assert "6,522,000 of 6,522,000 MACs are in these layers" in ran.out
    assert "2 rows shown" in ran.out
    assert re.search(r"memory below the ridge of [\d.]+ FLOP/B, compute above", ran.out)
    assert benchbox("layers", "lenet5", *QUICK, "--format", "md").out.startswith("| layer |")


@pytest.mark.parametrize(
    ("name", "backend", "matrices"),
    [
        pytest.param("squeezenet1_1", "onnxruntime", 26, marks=pytest.mark.nightly),
        pytest.param("lenet5", "openvino", 4, marks=pytest.mark.nightly),
    ],
)
def test_why_int8_is_not_faster(name: str, backend: str, matrices: int, benchbox: Callable) -> None:
    arguments = ("--backend", backend, "--precision", "int8", "--against", "fp32", "--trials", "4")
    document = benchbox("layers", name, *arguments, *QUICK, "--json").document
    assert document["precision"] == "int8"
    assert document["uncovered_macs"] == 0, "every convolution is in a kernel, in int8 too"
    against = document["against"]
    assert against["precision"] == "fp32"
    assert against["processes"] == 4
    assert against["speedup_low"] <= against["speedup"] <= against["speedup_high"]
    assert sum(reason["share"] for reason in against["reasons"]) == pytest.approx(1.0)
    assert sum(group["time_s"] for group in against["groups"]) == pytest.approx(document["profiled_s"])
    assert sum(group["base_time_s"] for group in against["groups"]) == pytest.approx(against["profiled_s"])
    matrix = [layer for layer in document["layers"] if layer["macs"]]
    assert against["matrix_layers"] == len(matrix) == matrices
    assert against["matrix_layers_in_another_type"] == sum(layer["type"] != "int8" for layer in matrix)


def test_the_answer_is_a_sentence(benchbox: Callable) -> None:
    ran = benchbox(
        "layers",
        "lenet5",
        "--backend",
        "onnxruntime",
        "--precision",
        "fp16",
        "--against",
        "fp32",
        *QUICK,
        "--trials",
        "1",
        "--by",
        "layer",
    )
    assert ran.status == 0
    assert "No conclusion whether fp16 is faster than fp32: 1 process a side gives no interval" in ran.out
    assert "use --trials 4 or more" in ran.out
    assert "ridge in fp32" in ran.out
    assert re.search(r"(\d) of \1 convolutions and matrix products did not run in fp16", ran.out)
    assert "kernels that only quantise, dequantise or cast" in ran.out


def test_a_backend_that_tells_no_layers_is_refused(benchbox: Callable) -> None:
    ran = benchbox("layers", "lenet5", "--backend", "pytorch", *QUICK)
    assert ran.status == 2
    assert "pytorch does not report its layers" in ran.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("lenet5", "--by", "modul"), "did you mean 'module'"),
        (("lenet5", "--sort", "tiem"), "did you mean 'time'"),
        (("lenet5", "--precision", "bf16", "--backend", "onnxruntime"), "cannot run bf16"),
        (("lenet5", "--top", "0"), "--top"),
        (("lennet5",), "did you mean 'lenet5'"),
        (("lenet5", "--trials", "4"), "--trials goes with --against"),
        (("lenet5", "--against", "fp32"), "is the precision itself"),
        (("lenet5", "--against", "bf16", "--backend", "onnxruntime"), "cannot run bf16"),
        (("lenet5", "--precision", "int8", "--against", "fp32", "--format", "csv"), "format with --against"),
    ],
)
def test_bad_input(arguments: tuple[str, ...], message: str, benchbox: Callable) -> None:
    ran = benchbox("layers", *arguments)
    assert ran.status == 2
    assert message in ran.err


def test_an_engine_on_the_simulated_device(simulated_benchbox: Callable, tmp_path: Path) -> None:
    (tmp_path / SIMULATION_MARK).parent.mkdir()
    (tmp_path / SIMULATION_MARK).touch()
    ran = simulated_benchbox(
        tmp_path, "layers", "lenet5", "--backend", "tensorrt", *QUICK, "--json", inference_ns=200_000
    )
    assert ran.status == 0, ran.err
    document = ran.document
    assert document["uncovered_macs"] == 0
    assert document["profiled_s"] == pytest.approx(200e-6), "the device's own clock"
    assert document["latency_s"] == pytest.approx(205e-6), "the launch comes before"
    assert document["layers"][0]["nodes"] == ["conv1"]
    assert document["layers"][0]["tactic"] == "simulated_conv"
