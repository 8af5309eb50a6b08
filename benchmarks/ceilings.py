"""Do ceilings repeat, and do others reach the same? Prints ratios.

    python benchmarks/ceilings.py [--times 5] [--quick] [--root DIR]

Measures the processor's ceilings so many times, or takes those that 'benchbox ceilings' stored under a root, then the
same by other means: PyTorch's product in fresh processes, called as its users call it, and a C program that adds arrays
as STREAM does (compiled here by gcc or cc with OpenMP, where there is one). Run it on a quiet machine: everything else
stopped, `uptime` near 0, frequency scaling off where it can be. Wanted: spread below 5 %, ratios to others within 10 %.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchbox.jobs.ceilings import Wanted, measured_ceilings
from benchbox.machine.caches import available_bytes, caches_of
from benchbox.machine.environment import capture
from benchbox.measure.ceilings.effort import dram_bytes
from benchbox.schema.device import Ceilings, Pace
from benchbox.store.ceilings import stored_ceilings

_TORCH = """
import sys, time, torch
threads, size = int(sys.argv[1]), int(sys.argv[2])
torch.set_num_threads(threads)
a, b = torch.randn(size, size), torch.randn(size, size)
out = torch.empty(size, size)
for _ in range(3):
    torch.mm(a, b, out=out)
begin, count = time.perf_counter(), 0
while time.perf_counter() - begin < 1.0:
    torch.mm(a, b, out=out)
    count += 1
print(2 * size**3 * count / (time.perf_counter() - begin))
"""
_C = """
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + 1e-9 * t.tv_nsec; }
int main(int argc, char **argv) {
    long n = atol(argv[1]), best_of = 10;
    float *a = malloc(4 * n), *b = malloc(4 * n), *c = malloc(4 * n);
    if (!a || !b || !c) return 1;
    #pragma omp parallel for
    for (long i = 0; i < n; i++) { a[i] = 1; b[i] = 2; c[i] = 0; }
    double least = 1e30;
    for (long r = 0; r < best_of; r++) {
        double begin = now();
        #pragma omp parallel for
        for (long i = 0; i < n; i++) c[i] = a[i] + b[i];
        double took = now() - begin;
        if (took < least) least = took;
    }
    printf("%.9g %g\\n", 12.0 * n / least, c[n / 2]);
    return 0;
}
"""


class _Lines:
    def say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def step(self, done: float, total: float, text: str) -> None:
        print(f"[{int(done)}/{int(total)}] {text}", file=sys.stderr, flush=True)


def main() -> None:
    """Prints how ceilings repeat and how they compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--times", type=int, default=5, help="how often the ceilings are measured (5)")
    parser.add_argument("--quick", action="store_true", help="quick ones: some seconds each, no caches")
    parser.add_argument("--root", type=Path, help="take what is stored under this project root, measure nothing again")
    asked = parser.parse_args()
    print(f"load of the last minute before: {os.getloadavg()[0]:.2f}")
    with tempfile.TemporaryDirectory(prefix="benchbox-ceilings-") as folder:
        found = _stored(asked.root) if asked.root else _measured(Path(folder), asked.times, quick=asked.quick)
        _print_repetition(found)
        _print_others(found, Path(folder))


def _measured(folder: Path, times: int, *, quick: bool) -> list[Ceilings]:
    # A root of its own each time: a quick one would take the shapes of the one before.
    return [
        _processor(measured_ceilings(Wanted(quick=quick), root=folder / str(number), progress=_Lines()))
        for number in range(times)
    ]


def _stored(root: Path) -> list[Ceilings]:
    """The whole measurements of the processor in this environment, oldest first."""
    here = capture().hash
    found = [
        one
        for one in stored_ceilings(root, warn=print)
        if (one.epoch, one.device, one.quick) == (here, "cpu", False) and one.bandwidth
    ]
    if not found:
        sys.exit(f"error: no ceilings of this environment ({here}) are stored under {root}")
    return found


def _processor(found: Sequence[Ceilings]) -> Ceilings:
    return next(ceilings for ceilings in found if ceilings.device == "cpu")


def _print_repetition(found: Sequence[Ceilings]) -> None:
    print(f"spread over {len(found)} measurements, (largest - least) / median:")
    for one in found[0].compute:
        rates = [
            peak.flops_per_s
            for ceilings in found
            if (peak := ceilings.peak(one.precision, kind=one.kind, threads=one.threads)) is not None
        ]
        _print_spread(f"{one.precision} {one.kind} threads {one.threads}", rates, "GFLOP/s")
    for band in found[0].bandwidth:
        rates = [
            memory.bytes_per_s
            for ceilings in found
            if (memory := ceilings.memory(band.level, threads=band.threads)) is not None
        ]
        _print_spread(f"{band.level} threads {band.threads}", rates, "GB/s")


def _print_spread(name: str, rates: Sequence[float], unit: str) -> None:
    middle = statistics.median(rates)
    print(f"  {name:30} {middle / 1e9:10.2f} {unit:8} {(max(rates) - min(rates)) / middle:7.1%}  n {len(rates)}")


def _print_others(found: Sequence[Ceilings], folder: Path) -> None:
    print("ceiling / other means (medians of 5 processes each):")
    for threads in sorted({found[0].cpus, 1}, reverse=True):
        peaks = [peak for each in found if (peak := each.peak("fp32", kind=Pace.SUSTAINED, threads=threads))]
        if peaks:
            size = peaks[0].shape[0]
            other = _output([sys.executable, "-c", _TORCH, str(threads), str(size)], threads)
            _print_ratio(f"fp32, torch.mm {size} threads {threads}", [one.flops_per_s for one in peaks], other)
        bands = [memory for each in found if (memory := each.memory(threads=threads))]
        program = _compiled(folder)
        if bands and program is not None:
            elements = dram_bytes(caches_of(), available_bytes()) // 12
            other = _output([str(program), str(elements)], threads)
            _print_ratio(f"dram, C add threads {threads}", [one.bytes_per_s for one in bands], other)


def _print_ratio(name: str, rates: Sequence[float], other: float | None) -> None:
    text = "could not be run" if other is None else f"{statistics.median(rates) / other:.3f}"
    print(f"  {name:36} {text}")


def _compiled(folder: Path) -> Path | None:
    """The C program; None without a compiler."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        return None
    source, program = folder / "stream.c", folder / "stream"
    source.write_text(_C)
    done = subprocess.run([compiler, "-O3", "-march=native", "-fopenmp", str(source), "-o", str(program)], check=False)
    return program if done.returncode == 0 else None


def _output(command: Sequence[str], threads: int) -> float | None:
    """The median of the first number that five processes print; None where one fails."""
    numbers = []
    for _ in range(5):
        run = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            env={"OMP_NUM_THREADS": str(threads), "PATH": "/usr/bin:/bin"},
        )
        if run.returncode != 0:
            return None
        numbers.append(float(run.stdout.split()[0]))
    return statistics.median(numbers)


if __name__ == "__main__":
    main()
