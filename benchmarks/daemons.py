"""How much do a scheduler's running daemons slow what is measured beside them?

``dispatch.py`` compares processes with and without Ray, and processes differ by more than 2 % on most machines. Here
one process times one network without end while the daemons of a Ray node are stopped (SIGSTOP) and let run again:
running, stopped, stopped, running, half a second each. What makes processes unlike, and what drifts slower than four
blocks, meets both sides alike, so that a per cent can be told. Two ways: an idle node, and a node that has
started the measuring process as a sweep's unit is started (then also Ray's waiting worker and the driver are stopped).

Printed for each network and way: how many times as long an inference takes while the daemons run, by blocks' medians
and by blocks' means, each the mean over rounds with its 95 % interval (Student's t), and whether that lies within 2 %.
With the defaults about 35 minutes, on a machine where nothing else runs. Exit status 0: it does not disturb by 2 %,
1: it does, or that cannot be said.

Usage: python benchmarks/daemons.py [--rounds 200] [--models squeezenet1_1,resnet50]    (in an environment with
benchbox[ray])
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import shlex
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from dispatch import EFFECT, benchbox, ray_node

from benchbox.fleet.unit import scrubbed_environment

WAYS = ("idle", "dispatched")
# Short beside what changes a shared machine's speed. What the daemons would have done while they were stopped they do
# in the next block, so that nothing of it is missed; a node counts as dead only after much longer.
BLOCK_S = 0.5
SETTLE_S = 0.1
WARM_UP_S = 10.0


def serve(file: str, address: str) -> None:
    """The measuring process: times a network for as long as each line that it receives says."""
    import numpy as np
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    feeds = {
        one.name: np.random.default_rng(0).standard_normal([d if isinstance(d, int) else 1 for d in one.shape])
        .astype(np.float32)
        for one in session.get_inputs()
    }  # fmt: skip
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(address)
        with line.makefile("rw") as talk:
            for asked in talk:
                end, times = time.perf_counter() + float(asked), []
                while (begin := time.perf_counter()) < end:
                    session.run(None, feeds)
                    times.append(time.perf_counter() - begin)
                talk.write(json.dumps([statistics.median(times), statistics.fmean(times)]) + "\n")
                talk.flush()


def drive(address: str, words: list[str]) -> None:
    """The driver: has a Ray worker start the measuring process, and waits for its end."""
    import ray

    def start(words: list[str], environment: dict[str, str]) -> int:
        return subprocess.Popen(words, env=environment, start_new_session=True).wait()

    ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    task = ray.remote(num_cpus=0, resources={"benchbox_machine": 1}, max_retries=0)(start)
    ray.get(task.remote(words, scrubbed_environment()))


def descendants(pid: int) -> list[int]:
    """A process and all below it, from /proc."""
    found = [pid]
    for one in found:
        for task in Path(f"/proc/{one}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                found += [int(child) for child in task.read_text().split()]
    return found


@contextlib.contextmanager
def stopped(processes: Iterable[int]) -> Iterator[None]:
    """All of them stand still inside."""
    held = list(processes)
    try:
        for pid in held:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in held:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def measure(way: str, file: Path, rounds: int, ray: list[str], folder: Path) -> list[tuple[float, float]]:
    """Per round: the logarithm of how many times as long an inference takes beside running daemons, by p50 and mean."""
    place = folder / f"{way}.socket"
    place.unlink(missing_ok=True)
    serving = [sys.executable, __file__, "--serve", str(file), str(place)]
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket(socket.AF_UNIX))
        server.bind(str(place))
        server.listen()
        server.settimeout(120)
        roots, address = [], stack.enter_context(ray_node(ray, folder))
        roots += [pid for pid in descendants(os.getpid()) if pid != os.getpid()]
        if way == "idle":
            child = subprocess.Popen(serving, env=scrubbed_environment(), start_new_session=True)
        else:
            child = subprocess.Popen([sys.executable, __file__, "--drive", address, *serving], start_new_session=True)
            roots.append(child.pid)
        stack.callback(child.terminate)
        line, _ = server.accept()
        measuring = {pid for root in descendants(os.getpid()) if is_serving(root) for pid in descendants(root)}
        talk = stack.enter_context(line.makefile("rw"))

        def block(seconds: float) -> tuple[float, float]:
            talk.write(f"{seconds}\n")
            talk.flush()
            p50, mean = json.loads(talk.readline())
            return math.log(p50), math.log(mean)

        def still(seconds: float) -> tuple[float, float]:
            everyone = {pid for root in roots for pid in descendants(root)}
            with stopped(everyone - measuring):
                time.sleep(SETTLE_S)
                return block(seconds)

        def running(seconds: float) -> tuple[float, float]:
            time.sleep(SETTLE_S)
            return block(seconds)

        block(WARM_UP_S)
        found = []
        for _ in range(rounds):
            first, second, third, fourth = running(BLOCK_S), still(BLOCK_S), still(BLOCK_S), running(BLOCK_S)
            found.append(tuple((first[i] + fourth[i] - second[i] - third[i]) / 2 for i in (0, 1)))
        return found


def is_serving(pid: int) -> bool:
    """Whether a process is the one that measures."""
    words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return b"--serve" in words and b"--drive" not in words


def interval(logs: list[float]) -> tuple[float, float, float]:
    """Ratio and its 95 % interval."""
    from scipy.stats import t

    middle = statistics.fmean(logs)
    half = t.ppf(0.975, len(logs) - 1) * statistics.stdev(logs) / math.sqrt(len(logs))
    return math.exp(middle), math.exp(middle - half), math.exp(middle + half)


def main() -> int:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=200, help="of four blocks each [default: 200]")
    parser.add_argument("--models", default="squeezenet1_1,resnet50", help="[default: squeezenet1_1,resnet50]")
    parser.add_argument("--ray", default=f"{sys.executable} -m ray.scripts.scripts", help="the command that starts Ray")
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--drive", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.drive:
        drive(asked.drive[0], asked.drive[1:])
        return 0
    if asked.serve:
        serve(*asked.serve)
        return 0
    within = []
    with tempfile.TemporaryDirectory() as kept:
        folder = Path(kept)
        benchbox("export", *asked.models.split(","), "--root", str(folder))
        for model in asked.models.split(","):
            for way in WAYS:
                file = next((folder / "engines").rglob(f"{model}-*.onnx"))
                found = measure(way, file, asked.rounds, shlex.split(asked.ray), folder)
                for name, logs in zip(("p50", "mean"), zip(*found, strict=True), strict=True):
                    ratio, low, high = interval(list(logs))
                    within.append(low > 1 - EFFECT and high < 1 + EFFECT)
                    verdict = "within" if within[-1] else "not surely within"
                    print(f"{model:16} {way:10} {name:4} {ratio:.4f} ({low:.4f} to {high:.4f}) {verdict} {EFFECT:.0%}")
                    sys.stdout.flush()
    return 0 if all(within) else 1


if __name__ == "__main__":
    sys.exit(main())
