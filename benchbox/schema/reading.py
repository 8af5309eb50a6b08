"""What is a reading, one number over all processes, and what is a flag that doubts it?"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Better(StrEnum):
    """Which direction of a metric is good."""

    LOWER = "lower"
    HIGHER = "higher"


class Severity(StrEnum):
    """What a flag does to a number: ERROR voids it, WARNING asks for care and stands beside verdicts, INFO informs."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, kw_only=True)
class Flag:
    """A condition of the measurement that may move or void a number, with one line of advice.

    ``metrics`` names those that it is about; all of them where it is empty. ``size`` orders flags of one code, larger
    is worse; None where there is no degree.
    """

    code: str
    severity: Severity
    message: str
    metrics: tuple[str, ...] = ()
    size: float | None = None


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One metric of one case: point value and 95 % interval over ``n`` processes.

    ``low`` and ``high`` are None where fewer than two processes ran. ``unit`` is base SI
    ("s", "1/s", "bytes", "J", "W"). Energy is replicated in windows of one process: there ``n`` counts those.
    ``method`` says by what and of what the number was taken where the metric's name does not. ``mde`` is the
    smallest change, as a ratio minus 1, that two such readings would detect with 80 % probability; None where
    ``low`` is.
    """

    metric: str
    unit: str
    value: float
    low: float | None
    high: float | None
    n: int
    better: Better
    method: str = ""
    mde: float | None = None

    @property
    def half_width(self) -> float | None:
        """How far the interval reaches from the value at most, as a share of it; None without an interval."""
        if self.low is None or self.high is None or self.value == 0:
            return None
        return max(self.value - self.low, self.high - self.value) / abs(self.value)
