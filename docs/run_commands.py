"""Do the commands of a page run? ``python docs/run_commands.py [PAGE]... [--quick] [--keep FOLDER]``.

Makes the files that the pages name in a temporary folder, runs every line of their shell blocks there, in order, and
prints exit status and time of each. Python blocks that write files are run too, those below a file's name are written
into it. What this machine cannot run (a GPU, another interpreter) is said with the reason.
``--quick`` adds that flag to what measures; ``--from`` leaves out the commands before the first that holds a text
(files are made all the same); ``--keep`` writes what each command printed into a file of a folder, for the pages'
samples. The status is 1 if a command failed.
"""

from __future__ import annotations

import argparse
import functools
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

HERE = Path(__file__).parent
PAGES = ("first-hour.md", "how-to.md")
_BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)
# A Python block is a module where the paragraph above it names one, and a step where it writes files.
_MODULE = re.compile(r"`(\w+\.py)`[^`]*\Z")
_WRITES = re.compile(r"\b(savez|save_pretrained|save)\(")
_MEASURING = re.compile(r"^benchbox run (?!.*--dry-run)")
# Lines that need what no temporary folder has.
NOT_HERE = {
    r"^pip install": "installs",
    r"--backend tensorrt(?!-rtx)|--lock-clocks": "needs a GPU",
    r"^benchbox run .*tensorrt-rtx": "needs a GPU",
    r"other-venv|base-venv|head-venv": "needs another interpreter",
    r"\bhf:ORG/|weights='DEFAULT'": "needs the network",
    r"compare (2026|base/)": "needs records of other days or checkouts",
    r"--data (tiny|imagenet)": "needs the pictures of the Python block",
    r"completion .*>>": "changes the shell's start-up file",
    r"s3://": "needs a bucket",
    r"^git |^cd |^export |^source |^#": "is for the shell",
}
# Lines that need a package of an extra.
EXTRAS = {r"\bhf:|from transformers": "transformers", r"\btimm:": "timm", r"torchvision": "torchvision"}
# Lines that are about records of before, and what makes them, once.
_RESNETS = "benchbox run resnet18 --backend onnxruntime,openvino --precision fp32,int8 --quick"
_CHECKOUTS = "mkdir -p old new && cp mynets.py old && cp mynets.py new"
NEEDS = {r"^benchbox (compare (precision|backend)=|history resnet18)": _RESNETS, r"^\(cd old": _CHECKOUTS}
# What a line calls a file whose name nobody knows before.
_FILE = re.compile(r"\S*=(\S+)/FILE\.onnx")


def steps_of(page: Path) -> Iterator[tuple[str, str]]:
    """Every line of the shell blocks of a page, with "" before it, and its Python blocks with the name of their file.

    A Python block that is run has the name "-".
    """
    text = page.read_text()
    for block in _BLOCK.finditer(text):
        kind, lines = block.groups()
        if kind == "python":
            named = _MODULE.search(text[: block.start()].rstrip().rpartition("\n\n")[2])
            if named or _WRITES.search(lines):
                yield (named[1] if named else "-"), lines
            continue
        for line in lines.splitlines():
            if command := line.partition("  #")[0].strip():
                yield "", command


def reason_not_to(step: str) -> str:
    """Why a step cannot run here, "" if it can."""
    lacking = (package for pattern, package in EXTRAS.items() if re.search(pattern, step) and not _imports(package))
    reasons = (reason for pattern, reason in NOT_HERE.items() if re.search(pattern, step))
    return next(reasons, "") or next((f"needs {package}" for package in lacking), "")


@functools.cache
def _imports(package: str) -> bool:
    """Whether a package works here: a build for another PyTorch is installed and does not."""
    done = subprocess.run([sys.executable, "-c", f"import {package}"], capture_output=True, check=False)
    return done.returncode == 0


def make_files(folder: Path) -> None:
    """The files that the pages name."""
    (folder / "path").mkdir()
    rng = np.random.default_rng(0)
    for name in ("net.onnx", "path/net.onnx", "old.onnx", "new.onnx"):
        _save(folder / name, _convolution(rng, 224, 224))
    _save(folder / "detector.onnx", _convolution(rng, "height", "width"))
    _save(folder / "boxes.onnx", _boxes(rng))
    for name in ("bert.onnx", "path/bert.onnx"):
        _save(folder / name, _encoder(rng))
    _save(folder / "decoder.onnx", _decoder())
    _save(folder / "speech.onnx", _speech(rng))
    _save(folder / "sequence_first.onnx", _sequence_first(rng))
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


def _boxes(rng: np.random.Generator) -> onnx.GraphProto:
    """A corner and a size at each place of a map, a score for each, and what is left of them after suppression."""
    small = {"most": (TensorProto.INT64, 100), "overlap": (TensorProto.FLOAT, 0.5), "least": (TensorProto.FLOAT, 0.5)}
    small |= {name: (TensorProto.INT64, number) for name, number in (("two", 2), ("three", 3), ("one", 1), ("all", -1))}
    stored = [helper.make_tensor(name, kind, [1], [number]) for name, (kind, number) in small.items()]
    stored += [_weight("stem", rng, 8, 3, 3, 3), _weight("head", rng, 5, 8, 1, 1)]
    stored.append(onnx.numpy_helper.from_array(np.array([1, 5, 1024]), "rows"))
    stored.append(onnx.numpy_helper.from_array(np.array([2, 2, 1]), "parts"))
    nodes = [
        helper.make_node("Conv", ["image", "stem"], ["map"], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["map"], ["features"]),
        helper.make_node("Conv", ["features", "head"], ["found"]),
        helper.make_node("Reshape", ["found", "rows"], ["flat"]),
        helper.make_node("Split", ["flat", "parts"], ["corner", "extent", "logits"], axis=1),
        helper.make_node("Abs", ["corner"], ["low"]),
        helper.make_node("Exp", ["extent"], ["size"]),
        helper.make_node("Add", ["low", "size"], ["high"]),
        helper.make_node("Concat", ["low", "high"], ["columns"], axis=1),
        helper.make_node("Transpose", ["columns"], ["boxes"], perm=[0, 2, 1]),
        helper.make_node("Sigmoid", ["logits"], ["scores"]),
        helper.make_node("NonMaxSuppression", ["boxes", "scores", "most", "overlap", "least"], ["chosen"], name="nms"),
        helper.make_node("Slice", ["chosen", "two", "three", "one"], ["column"]),
        helper.make_node("Reshape", ["column", "all"], ["places"]),
        helper.make_node("Gather", ["boxes", "places"], ["kept"], axis=1),
    ]
    image = _value("image", TensorProto.FLOAT, [1, 3, 64, 64])
    kept = _value("kept", TensorProto.FLOAT, [1, "kept boxes", 4])
    return helper.make_graph(nodes, "boxes", [image], [kept], stored)


def _encoder(rng: np.random.Generator) -> onnx.GraphProto:
    nodes = [
        helper.make_node("Gather", ["words", "input_ids"], ["embedded"]),
        helper.make_node("Cast", ["attention_mask"], ["ones"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["ones", "last"], ["mask"]),
        helper.make_node("Mul", ["embedded", "mask"], ["hidden"]),
        helper.make_node("MatMul", ["hidden", "w"], ["output"]),
    ]
    inputs = [_value(name, TensorProto.INT64, ["batch", "sequence"]) for name in ("input_ids", "attention_mask")]
    output = _value("output", TensorProto.FLOAT, ["batch", "sequence", 64])
    weights = [_weight("words", rng, 1000, 64), _weight("w", rng, 64, 64)]
    weights.append(onnx.numpy_helper.from_array(np.array([2]), "last"))
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
    parser.add_argument("--from", dest="start", default="", metavar="TEXT")
    asked_for = parser.parse_args(words)
    start, pages, quick, keep = asked_for.start, asked_for.pages, asked_for.quick, asked_for.keep
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
    failed, needs = 0, dict(NEEDS)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_files(folder)
        for place, (file, line) in enumerate(step for page in pages for step in steps_of(page)):
            if not file:
                start = "" if start in line else start
                if start and "benchbox " in line:
                    continue
            title = line if not file else f"python: {line.strip().splitlines()[-1]}"
            if reason := reason_not_to(line):
                print(f"  not run  {title}  ({reason})", flush=True)
                continue
            if file not in {"", "-"}:
                (folder / file).write_text(line)
                continue
            if file:
                line = f"{shlex.quote(sys.executable)} -c {shlex.quote(line)}"
            asked = f"{line} --quick" if quick and _MEASURING.match(line) and "--quick" not in line else line
            if "base/results" in line and not (folder / "base").exists():
                for side in ("base", "head"):
                    subprocess.run(shlex.split(f"cp -r results {folder / side}-results"), cwd=folder, check=False)
                    (folder / side).mkdir()
                    (folder / f"{side}-results").rename(folder / side / "results")
            for place_of in _FILE.findall(asked):
                made = next(iter(sorted((folder / place_of).glob("*.onnx"))), Path("FILE.onnx"))
                asked = asked.replace(f"{place_of}/FILE.onnx", f"{place_of}/{made.name}")
            for pattern in [each for each in needs if re.search(each, line)]:
                print(f"  before   {needs[pattern]}", flush=True)
                run(needs.pop(pattern), folder, None)
            status, seconds, said = run(asked, folder, keep and keep / f"{place:03d}.txt")
            failed += status != 0
            shown = title if file else asked
            print(f"{status:>3} {seconds:6.1f} s  {shown}" + (f"\n    {said}" if status else ""), flush=True)
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
