"""How much do a scheduler's running daemons slow what is measured beside them?

``dispatch.py`` compares processes with and without Ray, and processes differ by more than 2 % on most machines. Here
one process times one network without end while the daemons of a Ray node are stopped (SIGSTOP) and let run again:
running, stopped, stopped, running, a quarter of a second each. What makes processes unlike, and what drifts slower than
four blocks, meets both sides alike, so that a per cent can be told. Two ways: an idle node, and a node that has
started the measuring process as a sweep's unit is started (then also Ray's waiting worker and the driver are stopped).

Printed for each network and way: how many times as long an inference takes while the daemons run, by blocks' medians
and by blocks' means, over rounds the Hodges-Lehmann estimate with its 95 % interval, and whether that lies within 2 %;
and the processor seconds that the daemons used for each second. The node is started as docs/fleet.md starts one;
``--plain`` starts it with Ray's defaults. With the defaults about 35 minutes, on a machine where nothing else runs.
Exit status 0: it does not disturb by 2 %, 1: it does, or that cannot be said.

Usage: python benchmarks/daemons.py [--rounds 400] [--plain] [--models squeezenet1_1,resnet50]    (in an environment
with benchbox[ray])
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
from benchbox.machine.dispatcher import processor_seconds

WAYS = ("idle", "dispatched")
# Short beside what changes a shared machine's speed. What the daemons would have done while they were stopped they do
# in the next block, so that nothing of it is missed; a node counts as dead only after much longer.
BLOCK_S = 0.25
TURNS = (signal.SIGCONT, signal.SIGSTOP, signal.SIGSTOP, signal.SIGCONT)
SETTLE_S = 0.05
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
def sent(processes: Iterable[int], number: signal.Signals) -> Iterator[None]:
    """All of them have got this signal inside, SIGSTOP or SIGCONT, and go on afterwards."""
    held = list(processes)
    try:
        for pid in held:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        yield
    finally:
        for pid in held:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def processor_s(processes: Iterable[int]) -> float:
    """Processor seconds that these have used so far."""
    return sum(processor_seconds(Path(f"/proc/{pid}")) for pid in processes)


def measure(
    way: str, file: Path, rounds: int, ray: list[str], folder: Path, *, plain: bool
) -> tuple[list[tuple[float, float]], float]:
    """Per round the logarithm of how many times as long an inference takes beside running daemons, by p50 and mean.

    And the processor seconds that the daemons used for each second.
    """
    place = folder / f"{way}.socket"
    place.unlink(missing_ok=True)
    serving = [sys.executable, __file__, "--serve", str(file), str(place)]
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket(socket.AF_UNIX))
        server.bind(str(place))
        server.listen()
        server.settimeout(120)
        roots, address = [], stack.enter_context(ray_node(ray, folder, plain=plain))
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

        def daemons() -> set[int]:
            return {pid for root in roots for pid in descendants(root)} - measuring

        # Running ones get a signal too, one without effect: nothing else may differ between the two kinds of blocks.
        def beside(number: signal.Signals) -> tuple[float, float]:
            with sent(daemons(), number):
                time.sleep(SETTLE_S)
                return block(BLOCK_S)

        block(WARM_UP_S)
        found = []
        began_s, used_s = time.monotonic(), processor_s(daemons())
        for _ in range(rounds):
            first, second, third, fourth = map(beside, TURNS)
            found.append(tuple((first[i] + fourth[i] - second[i] - third[i]) / 2 for i in (0, 1)))
        return found, (processor_s(daemons()) - used_s) / (time.monotonic() - began_s)


def is_serving(pid: int) -> bool:
    """Whether a process is the one that measures."""
    words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return b"--serve" in words and b"--drive" not in words


def interval(logs: list[float]) -> tuple[float, float, float]:
    """Ratio and its 95 % interval: of many rounds the median of Walsh averages, since a few rounds are far off."""
    import numpy as np

    values, count = np.asarray(logs), len(logs)
    first, second = np.triu_indices(count)
    averages = np.sort((values[first] + values[second]) / 2)
    # The signed ranks' sum is normal in so many rounds (Hollander, Wolfe, Chicken, 3rd edition, section 3.3).
    reach = 1.959964 * math.sqrt(count * (count + 1) * (2 * count + 1) / 24)
    cut = max(0, math.floor(count * (count + 1) / 4 - reach))
    return math.exp(np.median(averages)), math.exp(averages[cut]), math.exp(averages[-1 - cut])


def main() -> int:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=400, help="of four blocks each [default: 400]")
    parser.add_argument("--models", default="squeezenet1_1,resnet50", help="[default: squeezenet1_1,resnet50]")
    parser.add_argument("--plain", action="store_true", help="a node with Ray's defaults")
    parser.add_argument("--ways", default=",".join(WAYS), help=f"[default: {','.join(WAYS)}]")
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
            for way in asked.ways.split(","):
                file = next((folder / "engines").rglob(f"{model}-*.onnx"))
                found, used = measure(way, file, asked.rounds, shlex.split(asked.ray), folder, plain=asked.plain)
                for name, logs in zip(("p50", "mean"), zip(*found, strict=True), strict=True):
                    ratio, low, high = interval(list(logs))
                    within.append(low > 1 - EFFECT and high < 1 + EFFECT)
                    verdict = "within" if within[-1] else "not surely within"
                    print(f"{model:16} {way:10} {name:4} {ratio:.4f} ({low:.4f} to {high:.4f}) {verdict} {EFFECT:.0%}")
                    sys.stdout.flush()
                print(f"{model:16} {way:10} daemons used {used:.4f} s of a processor a second", flush=True)
    return 0 if all(within) else 1


if __name__ == "__main__":
    sys.exit(main())
