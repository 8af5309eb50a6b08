"""How long does a choice among many records take? ``python benchmarks/choosing.py [RECORDS]``.

Synthetic records of the null backend under a temporary root, 40 cases a network, each measured on several days.
Printed: reading and choosing in one process, and the command itself, whose start is in it.
"""

from __future__ import annotations

import dataclasses
import datetime
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "store"))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "choose"))

from sample_configurations import measured, reading
from sample_records import trials

from benchbox.choose.choosing import Request
from benchbox.choose.limits import limit_from_text, objective_from_names
from benchbox.jobs.choose import choose_stored
from benchbox.store.records import append

CASES = 500


def fill(root: Path, count: int) -> None:
    """Writes so many records of ``CASES`` configurations."""
    generator = np.random.default_rng(0)
    begin = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    for number in range(count):
        case, moment = number % CASES, begin + datetime.timedelta(minutes=number)
        latency = 1e-3 * (1 + case) * float(np.exp(generator.normal(0, 0.01)))
        record = measured(
            f"network{case // 40}",
            reading("latency_p50", latency),
            reading("peak_host_memory", 1e8 + 1e9 / (1 + case), spread=0),
            batch=1 + case % 40,
        )
        identity = f"{moment:%Y%m%dT%H%M%SZ}-{number:08x}"
        append(root, dataclasses.replace(record, id=identity, started_at=moment.isoformat()), trials())


def main(count: int) -> None:
    """Prints the times."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        fill(root, count)
        request = Request(limits=(limit_from_text("latency", "<= 50 ms"),), objective=objective_from_names(None, None))
        begin = time.process_time()
        chosen = choose_stored(root, request, where=(), across=False, warn=print)
        print(f"{chosen.records} records: {time.process_time() - begin:.2f} s of processor time in this process")
        words = [sys.executable, "-m", "benchbox", "choose", "--latency", "<= 50 ms", "--root", folder]
        begin = time.perf_counter()
        subprocess.run(words, check=False, stdout=subprocess.DEVNULL)
        print(f"the command: {time.perf_counter() - begin:.2f} s")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
