"""What does NVIDIA ModelOpt make of the same fp32 file, and in what time?

Per network and precision, ours and ModelOpt's in turn from the same file in memory, on the same calibration data: time
of the conversion alone, size of the file, hop error against fp32, how many matrix operations are quantised, how many of
the fp32 graph's nodes keep their names and their metadata, and whether TensorRT-RTX builds an engine of it. Needs the
extra modelopt; without it this says so and measures nothing.

    python benchmarks/converters.py [MODEL ...]
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import onnx

from benchbox.backends.base import BACKENDS
from benchbox.errors import BenchboxError, EnvironmentLackError
from benchbox.export.precision import modelopt
from benchbox.export.precision.deriving import calibration_of, derived_from_float
from benchbox.export.precision.request import Derived, DerivingRequest
from benchbox.jobs.prepare import engine_from_source, onnx_from_source
from benchbox.models.sources import resolve
from benchbox.schema.artifact import BatchRange, OnnxArtifact
from benchbox.schema.derivation import USUAL, Converter
from benchbox.schema.model import ModelSource, Precision

MODELS = ("resnet18", "mobilenet_v2", "squeezenet1_1")
PRECISIONS = (Precision.FP16, Precision.BF16, Precision.INT8, Precision.FP8)
CHOICES = {"benchbox": USUAL, "modelopt": replace(USUAL, converter=Converter.MODELOPT)}
ROUNDS = 3
MEBI = 2**20


def kept(before: onnx.ModelProto, after: onnx.ModelProto) -> tuple[int, int, int]:
    """How many nodes there were, how many are there by name, and how many of those with their metadata."""
    nodes = {node.name: node for node in after.graph.node}
    named = [node for node in before.graph.node if node.name in nodes and nodes[node.name].op_type == node.op_type]
    noted = [node for node in named if list(node.metadata_props) == list(nodes[node.name].metadata_props)]
    return len(before.graph.node), len(named), len(noted)


def timed(request: DerivingRequest) -> tuple[float, Derived]:
    """Seconds of one conversion, and what it made."""
    begin = time.perf_counter()
    made = derived_from_float(request)
    return time.perf_counter() - begin, made


def engine_of(source: ModelSource, precision: Precision, choice: str, root: Path) -> str:
    """The size of TensorRT-RTX's engine, or why there is none."""
    compiler = BACKENDS.get("tensorrt-rtx")
    if not compiler.probe().builds:
        return f"not built: {compiler.probe().reason}"
    try:
        built = engine_from_source(
            source,
            compiler=compiler,  # type: ignore[arg-type]
            precision=precision,
            root=root,
            batch=BatchRange(minimum=1, optimum=1, maximum=1),
            derivation=CHOICES[choice],
        )
    except BenchboxError as error:
        return f"no engine: {error.values.splitlines()[0][:90]}"
    return f"engine {built.engine.size_bytes / MEBI:.2f} MiB"


def compared(source: ModelSource, original: OnnxArtifact, precision: Precision, root: Path) -> None:
    """One line per converter."""
    proto = onnx.load(str(root / original.path))
    data = calibration_of(source, precision=precision, derivation=USUAL, inputs=original.inputs, seed=0)
    times: dict[str, list[float]] = {name: [] for name in CHOICES}
    made: dict[str, Derived] = {}
    for number in range(ROUNDS + 1):
        for name in list(CHOICES)[:: 1 if number % 2 else -1]:
            request = DerivingRequest(
                proto=proto, precision=precision, derivation=CHOICES[name], inputs=original.inputs, data=data
            )
            try:
                taken, made[name] = timed(request)
            except BenchboxError as error:
                print(f"  {precision} {name:9s} {error.what}: {error.values}", flush=True)
                return
            times[name].append(taken)
    for name, choice in CHOICES.items():
        all_nodes, named, noted = kept(proto, made[name].proto)
        quantised = made[name].quantization
        part = f"{quantised.quantized}/{quantised.quantizable} quantised" if quantised else ""
        try:
            artifact = onnx_from_source(source, precision=precision, root=root, derivation=choice)
            hop = f"relative L2 {artifact.hops[-1].rel_l2_error:.2e}"
            engine = engine_of(source, precision, name, root)
        except BenchboxError as error:
            hop, engine = f"not kept: {error.what}; {error.values[:90]}", ""
        print(
            f"  {precision} {name:9s} {statistics.median(times[name][1:]):7.2f} s   "
            f"{made[name].proto.ByteSize() / MEBI:6.2f} MiB   {hop}   {part:16s} "
            f"names {named}/{all_nodes}, metadata {noted}/{all_nodes}   {engine}",
            flush=True,
        )


def main() -> None:
    """Prints a table per network."""
    try:
        version = modelopt.version()
    except EnvironmentLackError as error:
        print(f"{error.what}: nothing to compare; {error.remedy}")
        return
    print(f"ModelOpt {version}; medians of {ROUNDS} conversions, in turn")
    with tempfile.TemporaryDirectory() as folder:
        for name in sys.argv[1:] or MODELS:
            source = resolve(name, input_shape=None, weights=None)
            original = onnx_from_source(source, precision=Precision.FP32, root=Path(folder))
            print(name)
            for precision in PRECISIONS:
                compared(source, original, precision, Path(folder))


if __name__ == "__main__":
    main()
