"""Which records belong to which night of which case, on which kind of machine?"""

from __future__ import annotations

import datetime
import functools
import itertools
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from benchbox.schema.environment import Environment
from benchbox.schema.identity import NETWORK_FIELDS, CaseIdentity, case_of, network_of
from benchbox.schema.plan import TRANSFER_RESIDENT, WAIT_SPIN
from benchbox.schema.reading import Reading, Severity
from benchbox.schema.record import Record, RecordKey, Status, Structure, reading_of, structure_of

HALF_WIDTH = 1.96  # standard errors of a 95 % interval
_MACHINE_CHARACTERS = 48
NIGHT_STARTS = 12  # the hour, UTC, at which a night begins, unless a policy says otherwise
_Nights = dict[str, list[Record]]


class Value(NamedTuple):
    """One metric of one night: positive value, its standard error on logarithms, the unit, and whence it is."""

    value: float
    error: float
    unit: str
    records: tuple[Record, ...]


@dataclass(frozen=True, kw_only=True)
class CaseSeries:
    """One case on one kind of machine, its records by night, oldest first in each.

    ``structure`` are the MACs and parameters of its network where others are measured beside it under the same name.
    """

    case: CaseIdentity
    machine: str
    nights: Mapping[str, tuple[Record, ...]] = field(repr=False)
    structure: Structure | None = None

    @functools.cached_property
    def name(self) -> str:
        """What acknowledgements and baselines call it."""
        return name_of(self.case, self.machine, self.structure)

    @functools.cached_property
    def fields(self) -> dict[str, str]:
        """What the rules of a policy can ask for, as text, but for the metric."""
        return fields_of(self.case, self.machine, "")

    def measured(self, night: str) -> tuple[Record, ...]:
        """The records of a night that have numbers, of the newest one's environment and network."""
        if night not in self._measured:
            self._measured[night] = self._good(night)
        return self._measured[night]

    @functools.cached_property
    def _measured(self) -> dict[str, tuple[Record, ...]]:
        return {}

    def _good(self, night: str) -> tuple[Record, ...]:
        good = [record for record in self.nights.get(night, ()) if record.status is Status.OK]
        if len(good) < 2:
            return tuple(good)
        return tuple(
            record
            for record in good
            if record.environment.hash == good[-1].environment.hash
            and _may_be_one(structure_of(record), structure_of(good[-1]))
        )

    def value(self, night: str, metric: str) -> Value | None:
        """The night's value: the geometric mean over its records; None where no record has one that holds."""
        if (night, metric) not in self._values:
            self._values[night, metric] = self._value(night, metric)
        return self._values[night, metric]

    def before(self, night: str) -> tuple[str, ...]:
        """The nights before one that have numbers, in their order."""
        if night not in self._before:
            self._before[night] = tuple(
                earlier for earlier in sorted(self.nights) if earlier < night and self.measured(earlier)
            )
        return self._before[night]

    def alike(self, night: str) -> frozenset[str]:
        """Of the nights before one, those in its environment and of its network: there is nothing to ask of most."""
        if night not in self._alike:
            now = self.measured(night)[-1]
            network = network_of(now)
            self._alike[night] = frozenset(
                earlier
                for earlier in self.before(night)
                if (before := self.measured(earlier)[-1]).environment.hash == now.environment.hash
                and network_of(before) == network
            )
        return self._alike[night]

    @functools.cached_property
    def _alike(self) -> dict[str, frozenset[str]]:
        return {}

    @functools.cached_property
    def _before(self) -> dict[str, tuple[str, ...]]:
        return {}

    @functools.cached_property
    def _values(self) -> dict[tuple[str, str], Value | None]:
        return {}

    def _value(self, night: str, metric: str) -> Value | None:
        measured = self.measured(night)
        if len(measured) == 1:  # as below, which takes twice as long
            record = measured[0]
            reading = reading_of(record, metric)
            if reading is None or reading.value <= 0 or (record.flags and error_flags(measured, metric)):
                return None
            return Value(reading.value, _error(reading), reading.unit, measured)
        found = [
            (record, reading)
            for record in measured
            if (reading := reading_of(record, metric)) is not None
            and reading.value > 0
            and not (record.flags and error_flags([record], metric))
        ]
        if not found:
            return None
        return pooled(found)


def pooled(found: Sequence[tuple[Record, Reading]]) -> Value:
    """Records of one night and environment as one value: the geometric mean of their positive readings."""
    logs = [math.log(reading.value) for _, reading in found]
    errors = [_error(reading) for _, reading in found]
    return Value(
        value=math.exp(math.fsum(logs) / len(logs)),
        error=math.sqrt(math.fsum(error * error for error in errors)) / len(errors),
        unit=found[0][1].unit,
        records=tuple(record for record, _ in found),
    )


def case_series(records: Iterable[Record], *, night_starts: int) -> tuple[CaseSeries, ...]:
    """Every case on every kind of machine, in the order of their first records; skipped records make none."""
    found: dict[tuple[CaseIdentity, str], _Nights] = {}
    # Records that were read together share plans and hardware: most cases are known by these, which takes less time.
    known: dict[tuple[RecordKey, int, int], _Nights] = {}
    ordered = sorted(records, key=lambda entry: (entry.started_at, entry.id))
    for record in ordered:
        short = record.key, id(record.plan), id(record.environment.hardware)
        nights = known.get(short)
        if nights is None:
            nights = known[short] = found.setdefault((case_of(record), machine_of(record.environment)), {})
        nights.setdefault(night_of(record, night_starts), []).append(record)
    return tuple(
        CaseSeries(
            case=case,
            machine=machine,
            structure=structure,
            nights={night: tuple(entries) for night, entries in own.items()},
        )
        for (case, machine), nights in found.items()
        for structure, own in _networks(nights)
        if any(entry.status is not Status.SKIPPED for entries in own.values() for entry in entries)
    )


def _networks(nights: _Nights) -> list[tuple[Structure | None, _Nights]]:
    """The nights of each network that has the name of a case: one, unless several are measured beside each other.

    That is what several nights in common say, or the only night that there is. One night in common is that in which
    the network became another.
    """
    shared = Counter(
        pair
        for entries in nights.values()
        if len(entries) > 1
        for pair in itertools.combinations(sorted({*filter(None, map(structure_of, entries))}), 2)
    )
    beside = {one for pair, count in shared.items() if count > 1 or len(nights) == 1 for one in pair}
    if not beside:
        return [(None, nights)]
    found: dict[Structure | None, _Nights] = {one: {} for one in sorted(beside)}
    costed = (record for entries in nights.values() for record in entries if record.analytic is not None)
    of_network = {network_of(record): structure_of(record) for record in costed}
    for night, entries in nights.items():
        for record in entries:
            # A record without a cost is of the network of its file, if another one of that file has one.
            own = structure_of(record) or of_network.get(network_of(record))
            found.setdefault(own if own in beside else None, {}).setdefault(night, []).append(record)
    return list(found.items())


def _may_be_one(one: Structure | None, other: Structure | None) -> bool:
    return one == other or None in (one, other)


def night_of(record: Record, night_starts: int) -> str:
    """The night in which a record was taken: the UTC day on which it ends (ISO 8601)."""
    return night_at(datetime.datetime.fromisoformat(record.started_at), night_starts)


def night_at(moment: datetime.datetime, night_starts: int) -> str:
    """The night of a moment."""
    utc = moment.astimezone(datetime.UTC) if moment.tzinfo else moment
    return (utc + datetime.timedelta(hours=(24 - night_starts) % 24)).date().isoformat()


def machine_of(environment: Environment) -> str:
    """The kind of machine by its processor, CPUs and GPU: "amd-epyc-9354-16cpus-nvidia-h100". Drivers may change."""
    hardware = environment.hardware
    cpus = hardware.get("cpus_allowed") or hardware.get("cpus", "")
    return _machine((hardware.get("cpu", "unknown"), f"{cpus}cpus" if cpus else "", hardware.get("gpu", "")))


@functools.lru_cache(maxsize=1024)
def _machine(words: tuple[str, ...]) -> str:
    bare = re.sub(r"\((?:r|tm)\)|\b(?:cpu|processor)\b", " ", " ".join(words).lower())
    return re.sub(r"[^a-z0-9]+", "-", bare).strip("-")[:_MACHINE_CHARACTERS].strip("-") or "unknown"


def name_of(case: CaseIdentity, machine: str, structure: Structure | None = None) -> str:
    """A case in one word: "resnet50/tensorrt/fp16/b8/isolated/t4@h100"; what is as usual is left out.

    ``structure`` tells a network from others that are measured beside it under its name.
    """
    sizes = {"g": case.group, "s": case.streams, "r": case.rate_per_s, "bound": case.latency_bound_s}
    parts = [case.model, case.backend, case.precision.value, case.variant, f"b{case.batch}"]
    mode = "".join([str(case.mode), *(f"-{letter}{size:g}" for letter, size in sizes.items() if size is not None)])
    parts += [mode, f"t{case.threads}", f"like-{case.like}" if case.like else ""]
    parts += [case.transfer if case.transfer != TRANSFER_RESIDENT else ""]
    parts += [case.wait if case.wait not in {None, WAIT_SPIN} and case.wait else ""]
    parts += [f"{structure[0]}macs-{structure[1]}params" if structure else "", case.device]
    return "/".join(part.replace(" ", "_") for part in parts if part) + f"@{machine}"


def fields_of(case: CaseIdentity, machine: str, metric: str) -> dict[str, str]:
    """What the rules of a policy can ask for, as text."""
    texts = {name: value for name, value in vars(case).items() if name not in NETWORK_FIELDS}
    return {
        **{
            name: "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
            for name, value in texts.items()
        },
        "machine": machine,
        "metric": metric,
    }


def error_flags(records: Sequence[Record], metric: str) -> tuple[str, ...]:
    """Codes of the flags that void a metric in any of these records."""
    flags = [flag for record in records for flag in record.flags if flag.severity is Severity.ERROR]
    return tuple(sorted({flag.code for flag in flags if not flag.metrics or metric in flag.metrics}))


def commit_of(records: Sequence[Record]) -> str:
    """The commit of the newest of these records, "" where none was seen."""
    return records[-1].environment.observed.get("commit", "") if records else ""


def _error(reading: Reading) -> float:
    if reading.low is None or reading.high is None or not 0 < reading.low <= reading.high:
        return 0.0
    return math.log(reading.high / reading.low) / (2 * HALF_WIDTH)
