"""May two sets of records be compared at all?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchbox.schema.environment import Environment
from benchbox.schema.record import Record, RecordKey, Status
from benchbox.schema.trial import Trial

# Of software, what every machine has: without it a record is older than the field. The rest are packages.
_ALWAYS_NOTED = frozenset({"benchbox", "python", "kernel", "os", "libc"})
# Of a plan, what makes two numbers answers to different questions.
_ALIKE = ("threads", "group", "streams", "transfer", "wait", "like", "rate_per_s", "latency_bound_s")


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A stored record and its raw trials."""

    record: Record
    trials: tuple[Trial, ...]


@dataclass(frozen=True, kw_only=True)
class Rules:
    """How to judge.

    ``effect`` is the least ratio minus 1 that matters, None for the device's default; ``across_environments``
    compares what environments would forbid.
    """

    metrics: tuple[str, ...] = ("latency_p50",)
    effect: float | None = None
    across_environments: bool = False


def by_case(side: Iterable[Measured]) -> dict[RecordKey, tuple[Measured, ...]]:
    """The records of one side by their key: those that are replicates of the newest that is usable."""
    cases: dict[RecordKey, list[Measured]] = {}
    for measured in side:
        cases.setdefault(measured.record.key, []).append(measured)
    return {key: _replicates(records) for key, records in cases.items()}


def _replicates(records: list[Measured]) -> tuple[Measured, ...]:
    usable = [entry for entry in records if entry.record.status is Status.OK] or records
    newest = max(usable, key=lambda entry: entry.record.started_at)
    return tuple(entry for entry in usable if entry.record.environment.hash == newest.record.environment.hash)


def obstacle(base: Sequence[Measured], head: Sequence[Measured], rules: Rules, *, alike: bool) -> str:
    """Why two sides may not be compared, empty where they may; ``alike`` asks for one way of measuring."""
    for name, side, other in (("base", base, "head"), ("head", head, "base")):
        if not side:
            return f"only the {other} has it"
        if side[0].record.status is not Status.OK:
            return f"the {name} is {side[0].record.status}: {side[0].record.reason}"
    one, two = base[0].record, head[0].record
    for name in _ALIKE if alike else ():
        if getattr(one.plan, name) != getattr(two.plan, name):
            return f"{name} differ: {getattr(one.plan, name)} and {getattr(two.plan, name)}"
    if one.environment.hash == two.environment.hash or rules.across_environments:
        return ""
    return environments_apart(one.environment, two.environment)


def environments_apart(base: Environment, head: Environment) -> str:
    """In which fields two environments of different hash differ.

    What one side did not note is told apart from what differs: older records, and GPUs that do not tell, have fewer
    fields.
    """
    differing: list[str] = []
    unnoted: dict[str, list[str]] = {"base": [], "head": []}
    for left, right in ((base.hardware, head.hardware), (base.software, head.software)):
        for name in sorted({*left, *right}):
            lacking = "base" if name not in left else "head" if name not in right else ""
            absent = _absence(name) if left is base.software else ""
            if lacking and not absent:
                unnoted[lacking].append(name)
            elif left.get(name) != right.get(name):
                texts = [repr(side[name]) if name in side else absent for side in (left, right)]
                differing.append(f"{name} {texts[0]} and {texts[1]}")
    parts = [*differing]
    for side, names in unnoted.items():
        if names:
            parts.append(f"the {side} did not note {', '.join(names)}")
    if not differing and parts:
        parts.append("what both noted is equal (--across-environments compares)")
    return f"environments differ: {'; '.join(parts) or 'hash'}"


def _absence(name: str) -> str:
    """What it means that software lacks a field; "" where it only was not noted."""
    if name.startswith("env "):
        return "not set"
    return "" if name in _ALWAYS_NOTED else "not installed"
