"""What does trtexec print, as numbers? And with which flags does one version measure as another does?"""

from __future__ import annotations

import re

_LINE = re.compile(r"\[I\] (Latency|GPU Compute Time|Enqueue Time|H2D Latency|D2H Latency): (.*)")
_VALUE = re.compile(r"(min|max|mean|median|percentile\((\d+)%\)) = ([0-9.eE+-]+) ms")
_RATE = re.compile(r"\[I\] Throughput: ([0-9.eE+-]+) qps")
_VERSION = re.compile(r"TensorRT v(\d+)")
_NAMES = {
    "Latency": "latency",
    "GPU Compute Time": "gpu_time",
    "Enqueue Time": "enqueue_time",
    "H2D Latency": "h2d_time",
    "D2H Latency": "d2h_time",
}
# By preset and by the version that is to measure so.
FLAGS = {
    ("trtexec-10", 10): [],
    ("trtexec-11", 11): [],
    ("trtexec-10", 11): ["--includeDataTransfers", "--noSpinWait", "--noCudaGraph"],
    ("trtexec-11", 10): ["--noDataTransfers", "--useSpinWait", "--useCudaGraph"],
}


def numbers_from_log(log: str) -> dict[str, float]:
    """The summary of a run under benchbox's names, in s and 1/s; what was not printed is not in it."""
    found: dict[str, float] = {}
    for title, rest in _LINE.findall(log):
        for word, percent, value in _VALUE.findall(rest):
            statistic = f"p{percent}" if percent else word
            found[f"trtexec_{_NAMES[title]}_{statistic}"] = float(value) * 1e-3
    rate = _RATE.search(log)
    return {**found, "trtexec_throughput": float(rate[1])} if rate else found


def major_version(log: str) -> int | None:
    """10 of "TensorRT v101600" (10.16.0), 8 of "TensorRT v8601" (8.6.1); None where it is not said."""
    said = _VERSION.search(log)
    if said is None:
        return None
    digits = said[1]
    return int(digits[:2]) if len(digits) >= 6 else int(digits[0])
