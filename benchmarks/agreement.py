"""Does benchbox's clock add anything to what it measures?

The p50 of benchbox's timing loop against a bare ``run_with_iobinding`` loop on the same ONNX file, one thread.
Each round is a fresh process that runs blocks of both in ABBA order, so that the machine's drift hits both alike.
Target: within 1 %.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter_ns

from benchbox.schema.plan import MeasurementPlan

MODELS = {"lenet5": 4000, "resnet18": 40, "resnet50": 15}
ROUNDS = 7
BLOCKS = "ABBA" * 3
SLOTS = MeasurementPlan.input_slots  # as many resident inputs as a real run rotates through


def bare_block(session: object, binding: object, count: int) -> list[int]:
    """Times of ``count`` inferences with nothing around them but the clock, in nanoseconds."""
    run = session.run_with_iobinding  # type: ignore[attr-defined]
    times = [0] * count
    for index in range(count):
        begin = perf_counter_ns()
        run(binding)
        times[index] = perf_counter_ns() - begin
    return times


def one_process(onnx_path: str, count: int) -> dict[str, float]:
    """Medians (ns) of both loops in this process."""
    import numpy as np
    import onnxruntime as ort

    from benchbox.backends.base import BACKENDS, OpenRequest
    from benchbox.measure.loop.timing import isolated_block
    from benchbox.schema.artifact import TensorSpec
    from benchbox.schema.model import Precision

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    bare = ort.InferenceSession(onnx_path, options, providers=["CPUExecutionProvider"])
    (given,), (made,) = bare.get_inputs(), bare.get_outputs()
    array = np.random.default_rng(0).standard_normal((1, *given.shape[1:]), dtype=np.float32)
    result = ort.OrtValue.ortvalue_from_shape_and_type((1, *made.shape[1:]), np.float32)
    binding = bare.io_binding()
    value = ort.OrtValue.ortvalue_from_numpy(array)
    binding.bind_ortvalue_input(given.name, value)
    binding.bind_ortvalue_output(made.name, result)

    session = BACKENDS.get("onnxruntime").open(
        OpenRequest(
            precision=Precision.FP32,
            threads=1,
            inputs=(TensorSpec(name=given.name, dtype="float32", shape=array.shape),),
            outputs=(TensorSpec(name=made.name, dtype="float32", shape=(1, *made.shape[1:])),),
            slots=SLOTS,
            onnx_path=Path(onnx_path),
        )
    )
    for slot in range(SLOTS):
        session.upload(slot, {given.name: array})
    samples: dict[str, list[int]] = {"A": [], "B": []}
    bare_block(bare, binding, count // 4)
    isolated_block(session, count // 4, slots=SLOTS)
    for which in BLOCKS:
        block = (
            isolated_block(session, count, slots=SLOTS).times_ns if which == "A" else bare_block(bare, binding, count)
        )
        samples[which] += list(block)
    return {"benchbox": statistics.median(samples["A"]), "bare": statistics.median(samples["B"])}


def main() -> None:
    """Exports the networks, then prints one row each."""
    script = Path(sys.executable).with_name("benchbox")
    with tempfile.TemporaryDirectory() as root:
        for model, count in MODELS.items():
            command = [str(script), "export", model, "--json", "--root", root]
            exported = subprocess.run(command, check=True, capture_output=True, text=True)
            path = Path(root) / json.loads(exported.stdout)["artifacts"][0]["path"]
            rounds = [_round(str(path), count) for _ in range(ROUNDS)]
            ratio = statistics.median(row["benchbox"] / row["bare"] for row in rounds)
            difference = statistics.median(row["benchbox"] - row["bare"] for row in rounds)
            bare = statistics.median(row["bare"] for row in rounds)
            print(
                f"{model:10s} bare p50 {bare / 1e3:10.2f} us   benchbox/bare {ratio:.4f}   "
                f"difference {difference / 1e3:+.3f} us   ({ROUNDS} processes)"
            )


def _round(path: str, count: int) -> dict[str, float]:
    run = subprocess.run([sys.executable, __file__, path, str(count)], check=True, capture_output=True, text=True)
    row: dict[str, float] = json.loads(run.stdout)
    return row


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(json.dumps(one_process(sys.argv[1], int(sys.argv[2]))))
    else:
        main()
