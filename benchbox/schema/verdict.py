"""What came out when two measurements of the same case were compared?"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from benchbox.schema.record import RecordKey


class Outcome(StrEnum):
    """Same, faster and slower are claims; the other two say why none is made."""

    SAME = "same"
    FASTER = "faster"
    SLOWER = "slower"
    INCONCLUSIVE = "inconclusive"
    INCOMPARABLE = "incomparable"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One metric of one case, head against base.

    ``ratio`` is head over base with its 95 % interval, whichever direction is better; faster and slower mean better
    and worse. ``mde`` is the least change that the processes at hand would show, as a ratio minus 1. ``n_base`` and
    ``n_head`` count processes. Numbers are None where there was nothing to compare.
    """

    key: RecordKey
    metric: str
    outcome: Outcome
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    mde: float | None = None
    n_base: int = 0
    n_head: int = 0
    reason: str = ""
