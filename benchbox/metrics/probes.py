"""Was it the same machine? Times of work that is independent of the network, taken in the same process.

``probe_arithmetic``: time of a small matrix product on one thread. ``probe_handover``: time until one
CPU sees what another wrote, with more than one thread. Both in seconds, per process the geometric mean of one before
the warm-up and one after the samples (``machine/probes.py``). Two records that differ in them
were not taken on the same machine, whatever its name.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping

from benchbox.metrics.metric import METRICS, Metric
from benchbox.metrics.workload import Workload
from benchbox.schema.reading import Better
from benchbox.schema.trial import Pass, Trial

ARITHMETIC, HANDOVER = "arithmetic", "handover"
# The ratio from which on it is another machine. On a quiet virtual machine products differed by 1 % and handovers by
# 12 % between 57 runs; while its CPUs lay apart a handover took 2.3 times as long.
SHIFTED = {ARITHMETIC: 1.10, HANDOVER: 1.50}
BEFORE, AFTER = "before", "after"

PROBES = {ARITHMETIC: "probe_arithmetic", HANDOVER: "probe_handover"}
_METHODS = {
    ARITHMETIC: "matrix product by numpy, one thread",
    HANDOVER: "two processes of Python, through shared memory",
}


def _value_of(kind: str) -> Callable[[Trial, Workload], float]:
    def value(trial: Trial, _: Workload) -> float:
        found = probe_of(trial.counters, kind)
        assert found is not None, "applies() has looked"
        return found

    return value


def _applies_to(kind: str) -> Callable[[Trial], bool]:
    return lambda trial: probe_of(trial.counters, kind) is not None


def _method_of(kind: str) -> Callable[[Trial], str]:
    return lambda _: _METHODS[kind]


for _kind, _name in PROBES.items():
    METRICS.register(
        _name,
        Metric(
            name=_name,
            unit="s",
            better=Better.LOWER,
            pass_=Pass.TIMING,
            value=_value_of(_kind),
            applies=_applies_to(_kind),
            method=_method_of(_kind),
        ),
    )


def counter_name(kind: str, when: str) -> str:
    """The counter of a probe ("before" or "after")."""
    return f"probe_{kind}_{when}_s"


def probe_of(counters: Mapping[str, float], kind: str) -> float | None:
    """One probe of a timed process, in seconds: the geometric mean of both times; None where it was not taken."""
    names = [counter_name(kind, when) for when in (BEFORE, AFTER)]
    if not all(name in counters for name in names):
        return None
    return statistics.geometric_mean([counters[name] for name in names])
