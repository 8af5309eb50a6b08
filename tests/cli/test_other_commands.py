"""doctor, models, flops and export keep the contract of their output."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Callable
from pathlib import Path

import pytest


def test_doctor(benchbox: Callable) -> None:
    document = benchbox("doctor", "--json").document
    assert document["schema"] == "benchbox.doctor/1"
    backends = {backend["name"]: backend for backend in document["backends"]}
    assert backends["onnxruntime"]["usable"] is True
    assert "fp32" in backends["onnxruntime"]["precisions"]
    assert document["threads"] >= 1
    assert {"name", "usable", "detail"} == set(document["instruments"][0])
    assert document["environment"]["observed"]["probe_arithmetic"].endswith("s")
    assert {"metric", "now_s", "usual", "records"} == set(document["probes"][0])
    text = benchbox("doctor").out
    assert text.startswith("To change before measuring")
    assert "null" not in text.partition("This machine")[0]
    assert "no records of this environment yet" in text, "a new package makes another environment of the machine"
    assert "What can be read and set" not in text
    assert "What can be read and set" in benchbox("doctor", "--all").out
    assert "onnxruntime" in text
    assert document["environment"]["hash"] in text


def test_models(benchbox: Callable) -> None:
    document = benchbox("models", "--json").document
    assert document["schema"] == "benchbox.models/1"
    facts = {model["name"]: model for model in document["models"]}
    assert facts["resnet50"]["macs"] == 4_089_184_256
    assert facts["resnet50"]["params"] == 25_557_032
    text = benchbox("models").out
    assert all(name in text for name in ("lenet5", "alexnet", "vgg16", "resnet18", "resnet50"))


@pytest.mark.usefixtures("lenet_outlined")
def test_flops_follows_the_contract(benchbox: Callable) -> None:
    document = benchbox("flops", "lenet5", "--json").document
    assert document["schema"] == "benchbox.flops/1"
    assert (document["macs"], document["params"]) == (6_522_000, 1_256_080)
    assert document["flops"] >= 2 * document["macs"]
    assert set(document) == {
        "schema", "model", "input_shape", "batch", "convention", "count", "params", "macs", "flops", "weight_bytes",
        "activation_bytes", "peak_activation_bytes", "onnx_nodes", "arithmetic_intensity", "uncounted", "unsized",
        "layers", "onnx_sha256",
    }  # fmt: skip
    assert {
        "name",
        "op",
        "output_shape",
        "params",
        "macs",
        "flops",
        "count",
        "weight_bytes",
        "read_bytes",
        "write_bytes",
        "arithmetic_intensity",
    } == set(document["layers"][0])
    assert sum(layer["macs"] for layer in document["layers"]) == document["macs"]
    twice = benchbox("flops", "lenet5", "--batch", "2", "--json").document
    assert twice["macs"] == 2 * document["macs"]
    assert twice["params"] == document["params"]


@pytest.mark.usefixtures("lenet_outlined")
def test_flops_reconciles(benchbox: Callable) -> None:
    document = benchbox("flops", "lenet5", "--reconcile", "--json").document
    assert document["schema"] == "benchbox.reconcile/1"
    totals = {counter["name"]: counter["total"] for counter in document["counters"]}
    assert totals["mac"] == totals["torchvision"] == 6_522_000
    assert totals["ptflops"] == 6_650_910
    assert all(sum(counter["parts"].values()) == counter["total"] for counter in document["counters"])
    assert "6,650,910" in benchbox("flops", "lenet5", "--reconcile").out
    assert benchbox("flops", "lenet5", "--convention", "ptflops", "--json").document["count"] == 6_650_910


def test_flops_shows_a_tree(benchbox: Callable) -> None:
    lines = benchbox("flops", "squeezenet1_1", "--by", "tree", "--depth", "2").out.splitlines()
    assert any(line.startswith("features ") for line in lines)
    assert any(line.startswith("  3 ") for line in lines)
    assert not any(line.startswith("    ") and "squeeze" in line for line in lines)


def test_flops_of_a_file_with_two_inputs(benchbox: Callable, tmp_path: Path) -> None:
    from graphs import model_of, saved
    from onnx import helper

    nodes = [helper.make_node("MatMul", ["a", "b"], ["y"], name="product")]
    saved(tmp_path / "two.onnx", model_of(nodes, inputs={"a": ["n", "k"], "b": ["k", "m"]}))
    document = benchbox("flops", "two.onnx", "--batch", "4", "--input", "4", "--input", "m=5", "--json").document
    assert document["macs"] == 80
    assert benchbox("flops", "two.onnx").status == 2
    assert benchbox("flops", "two.onnx", "--input", "4", "--input", "5").status == 2
    assert "twice" in benchbox("flops", "two.onnx", "--input", "m=4", "--input", "m=5").err


@pytest.mark.parametrize("by", ["layer", "module", "op"])
@pytest.mark.usefixtures("lenet_outlined")
def test_flops_formats(by: str, benchbox: Callable) -> None:
    assert "6.522 M" in benchbox("flops", "lenet5", "--by", by).out
    assert benchbox("flops", "lenet5", "--by", by, "--format", "md").out.startswith("|")
    rows = list(csv.DictReader(io.StringIO(benchbox("flops", "lenet5", "--by", by, "--format", "csv").out)))
    assert sum(int(row["macs"]) for row in rows) == 6_522_000


@pytest.mark.parametrize(
    ("arguments", "status", "word"),
    [
        (("flops", "lenet5", "--by", "layers"), 2, "did you mean 'layer'"),
        (("flops", "lenet5", "--convention", "fvcor"), 2, "did you mean 'fvcore'"),
        (("flops", "lenet5", "--depth", "0"), 2, "--depth"),
        (("flops", "lenet5", "--reconcile", "--format", "csv"), 2, "no csv"),
        (("flops", "lenet5", "--convention", "macs"), 2, "did you mean 'mac'"),
        (("flops", "lenet5", "--format", "cvs"), 2, "did you mean 'csv'"),
        (("flops", "absent.onnx"), 2, "absent.onnx"),
        (("flops", "text.onnx"), 4, "text.onnx"),
        (("flops", "empty.onnx"), 4, "empty.onnx"),
        (("export", "text.onnx"), 4, "text.onnx"),
        (("export", "lenet5", "--exclude", "fc*"), 2, "have no effect with --precision"),
        (("export", "lenet5", "--precision", "int8", "--fallback", "tf32"), 2, "--fallback"),
        (("export", "lenet5", "--precision", "int8", "--calibration-method", "max"), 2, "minmax, entropy, percentile"),
        (("export", "lenet5", "--precision", "int8", "--calibration", "nowhere"), 2, "no calibration data"),
        (("export", "lenet5", "--input", "1x3x3"), 2, "lenet5"),
        (("report", "--format", "xml"), 2, "xml"),
        (("report", "--where", "modle=x"), 2, "'model'"),
        (("report", "--where", "model"), 2, "KEY=VALUE"),
        (("report", "--output", "absent/folder/report.md"), 6, "absent"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_bad_input(arguments: tuple[str, ...], status: int, word: str, benchbox: Callable, tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("this is not a network")
    (tmp_path / "empty.onnx").write_bytes(b"")
    ran = benchbox(*arguments)
    assert ran.status == status, ran.err
    assert word in ran.err
    assert ran.out == ""
    assert "Traceback" not in ran.err
    engines = tmp_path / "engines"
    assert not [path for path in engines.rglob("*") if path.is_file()] or arguments[0] == "flops"


def test_export_writes_what_it_prints(benchbox: Callable, tmp_path: Path) -> None:
    ran = benchbox("export", "lenet5", "--precision", "fp32,fp16", "--json")
    assert ran.status == 0, ran.err
    assert ran.document["schema"] == "benchbox.export/1"
    for artifact in ran.document["artifacts"]:
        data = (tmp_path / artifact["path"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == artifact["sha256"]
        assert artifact["opset"] == 20
        assert all(hop["passed"] for hop in artifact["hops"])
    again = benchbox("export", "lenet5")
    assert ran.document["artifacts"][0]["sha256"] in again.out


def test_export_prints_what_was_made_before_another_failed(
    benchbox: Callable, tmp_path: Path, lenet_exported: None
) -> None:
    (tmp_path / "damaged.onnx").write_bytes(b"no network")
    ran = benchbox("export", "lenet5", "damaged.onnx", "--json")
    assert (ran.status, [artifact["model"] for artifact in ran.document["artifacts"]]) == (4, ["lenet5"])


def test_report_output_is_whole_or_absent(benchbox: Callable, tmp_path: Path) -> None:
    assert benchbox("report", "--format", "csv", "--output", "report.csv").status == 0
    assert (tmp_path / "report.csv").read_text().startswith("id,")
    assert [path.name for path in tmp_path.iterdir()] == ["report.csv"]


def test_a_factory_that_ends_the_process_is_an_error(benchbox: Callable) -> None:
    Path("users_net_that_exits.py").write_text("import sys\ndef net(): sys.exit(0)\n")
    ran = benchbox("flops", "users_net_that_exits:net", "--input", "4")
    assert (ran.status, ran.out) == (4, "")
    assert "users_net_that_exits:net raised SystemExit" in ran.err


@pytest.mark.parametrize("command", ["export", "run", "flops", "layers"])
def test_a_root_that_is_a_file_is_refused_before_anything_is_made(
    command: str, benchbox: Callable, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    ran = benchbox(command, "lenet5", "--root", "file")
    assert ran.status == 6
    assert "the project root is a file" in ran.err
    assert benchbox("report", "--root", "file").status == 2
