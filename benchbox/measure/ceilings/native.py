"""How fast is numpy, called directly: its matrix product, and its scaling and sums over working sets of any size?

In worker processes. A working set that fits in a cache is passed over many times in one call (a first axis of stride
0), because a call takes longer than the pass; threads have arrays of their own, which they touch first themselves, and
start together. Not np.copyto: over repeated rows it copies element by element.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from benchbox.errors import MeasurementError, NumericsError

if TYPE_CHECKING:
    from numpy.typing import NDArray

SCALE, ADD = "scale", "add"  # as in STREAM: one array read and one written, two read and one written
ARRAYS: Mapping[str, int] = {SCALE: 2, ADD: 3}
# A pass is repeated in one call until so many bytes have moved in each thread.
_BYTES_A_CALL = 16 << 20
_LINE = 16  # elements of fp32 in a cache line of 64 bytes
_MOST_CALLS, _LEAST_CALLS = 2000, 3
_CHECKED_ROWS, _TOLERANCE = 4, 1e-4
_TOO_BUSY = 1.3


@dataclass(frozen=True, kw_only=True)
class ProductRequest:
    """A matrix product of M, N, K in fp32 with so many threads, for so many seconds after a warm-up."""

    shape: tuple[int, int, int]
    threads: int
    warmup_s: float
    window_s: float
    timeout_s: float = 120.0
    interpreter: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class StreamRequest:
    """Kernels with the bytes of their working sets over all threads, each for so many seconds."""

    passes: tuple[tuple[str, int], ...]
    threads: int
    each_s: float
    timeout_s: float = 240.0
    interpreter: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ProductTimes:
    """Times of single products in order, in ns."""

    warmup_ns: tuple[int, ...]
    window_ns: tuple[int, ...]
    version: str


@dataclass(frozen=True, kw_only=True)
class StreamRates:
    """The bytes per second, read and written, of the median pass of each kernel and working set."""

    rates: Mapping[tuple[str, int], float]
    version: str


def product_from_request(request: ProductRequest) -> ProductTimes:
    """Times numpy's product of two fp32 matrices.

    Raises:
        NumericsError: its outputs are wrong.
        MeasurementError: it ran on more CPUs than asked for, so that the number of threads is not true.
    """
    m, n, k = request.shape
    random = np.random.default_rng(0)
    a, b = (random.standard_normal(size, dtype=np.float32) for size in ((m, k), (k, n)))
    out = np.empty((m, n), dtype=np.float32)

    def timed(seconds: float) -> tuple[int, ...]:
        times: list[int] = []
        end = time.perf_counter_ns() + int(seconds * 1e9)
        while len(times) < _LEAST_CALLS or time.perf_counter_ns() < end:
            begin = time.perf_counter_ns()
            np.matmul(a, b, out=out)
            times.append(time.perf_counter_ns() - begin)
        return tuple(times)

    warmup_ns = timed(request.warmup_s)
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    window_ns = timed(request.window_s)
    busy = (time.process_time() - cpu_s) / (time.perf_counter() - wall_s)
    if busy > request.threads * _TOO_BUSY:
        raise MeasurementError(
            "numpy used more threads than it was given",
            values=f"{busy:.1f} CPUs were busy, {request.threads} threads were asked for",
            remedy="its BLAS obeys none of OMP_NUM_THREADS, MKL_NUM_THREADS and OPENBLAS_NUM_THREADS",
        )
    _require_right(a, b, out)
    return ProductTimes(warmup_ns=warmup_ns, window_ns=window_ns, version=np.__version__)


def _require_right(a: NDArray[Any], b: NDArray[Any], out: NDArray[Any]) -> None:
    expected = a[:_CHECKED_ROWS].astype(np.float64) @ b.astype(np.float64)
    error = float(np.linalg.norm(out[:_CHECKED_ROWS] - expected) / np.linalg.norm(expected))
    if not error <= _TOLERANCE:
        raise NumericsError("numpy's product is wrong", values=f"relative L2 error {error:.2g}, at most {_TOLERANCE}")


def streams_from_request(request: StreamRequest) -> StreamRates:
    """Times each pass in threads that start together; a round lasts from the first start to the last end."""
    rates = {}
    for kernel, total in request.passes:
        rates[kernel, total] = _rate(kernel, total, threads=request.threads, seconds=request.each_s)
    return StreamRates(rates=rates, version=np.__version__)


def _rate(kernel: str, total: int, *, threads: int, seconds: float) -> float:
    barrier = threading.Barrier(threads)
    spans: list[list[tuple[int, int]]] = [[] for _ in range(threads)]
    moved = [0] * threads
    errors: list[BaseException] = []
    deadline, ended = [0], [False]

    def work(place: int) -> None:
        try:
            run, moved[place] = kernel_over(kernel, total // threads)
            run()
            if barrier.wait() == 0:
                deadline[0] = time.perf_counter_ns() + int(seconds * 1e9)
            barrier.wait()
            for number in range(_MOST_CALLS):
                # All threads must see the same end, or one would wait for the others for ever.
                if number >= _LEAST_CALLS and ended[0]:
                    break
                barrier.wait()
                begin = time.perf_counter_ns()
                run()
                spans[place].append((begin, time.perf_counter_ns()))
                if barrier.wait() == 0:
                    ended[0] = time.perf_counter_ns() > deadline[0]
                barrier.wait()
        except BaseException as error:  # the thread's error is the caller's
            errors.append(error)
            barrier.abort()

    started = [threading.Thread(target=work, args=(place,)) for place in range(threads)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()
    if errors:
        raise next((error for error in errors if not isinstance(error, threading.BrokenBarrierError)), errors[0])
    rounds = [max(end for _, end in each) - min(begin for begin, _ in each) for each in zip(*spans, strict=True)]
    return float(sum(moved) / (statistics.median(rounds) * 1e-9))


def kernel_over(kernel: str, share: int) -> tuple[Callable[[], object], int]:
    """A call that runs a kernel over arrays of so many bytes together, and the bytes that it reads and writes."""
    elements = max(_LINE, share // (ARRAYS[kernel] * 4) // _LINE * _LINE)
    arrays = [_aligned(elements) for _ in range(ARRAYS[kernel])]
    working = ARRAYS[kernel] * elements * 4
    passes = max(1, _BYTES_A_CALL // working)
    views = [np.lib.stride_tricks.as_strided(array, (passes, elements), (0, 4)) for array in arrays]
    *given, out = views
    calls: dict[str, Callable[[], object]] = {
        SCALE: lambda: np.multiply(given[0], np.float32(0.5), out=out),
        ADD: lambda: np.add(given[0], given[1], out=out),
    }
    return calls[kernel], passes * working


def _aligned(elements: int) -> NDArray[np.float32]:
    """Ones that begin at a cache line: vectors that cross lines would halve the rate in the first level."""
    room = np.ones(elements + _LINE, dtype=np.float32)
    first = -room.ctypes.data % (4 * _LINE) // 4
    return room[first : first + elements]
