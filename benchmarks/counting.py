"""How long does counting take, beside the alternatives?

* in process: the ONNX file of resnet152 with all its weights, against onnx-tool on the same file;
* as a command: ``benchbox flops resnet50`` under an empty root, against a bare script that imports torch, builds the
  same module and calls ``torch.onnx.export``; then the same command again, which finds the structure it kept;
* how the time grows from 10,000 to 100,000 nodes.

Runs of the two sides alternate; the ratios are of medians.

    python benchmarks/counting.py
"""

from __future__ import annotations

import contextlib
import io
import logging
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_tool
from onnx import TensorProto, helper, numpy_helper

from benchbox.cost.counting import cost_from_graph
from benchbox.export.outline import structure_from_source
from benchbox.graph.graph import graph_from_file
from benchbox.models.sources import resolve

BARE = """
import sys, torch
from benchbox.models.zoo.zoo import build
torch.onnx.export(build("resnet50").eval(), (torch.zeros(2, 3, 224, 224),), sys.argv[1], dynamo=True, opset_version=20,
                  dynamic_shapes=({0: "batch"},), verbose=False)
"""


def seconds(function: Callable[[], object]) -> float:
    """Wall-clock time of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def count_file(path: Path) -> None:
    """Counts a file at batch 1, from reading it on."""
    cost_from_graph(graph_from_file(path, batch=1), model=path.stem, sha256="")


def medians(*functions: Callable[[], object], rounds: int) -> list[float]:
    """Median time of each, run in turns."""
    times = [[seconds(function) for function in functions] for _ in range(rounds)]
    return [statistics.median(column) for column in zip(*times, strict=True)]


def against_onnx_tool(folder: Path) -> None:
    """Both read and count one file of 240 MB."""
    outline = structure_from_source(resolve("resnet152", input_shape=None, weights=None), root=folder)
    proto = onnx.load(str(outline), load_external_data=False)
    for tensor in proto.graph.initializer:
        if tensor.data_location == tensor.EXTERNAL:
            tensor.CopyFrom(numpy_helper.from_array(np.zeros(tuple(tensor.dims), np.float32), tensor.name))
    path = folder / "resnet152.onnx"
    path.write_bytes(proto.SerializeToString())

    def theirs() -> None:
        model = onnx_tool.Model(str(path), {"verbose": False})
        model.graph.shape_infer({"input": np.zeros((1, 3, 224, 224), np.float32)})
        model.graph.profile()

    ours, other = medians(lambda: count_file(path), theirs, rounds=5)
    print(f"counting resnet152's file: {ours:.3f} s, onnx-tool {other:.3f} s, ratio {ours / other:.2f}")


def as_a_command(folder: Path) -> None:
    """Whole processes."""
    benchbox = [sys.executable, "-m", "benchbox"]
    fresh = iter(range(1000))
    used = folder / "used"

    def bare() -> None:
        subprocess.run([sys.executable, "-c", BARE, str(folder / "bare.onnx")], check=True, capture_output=True)

    def first() -> None:
        subprocess.run([*benchbox, "--root", str(folder / str(next(fresh))), "flops", "resnet50"], check=True,
                       capture_output=True)  # fmt: skip

    def again() -> None:
        subprocess.run([*benchbox, "--root", str(used), "flops", "resnet50"], check=True, capture_output=True)

    again()
    ours, other, second = medians(first, bare, again, rounds=5)
    print(f"flops resnet50 from nothing: {ours:.2f} s, bare export {other:.2f} s, ratio {ours / other:.2f}")
    print(f"flops resnet50 again: {second:.2f} s")


def growth(folder: Path) -> None:
    """A chain of ReLUs."""
    times = []
    for count in (10_000, 100_000):
        nodes = [helper.make_node("Relu", [f"t{k}"], [f"t{k + 1}"], name=f"relu{k}") for k in range(count)]
        values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 8]) for name in ("t0", f"t{count}")]
        path = folder / f"{count}.onnx"
        graph = helper.make_graph(nodes, "chain", values[:1], values[1:])
        path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)]).SerializeToString())
        times += medians(lambda path=path: count_file(path), rounds=3)
    print(f"100,000 nodes: {times[1]:.2f} s, {times[1] / times[0]:.1f} times the time of 10,000")


def main() -> None:
    """All of it."""
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with contextlib.redirect_stderr(io.StringIO()):
            against_onnx_tool(folder)
            growth(folder)
        as_a_command(folder)


if __name__ == "__main__":
    main()
