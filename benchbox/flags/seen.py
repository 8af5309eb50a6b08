"""What do the flags look at?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from benchbox.schema.artifact import Hop
from benchbox.schema.derivation import Quantization
from benchbox.schema.model import Precision
from benchbox.schema.plan import MeasurementPlan, Mode
from benchbox.schema.proof import Proof
from benchbox.schema.reading import Flag, Reading, Severity
from benchbox.schema.record import FedInput
from benchbox.schema.trial import Evidence, Trial

HALF_WIDTH_WANTED = 0.01


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What the flags look at: one measured case; ``virtual`` where the backend computes nothing.

    ``unchecked`` says why the outputs could not be verified, "" where they were compared, and ``empty`` names outputs
    that had nothing in them to compare. ``quick`` and ``paired`` are what was asked for (--quick, --ab): advice does
    not repeat the one nor forget the other.
    """

    precision: Precision
    plan: MeasurementPlan
    trials: Sequence[Trial]
    readings: Sequence[Reading]
    evidence: Evidence
    cpus: int
    quantization: Quantization | None = None
    proof: Proof | None = None
    interrupted: bool = False
    virtual: bool = False
    unchecked: str = ""
    empty: Sequence[str] = ()
    quick: bool = False
    paired: bool = False
    inputs: Sequence[FedInput] = ()
    hops: Sequence[Hop] = ()


def half_width(reading: Reading) -> float:
    """The longer arm of a reading's interval as a ratio of its value; infinite for a single process."""
    if reading.low is None or reading.high is None:
        return math.inf
    return max(reading.value - reading.low, reading.high - reading.value) / reading.value


def headline_of(plan: MeasurementPlan) -> str:
    """The metric whose interval decides how many processes are timed: in mode offline there are no times of samples."""
    return "throughput" if plan.mode is Mode.OFFLINE else "latency_p50"


def longer(*, quick: bool) -> str:
    """What gives a process more samples."""
    return "run without --quick" if quick else "use a longer --max-time"


def flag(code: str, severity: Severity, message: str, *, size: float | None = None) -> Flag:
    """A flag about all metrics of a case."""
    return Flag(code=code, severity=severity, message=message, size=size)
