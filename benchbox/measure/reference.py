"""Was the machine itself the same while a network was timed on it?

Two things that know nothing of the network are timed in every timed process on a CPU, before the warm-up and after the
samples: matrix products on one thread (``arithmetic``), and how long one CPU takes to see what another wrote
(``handover``, only where the network has several threads). Processors that are shared with others change for minutes
at a time; all processes of a run see the same then, and no interval over them can show it. This does: within a record
as a flag, between two records as a doubt.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Mapping, Sequence

from benchbox.measure.handover import handover_s
from benchbox.schema.reading import Flag, Severity, Trial

ARITHMETIC, HANDOVER = "arithmetic", "handover"
# The ratio from which on it is another machine. On a quiet virtual machine products differed by 1 % and handovers by
# 12 % between 57 runs; while its CPUs lay apart a handover took 2.3 times as long.
SHIFTED = {ARITHMETIC: 1.10, HANDOVER: 1.50}
# numpy's BLAS keeps products of this size on one thread: a second one would meet those of the network's runtime, which
# still spin after its last inference.
SIZE = 64
PRODUCTS, BATCHES = 100, 20
_BEFORE, _AFTER = "before", "after"
_WORDS = {
    ARITHMETIC: "the same arithmetic took {low:.3g} to {high:.3g} µs: something shares its processors",
    HANDOVER: "one CPU saw what another wrote after {low:.3f} to {high:.3f} µs, as where a hypervisor moves them apart",
}


def references(threads: int) -> dict[str, float]:
    """Every reference now, by kind, in seconds; without that which cannot be taken here.

    Args:
        threads: of the network: one hands nothing over.
    """
    found = {ARITHMETIC: product_s(), HANDOVER: handover_s() if threads > 1 else None}
    return {kind: seconds for kind, seconds in found.items() if seconds is not None}


def references_before(threads: int) -> dict[str, float]:
    """The references as counters of a trial, in seconds, before anything of it ran."""
    return {counter_name(kind, _BEFORE): seconds for kind, seconds in references(threads).items()}


def references_after(threads: int) -> dict[str, float]:
    """The same after its samples."""
    return {counter_name(kind, _AFTER): seconds for kind, seconds in references(threads).items()}


def counter_name(kind: str, when: str) -> str:
    """The counter of a reference ("before" or "after")."""
    return f"reference_{kind}_{when}_s"


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


def reference_of(counters: Mapping[str, float], kind: str) -> float | None:
    """One reference of a timed process, in seconds: the geometric mean of both times; None where it was not taken."""
    names = [counter_name(kind, when) for when in (_BEFORE, _AFTER)]
    if not all(name in counters for name in names):
        return None
    return statistics.geometric_mean([counters[name] for name in names])


def flags_of_reference(trials: Sequence[Trial]) -> Iterator[Flag]:
    """Whether the machine was another in some of the timed processes than in others; one flag says it."""
    words = []
    for kind, limit in SHIFTED.items():
        found = [seen for trial in trials if (seen := reference_of(trial.counters, kind)) is not None]
        if len(found) > 1 and max(found) > limit * min(found):
            words.append(_WORDS[kind].format(low=min(found) * 1e6, high=max(found) * 1e6))
    if words:
        yield Flag(
            code="MACHINE_SHIFTED",
            severity=Severity.WARNING,
            message=f"the machine was not the same all the time: {'; '.join(words)}; run it again",
        )
