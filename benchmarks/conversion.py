"""What do casting to fp16 and calibrating int8 cost beside the tools that people use for it?

Casting: resnet50 from memory to memory, ours and onnxconverter-common in turn in this process. Target: at most 1.5
times its time. Peak memory of reading, casting and writing the file, each in a fresh process: the high-water mark of
resident memory less what the imports took. Target: at most 3 times the file.

Calibration: ours and ONNX Runtime's quantize_static on the same samples, min-max, symmetric, per channel, from file to
file, in turn. Target: at most 1.1 times its time.
"""

from __future__ import annotations

import logging
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from benchbox.export.precision.casting import cast_from_float
from benchbox.export.precision.deriving import calibration_of, derived_from_float
from benchbox.export.precision.request import DerivingRequest
from benchbox.jobs.prepare import onnx_from_source
from benchbox.models.sources import resolve
from benchbox.schema.artifact import OnnxArtifact
from benchbox.schema.derivation import USUAL
from benchbox.schema.model import ModelSource, Precision

ROUNDS = 7
CALIBRATION_ROUNDS = 3
MODEL = "resnet50"
_PEAK = """
import sys, re
from pathlib import Path
import numpy, onnx, onnx.numpy_helper, onnx.shape_inference, onnx.helper, onnx.defs
{imports}
def kilobytes(name):
    return int(re.search(name + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
Path("/proc/self/clear_refs").write_text("5")
base = kilobytes("VmRSS")
model = onnx.load(sys.argv[1])
{work}
Path(sys.argv[2]).write_bytes(model.SerializeToString())
print((kilobytes("VmHWM") - base) * 1024)
"""
_OURS = (
    "from benchbox.export.precision.casting import cast_from_float\nfrom benchbox.schema.model import Precision",
    "model, _ = cast_from_float(model, Precision.FP16)",
)
_THEIRS = (
    "from onnxconverter_common import float16",
    "model = float16.convert_float_to_float16(model, keep_io_types=True)",
)


def theirs(proto: onnx.ModelProto) -> onnx.ModelProto:
    """onnxconverter-common's fp16 graph with fp32 inputs and outputs, as ours has them."""
    from onnxconverter_common import float16

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float16.convert_float_to_float16(proto, keep_io_types=True)


def seconds(work: Callable[[], object]) -> float:
    """Wall time of a call."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def alternating(ours: Callable[[], float], other: Callable[[], float], rounds: int) -> tuple[list[float], list[float]]:
    """Times of both, in turn, each first every other time; the first pair is thrown away."""
    mine, others = [], []
    for number in range(rounds + 1):
        for work, times in ((ours, mine), (other, others))[:: 1 if number % 2 else -1]:
            times.append(work())
    return mine[1:], others[1:]


def reported(what: str, mine: list[float], others: list[float], target: float) -> None:
    """One line: medians, and the median of the ratios of the pairs."""
    ratios = [one / other for one, other in zip(mine, others, strict=True)]
    print(
        f"{what:24s} ours {statistics.median(mine):7.3f} s   theirs {statistics.median(others):7.3f} s   "
        f"ours/theirs {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f}, {len(ratios)} pairs; "
        f"target {target})"
    )


def peak_bytes(path: Path, folder: Path, imports: str, work: str) -> int:
    """What reading, casting and writing a file takes in a process of its own, beyond its imports."""
    program = _PEAK.format(imports=imports, work=work)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, str(path), str(folder / "cast.onnx")],
        check=True,
        capture_output=True,
        text=True,
    )
    return int(done.stdout)


def casting(path: Path, folder: Path) -> None:
    """Time and memory of the cast to fp16."""
    proto = onnx.load(str(path))

    def other() -> float:
        copy = onnx.ModelProto()
        copy.CopyFrom(proto)  # it changes the graph that it is given
        return seconds(lambda: theirs(copy))

    mine, others = alternating(lambda: seconds(lambda: cast_from_float(proto, Precision.FP16)), other, ROUNDS)
    reported(f"{MODEL} to fp16", mine, others, 1.5)
    size = path.stat().st_size
    peaks = [peak_bytes(path, folder, *program) / size for program in (_OURS, _THEIRS)]
    print(f"{'peak memory / file':24s} ours {peaks[0]:.2f}   theirs {peaks[1]:.2f}   (target 3)")


class Reader(CalibrationDataReader):  # type: ignore[misc]
    """The samples of a calibration set, one at a time."""

    def __init__(self, name: str, samples: list[np.ndarray]) -> None:
        self._feeds: Iterator[dict[str, np.ndarray]] = iter([{name: sample[None]} for sample in samples])

    def get_next(self) -> dict[str, Any] | None:
        """One feed, None at the end."""
        return next(self._feeds, None)


def calibrating(path: Path, folder: Path, original: OnnxArtifact, source: ModelSource) -> None:
    """Time of int8 from file to file."""
    data = calibration_of(source, precision=Precision.INT8, derivation=USUAL, inputs=original.inputs, seed=0)
    assert data is not None
    name = original.inputs[0].name
    samples = [feed[name] for feed in data.load()]

    def ours() -> object:
        request = DerivingRequest(
            proto=onnx.load(str(path)), precision=Precision.INT8, derivation=USUAL, inputs=original.inputs, data=data
        )
        return (folder / "ours.onnx").write_bytes(derived_from_float(request).proto.SerializeToString())

    def other() -> object:
        return quantize_static(
            str(path),
            str(folder / "theirs.onnx"),
            Reader(name, samples),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            extra_options={"ActivationSymmetric": True, "WeightSymmetric": True},
        )

    mine, others = alternating(lambda: seconds(ours), lambda: seconds(other), CALIBRATION_ROUNDS)
    reported(f"int8, {len(samples)} samples", mine, others, 1.1)


def main() -> None:
    """Prints one line for each question."""
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = resolve(MODEL, input_shape=None, weights=None)
        original = onnx_from_source(source, precision=Precision.FP32, root=folder)
        path = folder / original.path
        casting(path, folder)
        calibrating(path, folder, original, source)


if __name__ == "__main__":
    main()
