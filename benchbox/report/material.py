"""What is a page made of: which records, what is known of their networks, and what was derived from them?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from benchbox.flags.void import is_void
from benchbox.report.cases import names_of_cases
from benchbox.schema.accuracy import AccuracyResult
from benchbox.schema.device import Ceilings
from benchbox.schema.identity import CaseIdentity, identity_of
from benchbox.schema.layers import StoredLayers
from benchbox.schema.model import ModelSpec
from benchbox.schema.plan import Mode
from benchbox.schema.reading import Reading
from benchbox.schema.record import Record, Status, reading_of
from benchbox.schema.verdict import Outcome, Series
from benchbox.units import ABSENT, format_known


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """A top-1 accuracy as a ratio; the interval is None, and the source named, where it was published."""

    value: float
    low: float | None
    high: float | None
    source: str


@dataclass(frozen=True, kw_only=True)
class Material:
    """Everything that a page shows.

    ``specs`` are facts of networks by name. ``accuracies``, ``medians_s`` (the median latency of each timed process)
    and ``front`` (the probability of being on the front of accuracy, latency and memory) are by record id; what is not
    known has no entry. ``title`` heads the page. ``answers`` are measured accuracies, oldest first. ``verdict`` is the
    gate's judgement of the newest night in sentences, the first of them its outcome, ``changes`` that of the latency of
    each record of the night.
    """

    title: str
    records: tuple[Record, ...]
    specs: Mapping[str, ModelSpec] = field(default_factory=dict)
    accuracies: Mapping[str, Accuracy] = field(default_factory=dict)
    medians_s: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    front: Mapping[str, float] = field(default_factory=dict)
    series: tuple[Series, ...] = ()
    ceilings: tuple[Ceilings, ...] = ()
    layers: tuple[StoredLayers, ...] = ()
    answers: tuple[AccuracyResult, ...] = ()
    verdict: tuple[str, ...] = ()
    changes: Mapping[str, Outcome] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Point:
    """The newest record of one case on one machine, with what the pictures ask of it; None where it is not known."""

    case: str
    record: Record
    latency: Reading | None
    accuracy: Accuracy | None

    @property
    def model(self) -> str:
        """The network's name."""
        return self.record.key.model

    @property
    def batch(self) -> int:
        """Samples in one inference."""
        return self.record.key.batch

    @property
    def macs(self) -> int | None:
        """Multiply-adds of one inference."""
        return self.record.analytic.macs if self.record.analytic else None

    @property
    def least_bytes(self) -> int | None:
        """Bytes that one inference must move through memory at least."""
        return self.record.analytic.least_bytes if self.record.analytic else None

    @property
    def params(self) -> int | None:
        """Parameters of the network."""
        return self.record.analytic.params if self.record.analytic else None


def machine_name(record: Record) -> str:
    """The machine as a person calls it: GPU, else processor, and its CPUs."""
    hardware = record.environment.hardware
    cpus = hardware.get("cpus_allowed") or hardware.get("cpus", "")
    names = [hardware[kind] for kind in ("gpu", "cpu") if kind in hardware]
    return ", ".join([*names, *([f"{cpus} CPUs"] if cpus else [])]) or record.key.device


def points_by_machine(material: Material) -> dict[str, tuple[Point, ...]]:
    """The newest measured record of every case, machine by machine: numbers of several machines are never mixed."""
    newest: dict[tuple[str, CaseIdentity], Record] = {}
    for record in sorted(material.records, key=lambda entry: (entry.started_at, entry.id)):
        if record.status is Status.OK and not is_void(record):
            newest[machine_name(record), identity_of(record)] = record
    name = names_of_cases([identity_of(record) for record in newest.values()])
    found: dict[str, list[Point]] = {}
    for (machine, case), record in newest.items():
        latency = reading_of(record, "latency_p50")
        found.setdefault(machine, []).append(
            Point(
                case=name(case),
                record=record,
                latency=usable(latency),
                accuracy=material.accuracies.get(record.id),
            )
        )
    return {machine: tuple(points) for machine, points in found.items()}


def usable(reading: Reading | None) -> Reading | None:
    """The reading where it can be drawn: a positive finite value."""
    return reading if reading is not None and 0 < reading.value < float("inf") else None


def achieved_text(point: Point) -> str:
    """Operations of the multiply-adds over the median latency, with the digits that its interval leaves known."""
    latency, flops = point.latency, 2 * (point.macs or 0)
    if latency is None or not flops:
        return ABSENT
    low = None if latency.high is None else flops / latency.high
    high = None if not latency.low or latency.low < 0 else flops / latency.low
    return format_known(flops / latency.value, low, high, "FLOP/s")


def one_at_a_time(points: Sequence[Point]) -> list[Point]:
    """Those that were measured one request at a time: latencies of other modes contain waiting."""
    return [point for point in points if point.record.key.mode is Mode.ISOLATED and point.latency is not None]
