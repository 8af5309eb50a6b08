"""What does the judge of the nights find: of each case, of a group of them, of all together?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from benchbox.gate.selftest import Trust
from benchbox.schema.verdict import Outcome, Verdict


class Qualifier(StrEnum):
    """What is to be known of an outcome.

    suspicious: beyond the effect, but not for enough nights. acknowledged: somebody accepted the change, with a
    reason. drift: against the pinned level, not the last nights. blind: a change of the effect would not have been
    found. exact: a count that may not change at all. new: too few nights yet. confirmed: measured again, base and head
    in turn, and worse there too. refuted: measured again, and not worse there. bridged: the level was carried over from
    another environment.
    """

    SUSPICIOUS = "suspicious"
    ACKNOWLEDGED = "acknowledged"
    DRIFT = "drift"
    BLIND = "blind"
    EXACT = "exact"
    NEW = "new"
    CONFIRMED = "confirmed"
    REFUTED = "refuted"
    BRIDGED = "bridged"


class Tier(StrEnum):
    """Primary findings decide the exit status, secondary ones inform; what is off is not judged."""

    PRIMARY = "primary"
    SECONDARY = "secondary"
    OFF = "off"


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a finding begins: the night, the commits before and after, and a record of each side ("" where unknown)."""

    night: str = ""
    commits: tuple[str, str] = ("", "")
    records: tuple[str, str] = ("", "")


@dataclass(frozen=True, kw_only=True)
class LayerShift:
    """A layer of base and head, by its name: its time in either, in seconds; 0 where it has none."""

    name: str
    base_s: float
    head_s: float


@dataclass(frozen=True, kw_only=True)
class Trend:
    """The values of the last nights, tonight's last, and the index of the one at which the finding begins."""

    values: tuple[float, ...]
    begins: int


@dataclass(frozen=True, kw_only=True)
class Need:
    """What would tell, of a row that is blind: so many processes a night; None where more of them would not do."""

    processes: int | None


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One metric of one case on one machine against one reference.

    ``name`` is the case as acknowledgements name it ("resnet50/tensorrt/fp16/b8/isolated/t4@h100"). ``base`` and
    ``head`` are the two values in ``unit``. ``group`` is the alarm that it belongs to, "" for none. ``layers`` are
    those whose time changed most, of a confirmed case that could be profiled; ``trend`` is there where the level of the
    nights before was left; ``need`` where the row is blind and it is known how noisy its processes are. ``asked`` are
    the words that ask for the network on the command line, () where its name does.
    """

    verdict: Verdict
    name: str
    machine: str
    reference: str
    tier: Tier
    unit: str = ""
    base: float | None = None
    head: float | None = None
    qualifiers: tuple[Qualifier, ...] = ()
    place: Place = field(default_factory=Place)
    group: str = ""
    layers: tuple[LayerShift, ...] = ()
    trend: Trend | None = None
    need: Need | None = None
    asked: tuple[str, ...] = ()

    @property
    def is_suspected(self) -> bool:
        """Whether the night itself speaks for a change for the worse."""
        return self.verdict.outcome is Outcome.SLOWER or Qualifier.SUSPICIOUS in self.qualifiers

    @property
    def is_alarm(self) -> bool:
        """Whether it turns the night red: worse, or a count that changed, and not acknowledged."""
        worse = self.verdict.outcome is Outcome.SLOWER
        exact = Qualifier.EXACT in self.qualifiers and self.verdict.outcome is Outcome.FASTER
        return self.tier is Tier.PRIMARY and (worse or exact) and Qualifier.ACKNOWLEDGED not in self.qualifiers

    @property
    def is_gap(self) -> bool:
        """Whether the case has no numbers tonight."""
        return self.verdict.outcome in {Outcome.MISSING, Outcome.FAILED}


@dataclass(frozen=True, kw_only=True)
class Group:
    """Findings of one cause, as far as can be seen: one alarm.

    ``worst`` is the ratio furthest from 1, None where there is none; ``cause`` what changed at its place, in words;
    ``owners`` whose its cases are by the policy, that of the largest first.
    """

    id: str
    outcome: Outcome
    machine: str
    backend: str
    precision: str
    cases: tuple[str, ...]
    metrics: tuple[str, ...]
    worst: float | None
    place: Place
    cause: str
    acknowledged: bool = False
    owners: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """Cases that were expected tonight and what became of them; ``new`` ones were not expected."""

    expected: int
    seen: int
    missing: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    new: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Acknowledgement:
    """A change that somebody accepted: up to ``ratio[1]`` and the effect, until a date.

    ``cases`` are names or patterns of file names, ``metric`` likewise; ``since`` is the commit, ``reason``, ``issue``
    and ``by`` are for people. ``until`` and ``accepted`` are dates (ISO 8601). ``kind`` is "expected", "vendor" (a
    library's or driver's), "infra" or "noise"; the last two count as false alarms. Without ``wide`` a pattern covers
    at most twenty cases.
    """

    group: str
    cases: tuple[str, ...]
    metric: str
    ratio: tuple[float, float]
    until: str
    accepted: str
    reason: str
    since: str = ""
    issue: str = ""
    by: str = ""
    kind: str = "expected"
    wide: bool = False


class Standing(StrEnum):
    """What an acknowledgement does tonight.

    holds: it covers a change. lapsed: the date has passed, it got worse, or it covers too much. unused: no change
    needs it tonight.
    """

    HOLDS = "holds"
    LAPSED = "lapsed"
    UNUSED = "unused"


@dataclass(frozen=True, kw_only=True)
class Acknowledged:
    """An acknowledgement as it stands tonight, so many days after it was accepted."""

    entry: Acknowledgement
    standing: Standing
    days: int


@dataclass(frozen=True, kw_only=True)
class References:
    """What a night was compared with: so many nights, the first and the last of them, the commit of the last.

    ``levels`` are the cases that have levels in git, ``oldest`` and ``newest`` the nights of these, ``pinned`` the
    names of anchors.
    """

    nights: int = 0
    first: str = ""
    last: str = ""
    commit: str = ""
    levels: int = 0
    oldest: str = ""
    newest: str = ""
    pinned: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class NewEnvironment:
    """A machine whose environment is not that of its night before: the fields, each as (before, after)."""

    machine: str
    changed: Mapping[str, tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class Taken:
    """Of the newest record of a machine tonight: the hash of its environment, and when it was begun (ISO 8601)."""

    machine: str
    environment: str
    started_at: str


@dataclass(frozen=True, kw_only=True)
class NightReport:
    """The judgement of one night.

    ``findings`` are ordered by their size. ``exit`` is the exit status by all ``reasons``, (status, text), of which
    the first decides. ``unreadable`` are files of records that are damaged: they were left out. ``selftest`` says
    whether any of it can be believed. ``acknowledged`` are those that hold tonight, would hold, or no longer do.
    ``rule`` says in a sentence how was judged, ``options`` with which options of the command, ``taken`` where and when
    it was measured, and ``accepted`` how many alarms of the last 90 nights were accepted, and how many of these as
    noise or the machine's. ``root`` is the project root as commands need it, "" for the current folder, ``levels_in``
    where the levels come from, in words, and ``lacking`` the records that findings name and are not stored here.
    """

    night: str
    findings: tuple[Finding, ...]
    groups: tuple[Group, ...]
    coverage: Coverage
    environments: tuple[NewEnvironment, ...]
    acknowledged: tuple[Acknowledged, ...]
    selftest: Trust
    reasons: tuple[tuple[int, str], ...]
    unreadable: tuple[str, ...]
    exit: int
    policy_sha256: str
    rule: str
    taken: tuple[Taken, ...] = ()
    references: References = field(default_factory=References)
    accepted: tuple[int, int] = (0, 0)
    options: tuple[str, ...] = ()
    root: str = ""
    levels_in: str = "git"
    lacking: frozenset[str] = frozenset()

    @property
    def machines(self) -> tuple[str, ...]:
        """Where it was measured."""
        return tuple(entry.machine for entry in self.taken)
