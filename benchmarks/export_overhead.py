"""What does an export that is canonical, checked and recorded cost over a bare one?

`benchbox export MODEL` into an empty root against a process that builds the same module and calls
``torch.onnx.export`` on it and saves the file; whole processes in turn. Target for resnet50: at most 1.25.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUNDS = 5
MODELS = ("resnet50",)

BARE = """
import sys, torch
from benchbox.models.building import module_from_source
from benchbox.models.sources import resolve
source = resolve(sys.argv[1], input_shape=None, weights=None)
module = module_from_source(source, seed=0)
program = torch.onnx.export(
    module, (torch.randn(2, *source.input_shape),), dynamo=True, opset_version=20,
    dynamic_shapes=({0: "batch"},), verbose=False,
)
program.save(sys.argv[2])
"""


def seconds(command: list[str]) -> float:
    """Wall time of one whole process."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    begin = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    return time.perf_counter() - begin


def main() -> None:
    """Prints one row a network."""
    script = str(Path(sys.executable).with_name("benchbox"))
    for model in MODELS:
        ratios, bares = [], []
        for number in range(ROUNDS):
            with tempfile.TemporaryDirectory() as root:
                bare = [sys.executable, "-c", BARE, model, str(Path(root) / "bare.onnx")]
                ours = [script, "export", model, "--root", root]
                order = (bare, ours) if number % 2 else (ours, bare)
                times = {id(command): seconds(command) for command in order}
                bares.append(times[id(bare)])
                ratios.append(times[id(ours)] / times[id(bare)])
        print(
            f"{model:10s} bare {statistics.median(bares):6.2f} s   benchbox/bare {statistics.median(ratios):.3f}   "
            f"({min(ratios):.3f} to {max(ratios):.3f}, {ROUNDS} pairs)"
        )


if __name__ == "__main__":
    main()
