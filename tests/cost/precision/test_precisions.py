"""What a layer computes in, by the types of what it multiplies; branches and loops by what is inside of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from branching import branching
from graphs import saved

from benchbox.cost.precision.precisions import precision_cost
from benchbox.export.precision.weightless import structure_in_precision
from benchbox.graph.border import Sizes
from benchbox.graph.graph import graph_from_proto
from benchbox.graph.structure import proto_from_file
from benchbox.schema.derivation import USUAL
from benchbox.schema.model import Precision

# Multiply-adds of one sample by hand: output positions x channels out x channels in x kernel, and turns of the Loop.
MACS = {
    "conv1": 64 * 8 * 3 * 9,
    "branch": 64 * 8 * 8 * 9,
    "conv2": 64 * 8 * 8 * 9,
    "product": 64,
    "loop": 3 * 64,
    "head": 64,
}
INSIDE = {"branch", "loop"}


@pytest.mark.parametrize("precision", [Precision.FP16, Precision.BF16, Precision.INT8, Precision.FP8])
def test_branches_and_loops_compute_in_fp32(precision: Precision, tmp_path: Path) -> None:
    path = saved(tmp_path / "net.onnx", branching())
    structure = proto_from_file(path)
    fp32 = graph_from_proto(structure, path, Sizes())
    made = graph_from_proto(structure_in_precision(structure, precision, USUAL), path, Sizes())
    cost = precision_cost(made, fp32, model="net", sha256="", precision=precision)
    macs = {layer.name: layer.macs for layer in cost.cost.layers if layer.macs}
    assert macs == MACS
    assert {name: cost.types[name] for name in MACS} == {
        name: "fp32" if name in INSIDE else str(precision) for name in MACS
    }
    assert cost.macs_in_precision == sum(count for name, count in MACS.items() if name not in INSIDE)
