"""How long does benchbox take to say anything?

`benchbox --help` and `benchbox report` (on an empty root) against a bare interpreter, whole processes in turn,
medians and the median of the pairwise ratios. Targets: --help at most 0.1 s and 5 times a bare interpreter.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUNDS = 21


def seconds(command: list[str], root: str) -> float:
    """Wall time of one whole process, bytecode cached as an installed package has it."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    begin = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**environment, "BENCHBOX_ROOT": root})
    return time.perf_counter() - begin


def main() -> None:
    """Prints one row a command."""
    script = str(Path(sys.executable).with_name("benchbox"))
    commands = {
        "bare interpreter": [sys.executable, "-c", "pass"],
        "benchbox --help": [script, "--help"],
        "benchbox run --help": [script, "run", "--help"],
        "benchbox report": [script, "report"],
    }
    with tempfile.TemporaryDirectory() as root:
        for command in commands.values():
            seconds(command, root)
        rounds = [{name: seconds(command, root) for name, command in commands.items()} for _ in range(ROUNDS)]
    for name in commands:
        median = statistics.median(row[name] for row in rounds)
        ratio = statistics.median(row[name] / row["bare interpreter"] for row in rounds)
        print(f"{name:24s} {median * 1e3:8.1f} ms   {ratio:6.2f} x bare")


if __name__ == "__main__":
    main()
