"""What came out when measurements of one case were compared: two sets of them, or night after night?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from benchbox.schema.identity import CaseIdentity
from benchbox.schema.reading import Better


class Outcome(StrEnum):
    """Same, faster and slower are claims; inconclusive and incomparable mean that none is made.

    Missing and failed are of a night: a case that was expected has no record, or one without numbers.
    """

    SAME = "same"
    FASTER = "faster"
    SLOWER = "slower"
    INCONCLUSIVE = "inconclusive"
    INCOMPARABLE = "incomparable"
    MISSING = "missing"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One metric of one case, head against base.

    ``ratio`` is head over base with its 95 % interval, whichever direction is better; faster and slower mean better
    and worse. ``mde`` is the smallest change that these values would detect with 80 % probability, as a ratio minus 1.
    ``n_base`` and ``n_head`` count processes, or windows of energy. Numbers are None where nothing was compared.
    ``base_case`` is the base's case where another one than the head's was asked for. ``base_records`` and
    ``head_records`` are the ids of the records that were compared.
    """

    case: CaseIdentity
    metric: str
    outcome: Outcome
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    mde: float | None = None
    n_base: int = 0
    n_head: int = 0
    reason: str = ""
    base_case: CaseIdentity | None = None
    base_records: tuple[str, ...] = ()
    head_records: tuple[str, ...] = ()


class ChangeState(StrEnum):
    """What became of a change of level: it stands, a later one took it back, or the environment changed with it."""

    NEW = "new"
    REVERTED = "reverted"
    ENVIRONMENT = "environment"


@dataclass(frozen=True, kw_only=True)
class HistoryPoint:
    """One night of a series: when (UTC, ISO 8601), of which commit, in which environment, and its value.

    Several records of a night and environment are one point: their geometric mean, ``n`` processes in all. ``at``,
    ``commit``, ``record`` and ``network`` (the ONNX file's SHA-256) are those of the newest, ``records`` are all of
    them. ``value``, ``low`` and ``high`` are in the unit of the series. ``night`` is the day on which it ends.
    """

    at: str
    commit: str
    value: float
    low: float | None
    high: float | None
    n: int
    env: str
    record: str
    network: str
    night: str = ""
    records: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class LevelChange:
    """A change of level before the point ``index``: ``ratio`` of the new level over the old, with 95 %.

    ``commits`` are those of the last point before and the first point after. ``environment`` holds what changed of the
    environment at that place, each as (before, after). ``better`` says whether the new level is the better one.
    """

    index: int
    ratio: float
    low: float | None
    high: float | None
    better: bool
    commits: tuple[str, str]
    environment: Mapping[str, tuple[str, str]]
    state: ChangeState


@dataclass(frozen=True, kw_only=True)
class Series:
    """One metric of one case on one machine, in the order of time, with its lasting changes of level.

    ``epochs`` are the indices of the points at which the environment differs from that of the point before, with what
    changed, each as (before, after).
    """

    case: Mapping[str, object]
    metric: str
    unit: str
    better: Better
    points: tuple[HistoryPoint, ...]
    changes: tuple[LevelChange, ...]
    epochs: Mapping[int, Mapping[str, tuple[str, str]]]
