"""Do ceilings repeat, and do others reach the same? Prints ratios.

    python benchmarks/ceilings.py [--times 5] [--rounds 10] [--quick] [--root DIR]

Measures the processor's ceilings so many times, or takes those that 'benchbox ceilings' stored under a root. Then the
same by other means, like with like and in turn: the products of PyTorch and numpy, called in fresh processes as their
users call them, beside what the same library reaches as a ceiling; and main memory by a C program that adds and scales
arrays as STREAM does (compiled here by gcc or cc with OpenMP, where there is one). Run it on a quiet machine:
everything else stopped, `uptime` near 0, frequency scaling off where it can be.
Wanted: spread below 5 %, ratios to others within 10 %.
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
from dataclasses import replace
from pathlib import Path

from benchbox.jobs.ceilings import Wanted, measured_ceilings
from benchbox.limits import effective_cpus
from benchbox.machine.caches import available_bytes, caches_of
from benchbox.machine.environment import capture
from benchbox.measure.ceilings.effort import dram_bytes, quick_effort
from benchbox.schema.device import Ceilings, Pace
from benchbox.schema.model import Precision
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
_NUMPY = """
import sys, time, numpy
size = int(sys.argv[2])
a = numpy.random.default_rng(0).standard_normal((size, size)).astype("float32")
b, out = a.T.copy(), numpy.empty_like(a)
for _ in range(3):
    numpy.matmul(a, b, out=out)
begin, count = time.perf_counter(), 0
while time.perf_counter() - begin < 1.0:
    numpy.matmul(a, b, out=out)
    count += 1
print(2 * size**3 * count / (time.perf_counter() - begin))
"""
# The plain product of each library that ceilings are measured with too.
_PRODUCTS = {"pytorch": _TORCH, "numpy": _NUMPY}
_SHAPE = (1024, 1024, 1024)
_C = """
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + 1e-9 * t.tv_nsec; }
int main(int argc, char **argv) {
    long n = atol(argv[1]) / 8 * 8; int add = !strcmp(argv[2], "add");
    float *a = aligned_alloc(64, 4 * n), *b = aligned_alloc(64, 4 * n), *c = aligned_alloc(64, 4 * n);
    if (!a || !b || !c) return 1;
    #pragma omp parallel for
    for (long i = 0; i < n; i++) { a[i] = 1; b[i] = 2; c[i] = 0; }
    double least = 1e30;
    for (long r = 0; r < 10; r++) {
        double begin = now();
        if (add) {
            #pragma omp parallel for
            for (long i = 0; i < n; i++) c[i] = a[i] + b[i];
        } else {
            #pragma omp parallel for
            for (long i = 0; i < n; i++) c[i] = 2 * a[i];
        }
        double took = now() - begin;
        if (took < least) least = took;
    }
    printf("%.9g %g\\n", (add ? 12.0 : 8.0) * n / least, c[n / 2]);
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
    parser.add_argument("--rounds", type=int, default=10, help="pairs with other means (10)")
    parser.add_argument("--quick", action="store_true", help="quick ones: some seconds each, no caches")
    parser.add_argument("--root", type=Path, help="take what is stored under this project root, measure nothing again")
    asked = parser.parse_args()
    print(f"load of the last minute before: {os.getloadavg()[0]:.2f}")
    with tempfile.TemporaryDirectory(prefix="benchbox-ceilings-") as folder:
        if asked.times:
            found = _stored(asked.root) if asked.root else _measured(Path(folder), asked.times, quick=asked.quick)
            _print_repetition(found)
        _print_others(Path(folder), asked.rounds)


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


def _print_others(folder: Path, rounds: int) -> None:
    """Rates by the tool and by others, one process each in turn: the machine's speed changes from minute to minute."""
    print(f"by the tool / by other means, all threads, the median of {rounds} pairs in turn (least to largest):")
    program, threads = _compiled(folder), effective_cpus()
    pairs: dict[str, list[tuple[float, float]]] = {}
    for number in range(rounds):
        if number % 2:
            others = _others(program, threads)
            tool = _tool(folder / str(number))
        else:
            tool = _tool(folder / str(number))
            others = _others(program, threads)
        for name, rate in tool.items():
            if (other := others.get(name)) is not None:
                pairs.setdefault(name, []).append((rate, other))
    for name, found in pairs.items():
        ratios = [rate / other for rate, other in found]
        print(f"  {name:32} {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})")
    if program is None:
        print("  main memory: no C compiler, not compared")


def _tool(root: Path) -> dict[str, float]:
    """What the ceilings' own measurement gives now, one process for each."""
    effort = replace(quick_effort("cpu"), shapes=(_SHAPE,), processes=1, warmup_s=0.5, window_s=1.0, libraries=True)
    wanted = Wanted(libraries=tuple(_PRODUCTS), precisions=(Precision.FP32,), quick=True, effort=effort)
    ceilings = _processor(measured_ceilings(wanted, root=root, progress=_Lines()))
    products = {f"product by {one.library}": one.flops_per_s for one in ceilings.backends if one.kind is Pace.SUSTAINED}
    memory = ceilings.memory(threads=ceilings.cpus)
    return products if memory is None else products | {f"memory, {memory.kernel}": memory.bytes_per_s}


def _others(program: Path | None, threads: int) -> dict[str, float]:
    """The same by the libraries themselves, and by the C program."""
    size = str(_SHAPE[0])
    found = {
        f"product by {library}": _output([sys.executable, "-c", source, str(threads), size], threads)
        for library, source in _PRODUCTS.items()
    }
    if program is not None:
        elements = str(dram_bytes(caches_of(), available_bytes()) // 12)
        for kernel in ("add", "scale"):
            rate = _output([str(program), elements, kernel], threads)
            found[f"memory, {kernel}"] = rate
    return {name: rate for name, rate in found.items() if rate is not None}


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
    """The first number that a process prints; None where it fails."""
    run = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env={"OMP_NUM_THREADS": str(threads), "PATH": "/usr/bin:/bin"},
    )
    return float(run.stdout.split()[0]) if run.returncode == 0 else None


if __name__ == "__main__":
    main()
