"""Do the commands of a page run? ``python docs/run_commands.py [PAGE]... [--quick] [--keep FOLDER]``.

Makes the files that the pages name in a temporary folder, runs every line of their shell blocks there, in order, and
prints exit status and time of each. What this machine cannot run (a GPU, another interpreter) is said with the reason.
``--quick`` adds that flag to what measures; ``--keep`` writes what each command printed into a file of a folder, for
the pages' samples. The status is 1 if a command failed.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

HERE = Path(__file__).parent
PAGES = ("first-hour.md", "how-to.md")
_BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
_MEASURING = re.compile(r"^benchbox run (?!.*--dry-run)")
# Lines that need what no temporary folder has.
NOT_HERE = {
    r"^pip install": "installs",
    r"--backend tensorrt(?!-rtx)|--lock-clocks": "needs a GPU",
    r"^benchbox run .*tensorrt-rtx": "needs a GPU",
    r"other-venv|base-venv|head-venv": "needs another interpreter",
    r"torchvision|^benchbox .*\b(hf|timm):": "needs an extra, or the network",
    r"compare (2026|base/)": "needs records of other days or checkouts",
    r"--data (tiny|imagenet)": "needs the pictures of the Python block",
    r"completion .*>>": "changes the shell's start-up file",
    r"s3://": "needs a bucket",
    r"^git |^cd |^export |^source |^#": "is for the shell",
}
MYNETS = """
from torch import nn


def small() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, stride=2), nn.BatchNorm2d(16), nn.ReLU(), nn.Flatten(), nn.Linear(3600, 10)
    )
"""
ENCODERS = re.compile(r"^```python\n((?:(?!```).)*?class Encoder.*?)^```", re.MULTILINE | re.DOTALL)
# Lines that are about records of before, and what makes them, once.
_RESNETS = "benchbox run resnet18 --backend onnxruntime,openvino --precision fp32,int8 --quick"
NEEDS = {r"^benchbox (compare (precision|backend)=|history resnet18)": _RESNETS}


def commands_of(page: Path) -> list[str]:
    """Every line of the shell blocks of a page."""
    lines = [line for block in _BLOCK.findall(page.read_text()) for line in block.splitlines()]
    return [line.partition("  #")[0].strip() for line in lines if line.strip()]


def reason_not_to(line: str) -> str:
    """Why a line cannot run here, "" if it can."""
    return next((reason for pattern, reason in NOT_HERE.items() if re.search(pattern, line)), "")


def make_files(folder: Path) -> None:
    """The files that the pages name."""
    (folder / "mynets.py").write_text(MYNETS)
    if found := ENCODERS.search((HERE / "how-to.md").read_text()):
        (folder / "encoders.py").write_text(found[1])
    (folder / "path").mkdir()
    rng = np.random.default_rng(0)
    for name in ("net.onnx", "path/net.onnx", "old.onnx", "new.onnx"):
        _save(folder / name, _convolution(rng, 224, 224))
    _save(folder / "detector.onnx", _convolution(rng, "height", "width"))
    for name in ("bert.onnx", "path/bert.onnx"):
        _save(folder / name, _encoder(rng))
    _save(folder / "decoder.onnx", _decoder())
    _save(folder / "speech.onnx", _speech(rng))
    _save(folder / "sequence_first.onnx", _sequence_first(rng))
    ids = rng.zipf(1.3, size=(64, 128)) % 1000
    np.savez(folder / "sentences.npz", input_ids=ids, token_type_ids=np.zeros_like(ids))
    np.savez(folder / "pictures.npz", image=rng.random((8, 3, 640, 640), dtype=np.float32))
    _save_weights(folder / "resnet50.safetensors")


def _value(name: str, kind: int, shape: list[int | str]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def _weight(name: str, rng: np.random.Generator, *shape: int) -> onnx.TensorProto:
    return onnx.numpy_helper.from_array((0.05 * rng.standard_normal(shape)).astype(np.float32), name)


def _save(path: Path, graph: onnx.GraphProto) -> None:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def _convolution(rng: np.random.Generator, height: int | str, width: int | str) -> onnx.GraphProto:
    nodes = [
        helper.make_node("Conv", ["image", "w"], ["features"], strides=[2, 2]),
        helper.make_node("GlobalAveragePool", ["features"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["scores"]),
    ]
    image = _value("image", TensorProto.FLOAT, ["batch", 3, height, width])
    scores = _value("scores", TensorProto.FLOAT, ["batch", 8])
    return helper.make_graph(nodes, "net", [image], [scores], [_weight("w", rng, 8, 3, 3, 3)])


def _encoder(rng: np.random.Generator) -> onnx.GraphProto:
    nodes = [
        helper.make_node("Gather", ["words", "input_ids"], ["embedded"]),
        helper.make_node("Gather", ["types", "token_type_ids"], ["typed"]),
        helper.make_node("Add", ["embedded", "typed"], ["hidden"]),
        helper.make_node("MatMul", ["hidden", "w"], ["output"]),
    ]
    inputs = [_value(name, TensorProto.INT64, ["batch", "sequence"]) for name in ("input_ids", "token_type_ids")]
    output = _value("output", TensorProto.FLOAT, ["batch", "sequence", 64])
    weights = [_weight("words", rng, 1000, 64), _weight("types", rng, 2, 64), _weight("w", rng, 64, 64)]
    return helper.make_graph(nodes, "bert", inputs, [output], weights)


def _decoder() -> onnx.GraphProto:
    nodes = [
        helper.make_node("Concat", ["past_key", "key"], ["keys"], axis=1),
        helper.make_node("Transpose", ["keys"], ["turned"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["query", "turned"], ["scores"]),
    ]
    inputs = [
        _value("query", TensorProto.FLOAT, ["batch", "sequence", 32]),
        _value("key", TensorProto.FLOAT, ["batch", "sequence", 32]),
        _value("past_key", TensorProto.FLOAT, ["batch", "past", 32]),
    ]
    output = _value("scores", TensorProto.FLOAT, ["batch", "sequence", "all"])
    return helper.make_graph(nodes, "decoder", inputs, [output])


def _speech(rng: np.random.Generator) -> onnx.GraphProto:
    nodes = [
        helper.make_node("MatMul", ["audio", "w"], ["hidden"]),
        helper.make_node("ReduceSum", ["state", "axis"], ["carried"], keepdims=0),
        helper.make_node("Add", ["hidden", "carried"], ["output"]),
    ]
    inputs = [
        _value("audio", TensorProto.FLOAT, ["batch", "samples"]),
        _value("state", TensorProto.FLOAT, [2, "batch", "width"]),
    ]
    axis = onnx.numpy_helper.from_array(np.array([0]), "axis")
    output = _value("output", TensorProto.FLOAT, ["batch", 128])
    return helper.make_graph(nodes, "speech", inputs, [output], [_weight("w", rng, 512, 128), axis])


def _sequence_first(rng: np.random.Generator) -> onnx.GraphProto:
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    x, y = (_value(name, TensorProto.FLOAT, [16, "n", width]) for name, width in (("x", 32), ("y", 8)))
    return helper.make_graph([node], "recurrent", [x], [y], [_weight("w", rng, 32, 8)])


def _save_weights(path: Path) -> None:
    from safetensors.torch import save_file

    from benchbox.models.building import module_from_source
    from benchbox.models.sources import resolve

    module = module_from_source(resolve("resnet50", input_shape=None, weights=None), seed=1)
    save_file({name: tensor.contiguous() for name, tensor in module.state_dict().items()}, path)


def run(line: str, folder: Path, keep: Path | None) -> tuple[int, float, str]:
    """Exit status, seconds and the last lines of standard error; what was printed goes into a file."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    begin = time.perf_counter()
    ran = subprocess.run(line, shell=True, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    said = [text for text in ran.stderr.splitlines() if text.strip()]
    if keep is not None:
        keep.write_text(f"$ {line}\n{ran.stdout}\n{ran.stderr}")
    return ran.returncode, time.perf_counter() - begin, "; ".join(said[-3:])


def main(words: list[str]) -> int:
    """Runs the pages; returns how many commands failed, at most 1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pages", nargs="*", type=Path, metavar="PAGE", default=[HERE / name for name in PAGES])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--keep", type=Path, metavar="FOLDER")
    asked_for = parser.parse_args(words)
    pages, quick, keep = asked_for.pages, asked_for.quick, asked_for.keep
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
    failed, needs = 0, dict(NEEDS)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_files(folder)
        for place, line in enumerate(line for page in pages for line in commands_of(page)):
            reason = reason_not_to(line)
            if reason:
                print(f"  not run  {line}  ({reason})", flush=True)
                continue
            asked = f"{line} --quick" if quick and _MEASURING.match(line) and "--quick" not in line else line
            if "base/results" in line and not (folder / "base").exists():
                for side in ("base", "head"):
                    subprocess.run(shlex.split(f"cp -r results {folder / side}-results"), cwd=folder, check=False)
                    (folder / side).mkdir()
                    (folder / f"{side}-results").rename(folder / side / "results")
            for pattern in [each for each in needs if re.search(each, line)]:
                print(f"  before   {needs[pattern]}", flush=True)
                run(needs.pop(pattern), folder, None)
            status, seconds, said = run(asked, folder, keep and keep / f"{place:03d}.txt")
            failed += status != 0
            print(f"{status:>3} {seconds:6.1f} s  {asked}" + (f"\n    {said}" if status else ""), flush=True)
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
