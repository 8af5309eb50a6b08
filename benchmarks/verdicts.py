"""How often is a verdict wrong on this machine, and is a real slowdown found?

``benchbox run --ab`` on two chains of equal convolutions: A against itself, where faster and slower are false, and
against a chain that is a tenth longer, where only slower is right. Targets: no false verdict in 40; 9 of 10 found.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

ALIKE, SLOWED = 40, 10
LAYERS = 20


def chain(path: Path, layers: int) -> None:
    """So many convolutions of 3x3 over 32 channels, one after another."""
    draw = np.random.default_rng(0)
    weights = [draw.normal(0, 0.06, (32, 32, 3, 3)).astype(np.float32) for _ in range(layers)]
    nodes = [
        helper.make_node("Conv", [f"x{n}", f"w{n}"], [f"x{n + 1}"], name=f"conv{n}", pads=[1, 1, 1, 1])
        for n in range(layers)
    ]
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("x0", TensorProto.FLOAT, ["batch", 32, 32, 32])],
        [helper.make_tensor_value_info(f"x{layers}", TensorProto.FLOAT, ["batch", 32, 32, 32])],
        [numpy_helper.from_array(weight, f"w{n}") for n, weight in enumerate(weights)],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))


def verdict(root: Path, other: str) -> dict[str, object]:
    """The verdict on the median latency of another chain against the first."""
    command = [str(Path(sys.executable).with_name("benchbox")), "run", str(root / "base.onnx"), "--threads", "1"]
    flags = ["--ab", "threads=1", f"model={root / other}", "--quick", "--json", "--root", str(root)]
    ran = subprocess.run([*command, *flags], check=True, capture_output=True, text=True)
    found: dict[str, object] = json.loads(ran.stdout)["verdicts"][0]
    return found


def main() -> None:
    """Prints how often each verdict came out."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        chain(root / "base.onnx", LAYERS)
        chain(root / "longer.onnx", LAYERS + LAYERS // 10)
        for title, other, count in (("A/A", "base.onnx", ALIKE), ("10 % longer", "longer.onnx", SLOWED)):
            found = [verdict(root, other) for _ in range(count)]
            counts = Counter(str(one["outcome"]) for one in found)
            ratios = sorted(float(str(one["ratio"])) for one in found if one["ratio"] is not None)
            middle = f"ratio {ratios[len(ratios) // 2]:.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f})" if ratios else ""
            print(f"{title:12s} {count} trials: {dict(counts)}   {middle}")


if __name__ == "__main__":
    main()
