"""Do ceilings repeat, and do others reach the same? Prints ratios.

    python benchmarks/ceilings.py [--times 5] [--rounds 10] [--quick] [--root DIR]

Measures the processor's ceilings so many times, or takes those that 'benchbox ceilings' stored under a root. Then the
same by other means, like with like and in turn: the products of PyTorch and numpy, called in fresh processes as their
users call them, beside what the same library reaches as a ceiling; and main memory by C code that adds and scales
arrays as STREAM does (compiled here by gcc or cc with OpenMP, where there is one), on huge pages as numpy's arrays are
where the system allows it. A ceiling of memory is a median, so the median of C's passes is compared; its best pass,
which STREAM reports, stands beside it. Run it on a quiet machine: everything else stopped, `uptime` near 0, frequency
scaling off where it can be.
Wanted: spread below 5 %, ratios to others within 10 %.
"""

from __future__ import annotations

import argparse
import ctypes
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
from benchbox.measure.ceilings.native import ADD, ARRAYS, StreamRequest, streams_from_request
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
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
static double times[100000];
static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + 1e-9 * t.tv_nsec; }
static float *array(long n) {
    float *found = aligned_alloc(2 << 20, (4 * n + (2 << 20) - 1) >> 21 << 21);
    if (found) madvise(found, 4 * n, MADV_HUGEPAGE);
    return found;
}
static int order(const void *a, const void *b) {
    double left = *(const double *)a, right = *(const double *)b;
    return left < right ? -1 : left > right;
}
/* Bytes per second of arrays of n floats: of the median pass and of the best, as STREAM reports. */
int stream(long n, int add, double seconds, double *rates) {
    float *a = array(n), *b = array(n), *c = array(n);
    if (!a || !b || !c) return 1;
    #pragma omp parallel for
    for (long i = 0; i < n; i++) { a[i] = 1; b[i] = 2; c[i] = 0; }
    double end = now() + seconds;
    int count = 0;
    while (count < 100000 && (count < 3 || now() < end)) {
        double begin = now();
        if (add) {
            #pragma omp parallel for
            for (long i = 0; i < n; i++) c[i] = a[i] + b[i];
        } else {
            #pragma omp parallel for
            for (long i = 0; i < n; i++) c[i] = 2 * a[i];
        }
        times[count++] = now() - begin;
    }
    qsort(times, count, sizeof *times, order);
    rates[0] = (add ? 12.0 : 8.0) * n / times[count / 2];
    rates[1] = (add ? 12.0 : 8.0) * n / times[0];
    free(a); free(b); free(c);
    return 0;
}
"""
# As long as a whole measurement streams (Effort.stream_s); turns of both kernels for each round of products.
_STREAM_S, _TURNS = 0.1, 4


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
    parser.add_argument("--library", help=argparse.SUPPRESS)
    parser.add_argument("--turns", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.library:
        _memory_in_turn(asked.library, asked.turns)
        return
    print(f"load of the last minute before: {os.getloadavg()[0]:.2f}")
    with tempfile.TemporaryDirectory(prefix="benchbox-ceilings-") as folder:
        if asked.times:
            found = _stored(asked.root) if asked.root else _measured(Path(folder), asked.times, quick=asked.quick)
            _print_repetition(found)
        _print_others(Path(folder), asked.rounds)
        _print_memory(Path(folder), asked.rounds * _TURNS)


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
    """Products by the tool and by others, one process each in turn: the machine's speed changes all the time."""
    print(f"by the tool / by other means, all threads, the median of {rounds} pairs in turn (middle half of them):")
    threads = effective_cpus()
    pairs: dict[str, list[float]] = {}
    for number in range(rounds):
        if number % 2:
            others = _products(threads)
            tool = _tool(folder / str(number))
        else:
            tool = _tool(folder / str(number))
            others = _products(threads)
        for name, rate in tool.items():
            if name in others:
                pairs.setdefault(f"product by {name}", []).append(rate / others[name])
    for name, found in pairs.items():
        _print_ratios(name, found)


def _tool(root: Path) -> dict[str, float]:
    """What the ceilings' own measurement gives now for each library, one process each."""
    effort = replace(quick_effort("cpu"), shapes=(_SHAPE,), processes=1, warmup_s=0.5, window_s=1.0, libraries=True)
    wanted = Wanted(libraries=tuple(_PRODUCTS), precisions=(Precision.FP32,), quick=True, effort=effort)
    ceilings = _processor(measured_ceilings(wanted, root=root, progress=_Lines()))
    return {one.library: one.flops_per_s for one in ceilings.backends if one.kind is Pace.SUSTAINED}


def _products(threads: int) -> dict[str, float]:
    """The same by the libraries themselves."""
    found = {}
    for library, source in _PRODUCTS.items():
        command = [sys.executable, "-c", source, str(threads), str(_SHAPE[0])]
        run = subprocess.run(command, capture_output=True, text=True, check=False, env=_environment(threads))
        if run.returncode == 0:
            found[library] = float(run.stdout.split()[0])
    return found


def _print_memory(folder: Path, turns: int) -> None:
    """Main memory by the tool's own kernels and by the C program, in turn in one process of its own."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    source, library = folder / "stream.c", folder / "stream.so"
    source.write_text(_C)
    options = ["-O3", "-march=native", "-fopenmp", "-shared", "-fPIC"]
    if (
        compiler is None
        or subprocess.run([compiler, *options, str(source), "-o", str(library)], check=False).returncode
    ):
        print("  main memory: no C compiler, not compared")
        return
    command = [sys.executable, __file__, "--turns", str(turns), "--library", str(library)]
    subprocess.run(command, check=True, env=_environment(effective_cpus()))


def _memory_in_turn(library: str, turns: int) -> None:
    """Prints the ratios; called in a process of its own, since OpenMP takes its threads from the environment."""
    stream = ctypes.CDLL(library).stream
    stream.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_double, ctypes.POINTER(ctypes.c_double)]
    size, threads = dram_bytes(caches_of(), available_bytes()), effective_cpus()
    for kernel, arrays in ARRAYS.items():
        request = StreamRequest(passes=((kernel, size),), threads=threads, each_s=_STREAM_S)
        by_median, by_best = [], []
        for number in range(turns):
            rates, tool = (ctypes.c_double * 2)(), 0.0
            for whose in ("tool", "other") if number % 2 else ("other", "tool"):
                if whose == "tool":
                    tool = streams_from_request(request).rates[kernel, size]
                elif stream(size // (4 * arrays), kernel == ADD, _STREAM_S, rates):
                    sys.exit("error: no memory for the C program's arrays")
            by_median.append(tool / rates[0])
            by_best.append(tool / rates[1])
        _print_ratios(f"memory, {kernel}", by_median)
        _print_ratios(f"memory, {kernel}, C's best pass", by_best)


def _print_ratios(name: str, ratios: Sequence[float]) -> None:
    low, middle, high = statistics.quantiles(ratios, n=4)
    print(f"  {name:32} {middle:.3f} ({low:.3f} to {high:.3f})  n {len(ratios)}", flush=True)


def _environment(threads: int) -> dict[str, str]:
    return {"OMP_NUM_THREADS": str(threads), "PATH": "/usr/bin:/bin", "PYTHONPATH": os.environ.get("PYTHONPATH", "")}


if __name__ == "__main__":
    main()
