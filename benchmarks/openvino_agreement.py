"""Does benchbox time what OpenVINO's own benchmark_app times?

The median of benchbox's timing loop against that of benchmark_app on the same ONNX file at the same pinned precision,
one thread, one stream, synchronous. Each is a fresh process; processes alternate, and every second round in the other
order, so that the machine's drift hits both alike. Target: within 2 %. The last column is benchmark_app with its
precision left alone, on a CPU with bf16 the number that fp32 must not be mistaken for.
"""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

MODEL = "resnet50"
INPUT = (1, 3, 224, 224)
# What is asked of benchbox, the file that it runs, and the same for benchmark_app.
PRECISIONS = {"fp32": ("fp32", "f32"), "bf16": ("fp32", "bf16"), "int8": ("int8", "f32")}
COUNT = 60
ROUNDS = 6
# benchmark_app's module, without the event that importing OpenVINO sends over the network.
APP = "import sys; sys.modules['openvino_telemetry'] = None; from openvino.tools.benchmark.main import main; main()"
_MEDIAN = re.compile(r"Median:\s+([\d.]+) ms")


def median_of_app(path: Path, hint: str | None) -> float:
    """Median latency that benchmark_app prints, in milliseconds."""
    command = [sys.executable, "-c", APP, "-m", str(path), "-d", "CPU", "-shape", f"[{','.join(map(str, INPUT))}]"]
    command += ["-hint", "none", "-nstreams", "1", "-nthreads", "1", "-api", "sync", "-niter", str(COUNT)]
    command += ["-infer_precision", hint] if hint else []
    ran = subprocess.run(command, check=True, capture_output=True, text=True)
    found = _MEDIAN.search(ran.stdout)
    if found is None:
        raise SystemExit(f"benchmark_app printed no median:\n{ran.stdout}")
    return float(found[1])


def median_of_benchbox(path: Path, precision: str) -> float:
    """Median latency of benchbox's loop in a fresh process, in milliseconds."""
    command = [sys.executable, __file__, str(path), precision]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def one_process(path: Path, precision: str) -> float:
    """Median latency in this process, in milliseconds, after a quarter as many inferences to warm up."""
    import numpy as np

    from benchbox.backends.base import BACKENDS, OpenRequest
    from benchbox.measure.loop.timing import isolated_block
    from benchbox.schema.artifact import TensorSpec
    from benchbox.schema.model import Precision

    session = BACKENDS.get("openvino").open(
        OpenRequest(
            precision=Precision(precision),
            threads=1,
            inputs=(TensorSpec(name="input", dtype="float32", shape=INPUT),),
            outputs=(TensorSpec(name="output", dtype="float32", shape=(1, 1000)),),
            onnx_path=path,
        )
    )
    session.upload(0, {"input": np.random.default_rng(0).standard_normal(INPUT, dtype=np.float32)})
    isolated_block(session, COUNT // 4, slots=1)
    return statistics.median(isolated_block(session, COUNT, slots=1).times_ns) / 1e6


def refusal_of(precision: str) -> str | None:
    """Why OpenVINO does not run a precision on this CPU, None if it does."""
    from benchbox.backends.base import BACKENDS
    from benchbox.schema.model import Precision

    return BACKENDS.get("openvino").refusal(Precision(precision))


def main() -> None:
    """Exports the network, then prints one row for each precision."""
    script = Path(sys.executable).with_name("benchbox")
    with tempfile.TemporaryDirectory() as root:
        command = [str(script), "export", MODEL, "--precision", "fp32,int8", "--json", "--root", root]
        exported = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        files = {artifact["precision"]: Path(root) / artifact["path"] for artifact in exported["artifacts"]}
        for precision, (file, hint) in PRECISIONS.items():
            refusal = refusal_of(precision)
            if refusal:
                print(f"{MODEL} {precision}   {refusal}", flush=True)
                continue
            ours, theirs = [], []
            for number in range(ROUNDS):
                pair = [
                    lambda: ours.append(median_of_benchbox(files[file], precision)),  # noqa: B023
                    lambda: theirs.append(median_of_app(files[file], hint)),  # noqa: B023
                ]
                for run in pair if number % 2 == 0 else reversed(pair):
                    run()
            ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
            alone = f"{median_of_app(files[file], None):8.2f}" if precision == "fp32" else "       –"
            print(
                f"{MODEL} {precision}   benchmark_app {statistics.median(theirs):8.2f} ms   "
                f"benchbox {statistics.median(ours):8.2f} ms   "
                f"ratio of medians {statistics.median(ours) / statistics.median(theirs):.4f}   "
                f"of the rounds {min(ratios):.4f} to {max(ratios):.4f}   left alone {alone} ms",
                flush=True,
            )


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(one_process(Path(sys.argv[1]), sys.argv[2]))
    else:
        main()
