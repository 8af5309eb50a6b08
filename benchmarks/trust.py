"""How long does a number take that can be trusted, and how much does it move from one time to the next?

``benchbox run lenet5`` on two threads (its default here, and ``--quick``), whole commands, against one process that
loops over a bare I/O binding for the same total time, as most tools do; in turn. Targets: at most 30 s and 10 s; the
relative standard deviation of the reported p50 over the repetitions at most half of that of the single process.

On a virtual machine the speed of the whole machine can shift by a fifth for minutes. That is in both standard
deviations, and neither way of measuring can take it out; so the median change from one repetition to the next, which
hardly sees a single shift, stands beside it.
"""

from __future__ import annotations

import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPETITIONS = 10
SINGLE = """
import sys, time, statistics, numpy as np, onnxruntime as ort
options = ort.SessionOptions(); options.intra_op_num_threads = 2; options.inter_op_num_threads = 1
session = ort.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
(given,), (made,) = session.get_inputs(), session.get_outputs()
binding = session.io_binding()
shape = (1, *given.shape[1:])
value = ort.OrtValue.ortvalue_from_numpy(np.random.default_rng(0).standard_normal(shape, dtype=np.float32))
binding.bind_ortvalue_input(given.name, value)
binding.bind_ortvalue_output(made.name, ort.OrtValue.ortvalue_from_shape_and_type((1, *made.shape[1:]), np.float32))
for _ in range(500): session.run_with_iobinding(binding)
times, end = [], time.perf_counter() + float(sys.argv[2])
while time.perf_counter() < end:
    begin = time.perf_counter_ns(); session.run_with_iobinding(binding); times.append(time.perf_counter_ns() - begin)
print(statistics.median(times) * 1e-9)
"""


def measured(root: str, *flags: str) -> tuple[float, float]:
    """Seconds of a whole run and the p50 that it reports."""
    command = [str(Path(sys.executable).with_name("benchbox")), "run", "lenet5", "--threads", "2", "--json", *flags]
    begin = time.perf_counter()
    ran = subprocess.run([*command, "--root", root], check=True, capture_output=True, text=True)
    took = time.perf_counter() - begin
    (record,) = json.loads(ran.stdout)["records"]
    return took, next(reading["value"] for reading in record["readings"] if reading["metric"] == "latency_p50")


def looped(onnx: Path, seconds: float) -> float:
    """The p50 of one process that loops for so long."""
    command = [sys.executable, "-c", SINGLE, str(onnx), str(seconds)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def deviation(values: list[float]) -> float:
    """Relative standard deviation."""
    return statistics.stdev(values) / statistics.fmean(values)


def change(values: list[float]) -> float:
    """Median of the relative changes from one value to the next."""
    return statistics.median(abs(after / before - 1) for before, after in itertools.pairwise(values))


def main() -> None:
    """Prints one row for the default and one for --quick."""
    with tempfile.TemporaryDirectory() as root:
        measured(root, "--quick")  # exports
        (onnx,) = (Path(root) / "engines" / "onnx").glob("lenet5-*.onnx")
        for flags in ((), ("--quick",)):
            took, ours, single = [], [], []
            for _ in range(REPETITIONS):
                seconds, p50 = measured(root, *flags)
                took.append(seconds)
                ours.append(p50)
                single.append(looped(onnx, seconds))
            title = " ".join(flags) or "default"
            middle, most = statistics.median(took), max(took)
            print(f"lenet5 {title:8s} {middle:5.1f} s (at most {most:.1f}), {REPETITIONS} repetitions")
            for name, spread in (("standard deviation", deviation), ("median change", change)):
                mine, other = spread(ours), spread(single)
                print(f"    {name:18s} benchbox {mine:.2%}, one process {other:.2%}, ratio {mine / other:.2f}")
            for name, values in (("benchbox", ours), ("one process", single)):
                print(f"    p50 in µs, {name:11s}", " ".join(f"{value * 1e6:.1f}" for value in values), flush=True)


if __name__ == "__main__":
    main()
