"""Was the machine itself the same while a network was timed on it?

Two things that are independent of the network are timed in every timed process on a CPU, before the warm-up and after
the samples: matrix products on one thread (``arithmetic``), and how long one CPU takes to see what another wrote
(``handover``, only where the network has several threads). Processors that are shared with others change for minutes
at a time; all processes of a run are affected then, and no interval over them can show it. The probes do: as a flag of
a record, and as a doubt between two records.
"""

from __future__ import annotations

import time

from benchbox.machine.handover import handover_s
from benchbox.metrics.probes import AFTER, ARITHMETIC, BEFORE, HANDOVER, counter_name

# numpy's BLAS keeps products of this size on one thread: a second one would meet those of the network's runtime, which
# still spin after its last inference.
SIZE = 64
PRODUCTS, BATCHES = 100, 20


def take_probes(threads: int) -> dict[str, float]:
    """Every probe now, by kind, in seconds; without those that cannot be taken here.

    Args:
        threads: of the network: one hands nothing over.
    """
    found = {ARITHMETIC: product_s(), HANDOVER: handover_s() if threads > 1 else None}
    return {kind: seconds for kind, seconds in found.items() if seconds is not None}


def probes_before(threads: int) -> dict[str, float]:
    """The probes as counters of a trial, in seconds, before anything of it ran."""
    return {counter_name(kind, BEFORE): seconds for kind, seconds in take_probes(threads).items()}


def probes_after(threads: int) -> dict[str, float]:
    """The same after its samples."""
    return {counter_name(kind, AFTER): seconds for kind, seconds in take_probes(threads).items()}


def product_s() -> float:
    """Time of a product of two 64 by 64 matrices in fp32 by numpy, in seconds: the best of 20 means of 100."""
    import numpy as np  # the rest of this module is read by reports

    left, right = (np.full((SIZE, SIZE), value, dtype=np.float32) for value in (0.5, 0.25))
    out = np.empty_like(left)
    times: list[int] = []
    for _ in range(BATCHES):
        begin = time.perf_counter_ns()
        for _ in range(PRODUCTS):
            np.matmul(left, right, out=out)
        times.append(time.perf_counter_ns() - begin)
    return min(times) * 1e-9 / PRODUCTS
