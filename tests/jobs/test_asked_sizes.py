"""Sizes that a network does not have, or does not run with, are a mistake of whoever asked: they make no record."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchbox.store.records import read_record, record_files

MODULE = """
from torch import nn

def net():
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear({inputs}, 3))
"""


@pytest.fixture
def module(tmp_path: Path) -> Iterator[Callable[[int], None]]:
    """Writes ``asked_net.py``: its last layer takes so many inputs, of which 8x8 pixels make 72."""

    def write(inputs: int) -> None:
        (tmp_path / "asked_net.py").write_text(MODULE.format(inputs=inputs))
        sys.modules.pop("asked_net", None)
        importlib.invalidate_caches()

    write(72)
    yield write
    sys.modules.pop("asked_net", None)


@pytest.fixture
def graph(tmp_path: Path) -> None:
    """``net.onnx``: rows and columns are free, and the matrix product takes six columns."""
    border = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", "rows", last]) for name, last in
              (("x", "columns"), ("y", 2))]  # fmt: skip
    weights = numpy_helper.from_array(np.ones((6, 2), np.float32), "w")
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"], name="product")]
    made = helper.make_graph(nodes, "net", border[:1], border[1:], [weights])
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "net.onnx")


@pytest.mark.parametrize("precision", ["fp32", "fp32,int8"])
def test_a_module_that_does_not_take_the_size(
    precision: str, module: Callable, benchbox: Callable, tmp_path: Path
) -> None:
    ran = benchbox("run", "asked_net:net", "--input", "1x8x9", "--precision", precision, "--backend", "onnxruntime")
    assert (ran.status, ran.out) == (2, "")
    assert "with input 1x8x9" in ran.err
    assert "mat1 and mat2 shapes cannot be multiplied" in ran.err, "the network's own words, not the exporter's"
    assert "check the input shape (--input)" in ran.err
    assert record_files(tmp_path) == ()


@pytest.mark.parametrize(
    ("sizes", "word"),
    [
        (("--input", "rows=4", "--input", "colums=6"), "no input and no dimension 'colums'"),
        (("--input", "3x4x6"), "another number of dimensions"),
        (("--input", "4x7"), "does not run"),
        (("--inputs", "broken.npz"), "not a readable .npz file"),
        (("--input", "rows=4", "--input", "columns=6", "--batch-axis", "z=0"), "has no input 'z'"),
    ],
)
@pytest.mark.parametrize("precision", ["fp32", "fp32,bf16"])
def test_a_file_that_does_not_have_the_size(
    sizes: tuple[str, ...], word: str, precision: str, graph: None, benchbox: Callable, tmp_path: Path
) -> None:
    (tmp_path / "broken.npz").write_bytes(b"PK")
    ran = benchbox("run", "net.onnx", *sizes, "--precision", precision, "--backend", "openvino,onnxruntime")
    assert ran.status == 2, ran.err
    assert word in ran.err
    # What OpenVINO or ONNX Runtime cannot run in bf16 may be noted before; the mistake is not.
    assert not [each.reason for each in map(read_record, record_files(tmp_path)) if word in each.reason]


@pytest.mark.usefixtures("one_process")
def test_sizes_that_fit_some_of_the_networks(
    module: Callable, graph: None, benchbox: Callable, short: tuple[str, ...], tmp_path: Path
) -> None:
    """The others are skipped, whatever their place, as combinations that cannot run are; alone they are a mistake."""
    sizes = ("--input", "rows=4", "--input", "columns=6", "--backend", "onnxruntime", "--json", *short)
    ran = benchbox("run", "asked_net:net", "net.onnx", *sizes)
    assert ran.status == 0, ran.err
    found = {record["key"]["model"]: record for record in ran.document["records"]}
    assert {name: record["status"] for name, record in found.items()} == {"asked_net.net": "skipped", "net": "ok"}
    assert "rows" in found["asked_net.net"]["reason"]
    assert len(record_files(tmp_path)) == 2
    ran = benchbox("run", "asked_net:net", "net.onnx", "--input", "colums=6", *sizes[4:])
    assert (ran.status, len(record_files(tmp_path))) == (2, 2), ran.err


@pytest.mark.usefixtures("one_process")
def test_a_network_that_ran_with_the_size_before_has_failed(
    module: Callable, benchbox: Callable, short: tuple[str, ...], tmp_path: Path
) -> None:
    """Its code was changed since: that is no mistake of whoever measures it again."""
    arguments = ("run", "asked_net:net", "--input", "1x8x8", "--backend", "onnxruntime", "--json", *short)
    assert benchbox(*arguments).status == 0
    module(71)
    ran = benchbox(*arguments)
    assert ran.status == 4
    assert [record["status"] for record in ran.document["records"]] == ["failed"]
    assert len(record_files(tmp_path)) == 2


def test_other_commands_end_alike(module: Callable, benchbox: Callable) -> None:
    for command in ("flops", "export", "layers"):
        ran = benchbox(command, "asked_net:net", "--input", "1x8x9")
        assert (ran.status, "with input 1x8x9" in ran.err) == (2, True), (command, ran.err)


def test_a_network_that_runs_and_cannot_be_traced_has_failed(benchbox: Callable, tmp_path: Path) -> None:
    """The size is right: other sizes would not help, and the record says what happened."""
    (tmp_path / "untraced_net.py").write_text(
        "from torch import nn\n"
        "class Net(nn.Module):\n"
        "    def forward(self, x): return x * float(x.numpy().max())\n"
        "def net(): return Net()\n"
    )
    sys.modules.pop("untraced_net", None)
    ran = benchbox("run", "untraced_net:net", "--input", "4", "--backend", "onnxruntime", "--json")
    assert ran.status == 4, ran.err
    assert "the network runs on these inputs, but its forward cannot be traced" in ran.err
    assert [record["status"] for record in ran.document["records"]] == ["failed"]
