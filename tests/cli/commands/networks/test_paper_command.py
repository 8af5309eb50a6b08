"""``benchbox flops --precision``: bytes of the file that would be derived, and the bound on its speed-up."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest

pytestmark = pytest.mark.usefixtures("lenet_outlined")

ALL = "fp32,tf32,fp16,bf16,int8,fp8"


def _precisions(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {part["precision"]: part for part in document["precisions"]}


def _bytes_of(path: Path) -> int:
    """Bytes of all constants of a file, from their data."""
    return sum(len(tensor.raw_data) for tensor in onnx.load(str(path)).graph.initializer)


def test_every_precision_has_bytes_and_a_bound(benchbox: Callable) -> None:
    document = benchbox("flops", "lenet5", "--precision", ALL, "--device", "h100-sxm", "--json").document
    assert document["schema"] == "benchbox.flops/1"
    found = _precisions(document)
    assert list(found) == ALL.split(",")
    assert found["fp32"]["weight_bytes"] == document["weight_bytes"]
    assert found["fp32"]["activation_bytes"] == document["activation_bytes"]
    assert found["fp32"]["peak_activation_bytes"] == document["peak_activation_bytes"]
    assert found["fp32"]["bound"]["ideal"] == pytest.approx(1.0)
    for part in found.values():
        assert sum(row["write_bytes"] for row in part["layers"]) == part["activation_bytes"]
        assert sum(row["least_bytes"] for row in part["operators"]) == part["least_bytes"]
        assert part["macs_in_precision"] == document["macs"]
    assert found["fp16"]["bound"]["ideal"] > 1.5
    assert found["fp8"]["bound"]["compute"] == pytest.approx(1978.9 / 66.9)
    assert document["device"]["source"].startswith("https://")


def test_the_paper_is_the_file_that_export_makes(benchbox: Callable, tmp_path: Path) -> None:
    """Derived and calibrated for real, then counted as a file: the same bytes without weights or calibration."""
    on_paper = _precisions(benchbox("flops", "lenet5", "--precision", ALL, "--json").document)
    exported = benchbox("export", "lenet5", "--precision", "fp32,fp16,bf16,int8,fp8", "--json").document
    for artifact in exported["artifacts"]:
        path = tmp_path / artifact["path"]
        precision = artifact["precision"]
        plain = benchbox("flops", str(path), "--json").document
        assert plain["weight_bytes"] == on_paper[precision]["weight_bytes"] == _bytes_of(path)
        given = _precisions(benchbox("flops", str(path), "--precision", precision, "--json").document)[precision]
        for key in ("weight_bytes", "activation_bytes", "peak_activation_bytes", "least_bytes", "macs_in_precision"):
            assert given[key] == on_paper[precision][key], key
        if precision != "fp32":
            assert given["bound"]["ideal"] is None, "nobody has the fp32 graph of this file"
        if precision in {"fp16", "bf16"}:
            assert plain["activation_bytes"] == on_paper[precision]["activation_bytes"]
        if precision == "int8":
            kinds = {row["op"] for row in plain["layers"]}
            assert {"QuantizeLinear", "DequantizeLinear"} <= kinds
            pair = {row["name"]: row for row in plain["layers"]}
            assert pair["input.quantize"]["read_bytes"] == 4 * pair["input.quantize"]["write_bytes"]
            assert pair["input.dequantize"]["write_bytes"] == 4 * pair["input.dequantize"]["read_bytes"]


def test_what_is_left_out_stays_wide(benchbox: Callable) -> None:
    arguments = ("flops", "lenet5", "--precision", "int8", "--device", "avx512-vnni", "--by", "layer", "--json")
    everything = _precisions(benchbox(*arguments).document)["int8"]
    less = _precisions(benchbox(*arguments, "--exclude", "conv2").document)["int8"]
    assert less["variant"] == "exclude=conv2"
    assert less["macs_in_precision"] < everything["macs_in_precision"]
    assert less["weight_bytes"] > everything["weight_bytes"]
    assert less["bound"]["compute"] < everything["bound"]["compute"] == pytest.approx(4.0)
    types = {row["name"]: row["types"] for row in less["layers"]}
    assert types["conv2"] == ["fp32"]
    assert types["conv1"] == ["int8"]
    half = _precisions(benchbox(*arguments, "--fallback", "fp16").document)["int8"]
    assert half["activation_bytes"] < everything["activation_bytes"]
    assert half["variant"] == "fallback=fp16"


def test_rates_given_by_hand_make_a_bound(benchbox: Callable) -> None:
    arguments = ("flops", "resnet18", "--precision", "int8", "--device", "avx2", "--json")
    without = _precisions(benchbox(*arguments).document)["int8"]["bound"]
    assert without["ideal"] is None
    assert (without["compute"], without["by"]) == (2.0, "")
    given = _precisions(benchbox(*arguments, "--flops", "100", "--bandwidth", "20").document)["int8"]["bound"]
    assert 1 < given["ideal"] <= max(given["compute"], given["memory"])
    assert given["by"] == "compute"
    fast = _precisions(benchbox(*arguments, "--flops", "1e6", "--bandwidth", "20").document)["int8"]["bound"]
    assert fast["ideal"] == pytest.approx(fast["memory"])


def test_text(benchbox: Callable) -> None:
    ran = benchbox("flops", "lenet5", "--precision", "fp16,int8", "--device", "l4")
    assert ran.status == 0
    assert "int8: at most " in ran.out
    assert "rates of NVIDIA L4 (https://" in ran.out
    assert "casts and Q/DQ" in ran.out
    ran = benchbox("flops", "lenet5", "--precision", "int8", "--device", "avx2", "--format", "md")
    assert ran.out.startswith("| precision |")
    assert "no arithmetic in fp16, bf16, fp8: computed in fp32" in ran.out
    assert "int8: 2.00× if limited by arithmetic alone" in ran.out
    rows = list(csv.DictReader(io.StringIO(benchbox("flops", "lenet5", "--precision", ALL, "--format", "csv").out)))
    assert {row["precision"] for row in rows} == set(ALL.split(","))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--precision", "int9"), "did you mean 'int8'"),
        (("--precision", ","), "--precision is empty"),
        (("--precision", "int8", "--device", "h100sxm"), "did you mean 'h100-sxm'"),
        (("--precision", "int8", "--by", "tree"), "grouping with --precision"),
        (("--precision", "int8", "--bandwidth", "fast"), "--bandwidth takes a positive number"),
        (("--precision", "int8", "--bandwidth", "-1", "--device", "avx2"), "a positive number"),
        (("--precision", "int8", "--convention", "fvcore"), "not with --convention"),
        (("--precision", "int8", "--reconcile"), "not with --reconcile"),
        (("--precision", "fp32", "--exclude", "conv1"), "have no effect with --precision"),
        (("--device", "l4"), "--device goes with --precision"),
        (("--exclude", "conv1"), "--exclude goes with --precision"),
    ],
)
def test_bad_input(arguments: tuple[str, ...], message: str, benchbox: Callable) -> None:
    ran = benchbox("flops", "lenet5", *arguments)
    assert ran.status == 2
    assert message in ran.err


def test_what_cannot_be_derived_is_said(benchbox: Callable, tmp_path: Path) -> None:
    ran = benchbox("flops", "lenet5", "--precision", "int8", "--exclude", "*")
    assert ran.status == 4
    assert "nothing to quantise" in ran.err
    exported = benchbox("export", "lenet5", "--precision", "fp16", "--json").document["artifacts"][0]
    ran = benchbox("flops", str(tmp_path / exported["path"]), "--precision", "int8")
    assert ran.status == 2
    assert "is in fp16, not in int8" in ran.err
