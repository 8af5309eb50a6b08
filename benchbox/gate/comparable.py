"""Which records of two sides are of one case, and may they be compared at all?

Records are of one case where their identities are equal (``schema/identity.py``); nothing else is ever pooled. Across
the sides a network may have become another file of the same structure: retrained, or exported anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchbox.schema.environment import Environment
from benchbox.schema.identity import CaseIdentity, identity_of, network_of
from benchbox.schema.record import Record, Status, structure_of
from benchbox.schema.trial import Trial

# Software that every machine has: a record without it is older than the field. The rest are packages.
_ALWAYS_NOTED = frozenset({"benchbox", "python", "kernel", "os", "libc"})
_SHA_SHOWN = 8
# Begins the reason of a pair that neither side could measure: nothing was asked of it.
SKIPPED_ON_BOTH = "skipped on both sides"


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A stored record and its raw trials."""

    record: Record
    trials: tuple[Trial, ...]


@dataclass(frozen=True, kw_only=True)
class Rules:
    """How to judge.

    ``effect`` is the smallest ratio minus 1 that matters, None for the device's default; ``across_environments`` and
    ``across_networks`` compare what different environments, or networks of other MACs and parameters, would forbid.
    ``match`` names the fields of a case that must be equal where two different cases are to be compared; empty for one
    case on both sides. ``quick`` where the values were taken with --quick just now, for advice.
    """

    metrics: tuple[str, ...] = ("latency_p50",)
    effect: float | None = None
    across_environments: bool = False
    across_networks: bool = False
    match: tuple[str, ...] = ()
    quick: bool = False


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One case: its records on both sides, none on the side that lacks it. ``lack`` says so in words."""

    base: tuple[Measured, ...] = ()
    head: tuple[Measured, ...] = ()
    lack: str = ""

    @property
    def identity(self) -> CaseIdentity:
        """The head's case, or the base's where the head lacks it."""
        return identity_of((self.head or self.base)[0].record)


def pairs_of_cases(base: Iterable[Measured], head: Iterable[Measured]) -> tuple[Pair, ...]:
    """Every case of either side, in the order of the base, then of the head.

    Records of a case on one side are replicates if their environments are equal; otherwise those of the newest count.
    A case whose network is another file on the other side is paired with the newest of equal MACs and parameters
    there, else with the newest that is left.
    """
    sides = [_cases(side) for side in (base, head)]
    pairs: list[Pair] = []
    for key in dict.fromkeys([*sides[0], *sides[1]]):
        left, right = (list(side.get(key, ())) for side in sides)
        for alike in (_sha_of, lambda side: structure_of(side[0].record), lambda _: None):
            for one in tuple(left):
                other = next((entry for entry in right if alike(entry) == alike(one)), None)
                if other is not None:
                    pairs.append(Pair(base=one, head=other))
                    left.remove(one)
                    right.remove(other)
        pairs += [Pair(base=one, lack=_lack("base", "head", one, sides[1])) for one in left]
        pairs += [Pair(head=other, lack=_lack("head", "base", other, sides[0])) for other in right]
    return tuple(pairs)


def pairs_by_fields(base: Iterable[Measured], head: Iterable[Measured], fields: Sequence[str]) -> tuple[Pair, ...]:
    """Every case of the head with every case of the base that has the same values in these fields.

    Of several networks under one name the newest counts; a case without any on the other side is a pair that lacks it.
    """
    sides = [[networks[0] for networks in _cases(side).values()] for side in (base, head)]

    def key(records: Sequence[Measured]) -> tuple[object, ...]:
        own = identity_of(records[0].record)
        return tuple(getattr(own, field) for field in fields)

    pairs: list[Pair] = []
    for one in sides[0]:
        others = [other for other in sides[1] if key(other) == key(one)]
        pairs += [Pair(base=one, head=other) for other in others] or [Pair(base=one, lack=_ONLY.format("A"))]
    known = {key(one) for one in sides[0]}
    pairs += [Pair(head=other, lack=_ONLY.format("B")) for other in sides[1] if key(other) not in known]
    return tuple(pairs)


_ONLY = "only {} has one with these fields"
_Cases = dict[CaseIdentity, tuple[tuple[Measured, ...], ...]]


def _cases(side: Iterable[Measured]) -> _Cases:
    """Replicates of each network, newest first, by the case without its network."""
    cases: dict[CaseIdentity, list[Measured]] = {}
    for measured in side:
        cases.setdefault(identity_of(measured.record).without_network, []).append(measured)
    return {key: _networks(records) for key, records in cases.items()}


def _networks(records: list[Measured]) -> tuple[tuple[Measured, ...], ...]:
    usable = {network_of(entry.record) for entry in records if entry.record.status is Status.OK}
    networks: dict[str | None, list[Measured]] = {}
    for entry in records:
        # A case that failed before its file was there is one of those that did not.
        superseded = network_of(entry.record) in {*usable, None} and usable
        if entry.record.status is Status.OK or not superseded:
            networks.setdefault(network_of(entry.record), []).append(entry)
    newest_first = sorted(networks.values(), key=lambda entries: max(map(_started, entries)), reverse=True)
    return tuple(map(_replicates, newest_first))


def _replicates(records: list[Measured]) -> tuple[Measured, ...]:
    newest = max(records, key=_started)
    return tuple(entry for entry in records if entry.record.environment.hash == newest.record.environment.hash)


def _started(entry: Measured) -> str:
    return entry.record.started_at


def _sha_of(side: Sequence[Measured]) -> object:
    return network_of(side[0].record)


def _lack(name: str, other_name: str, records: Sequence[Measured], others: _Cases) -> str:
    """That only one side has a case, and in what the most similar one of the other side differs."""
    own = identity_of(records[0].record)
    same_model = [entry for entry in others if entry.model == own.model]
    if not same_model:
        return f"only the {name} has it"
    nearest = min(same_model, key=lambda entry: len(own.without_network.differences(entry)))
    differing = own.without_network.differences(nearest)
    parts = [f"{field} {getattr(own, field)} and {getattr(nearest, field)}" for field in differing]
    return f"only the {name} has it" + (
        f"; the nearest of the {other_name} differs: {', '.join(parts)}" if parts else ""
    )


def obstacle(pair: Pair, rules: Rules, *, alike: bool) -> str:
    """Why two sides may not be compared, empty where they may; ``alike`` asks for one network and environment."""
    if pair.lack:
        return pair.lack
    if all(side[0].record.status is Status.SKIPPED for side in (pair.base, pair.head)):
        return f"{SKIPPED_ON_BOTH}: {pair.head[0].record.reason}"
    for name, side in (("base", pair.base), ("head", pair.head)):
        if side[0].record.status is not Status.OK:
            was = {Status.SKIPPED: "was skipped", Status.FAILED: "failed"}[side[0].record.status]
            return f"the {name} {was}: {side[0].record.reason}"
    one, two = pair.base[0].record, pair.head[0].record
    if alike and not rules.across_networks and (found := networks_apart(one, two)):
        return found
    if one.environment.hash == two.environment.hash or rules.across_environments:
        return ""
    return environments_apart(one.environment, two.environment)


def networks_apart(base: Record, head: Record) -> str:
    """In which counts two networks of one name differ; empty where their structure is equal."""
    if network_of(base) == network_of(head) or base.analytic is None or head.analytic is None:
        return ""
    for title, name in (("MACs", "macs"), ("parameters", "params")):
        before, after = getattr(base.analytic, name), getattr(head.analytic, name)
        if before != after:
            return f"another network: {title} {before:,} → {after:,} (--across-networks compares)"
    return ""


def note_on_networks(base: Record, head: Record) -> str:
    """What is to be known where the same case ran another file: "" where it ran the same."""
    before, after = network_of(base), network_of(head)
    if before == after or not before or not after:
        return ""
    files = f"{before[:_SHA_SHOWN]} → {after[:_SHA_SHOWN]}"
    what = "another network" if networks_apart(base, head) else "other weights, equal MACs and parameters"
    return f"{what} (sha256 {files})"


def environments_apart(base: Environment, head: Environment) -> str:
    """In which fields two environments of different hash differ.

    Fields that one side did not record (older versions, GPUs that do not report them) are listed apart from those that
    differ.
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
            parts.append(f"the {side} did not record {', '.join(names)}")
    if not differing and parts:
        parts.append("what both recorded is equal (--across-environments compares)")
    return f"environments differ: {'; '.join(parts) or 'hash'}"


def _absence(name: str) -> str:
    """What a missing field of software means; "" where it only was not recorded."""
    if name.startswith("env "):
        return "not set"
    return "" if name in _ALWAYS_NOTED else "not installed"
