"""Was it the same machine? Times of what has nothing to do with the network, taken beside it.

``reference_arithmetic``: time of a small matrix product on one thread. ``reference_handover``: time until one
CPU sees what another wrote, with more than one thread. Both in seconds, per process the geometric mean of one before
the warm-up and one after the samples (``measure/reference.py``). Two records that differ in them were not taken on the
same machine, whatever its name.
"""

from __future__ import annotations

from collections.abc import Callable

from benchbox.measure.metric import METRICS, Metric, Workload
from benchbox.measure.reference import ARITHMETIC, HANDOVER, reference_of
from benchbox.schema.reading import Better, Pass, Trial

REFERENCES = {ARITHMETIC: "reference_arithmetic", HANDOVER: "reference_handover"}
_METHODS = {
    ARITHMETIC: "matrix product by numpy, one thread",
    HANDOVER: "two processes of Python, through shared memory",
}


def _value_of(kind: str) -> Callable[[Trial, Workload], float]:
    def value(trial: Trial, _: Workload) -> float:
        found = reference_of(trial.counters, kind)
        assert found is not None, "applies() has looked"
        return found

    return value


def _applies_to(kind: str) -> Callable[[Trial], bool]:
    return lambda trial: reference_of(trial.counters, kind) is not None


def _method_of(kind: str) -> Callable[[Trial], str]:
    return lambda _: _METHODS[kind]


for _kind, _name in REFERENCES.items():
    METRICS.register(
        _name,
        Metric(
            name=_name,
            unit="s",
            better=Better.LOWER,
            purpose=Pass.TIMING,
            value=_value_of(_kind),
            applies=_applies_to(_kind),
            method=_method_of(_kind),
        ),
    )
