"""Which configurations can be chosen among, and which measured ones not, and why?

One record stands for a case: the newest that has numbers. Out of the question is what failed, whose outputs were not
found right, whose numbers are void, and what did not run in the precision that it is named after.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from benchbox.choose.amounts import Amount, Stated, amount_from_reading, amount_from_share
from benchbox.choose.limits import ACCURACY, QUALITIES
from benchbox.flags.void import is_void
from benchbox.schema.accuracy import AccuracyResult
from benchbox.schema.identity import identity_of
from benchbox.schema.model import Precision
from benchbox.schema.reading import Reading, Severity
from benchbox.schema.record import Record, Status

# A published accuracy is that of the weights in fp32; TF32 does not change a top-1 beyond its own uncertainty.
_AS_PUBLISHED = frozenset({Precision.FP32, Precision.TF32})


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A configuration with what is known of it.

    ``name`` identifies the case in one line, ``facet`` says what it can be compared with (machine and mode),
    ``amounts`` are its qualities by name, and ``readings`` the readings that they are from.
    """

    name: str
    facet: tuple[str, ...]
    record: Record
    amounts: Mapping[str, Amount] = field(repr=False)
    readings: Mapping[str, Reading] = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Excluded:
    """A record that cannot be chosen, and why."""

    name: str
    facet: tuple[str, ...]
    record: Record
    reason: str


def candidates_from_records(
    records: Iterable[Record],
    *,
    facet_of: Callable[[Record], tuple[str, ...]],
    name_of: Callable[[Record], str],
    accuracies: Iterable[AccuracyResult] = (),
    published: Mapping[str, tuple[float, str]] | None = None,
) -> tuple[tuple[Candidate, ...], tuple[Excluded, ...]]:
    """The configurations, and the cases that have none.

    Args:
        records: of any age.
        facet_of: what a record's case can be compared with.
        name_of: the case in one line, with the machine where facets hold several.
        accuracies: measured ones, oldest first.
        published: top-1 and its source by network.
    """
    measured = _by_network(accuracies)
    candidates: list[Candidate] = []
    excluded: list[Excluded] = []
    for record in newest_of_cases(records, facet_of=facet_of, name_of=name_of):
        name, facet = name_of(record), facet_of(record)
        reason = reason_against(record)
        if reason:
            excluded.append(Excluded(name=name, facet=facet, record=record, reason=reason))
            continue
        readings = _readings(record)
        amounts: dict[str, Amount] = {key: amount_from_reading(reading) for key, reading in readings.items()}
        accuracy = _accuracy(record, measured, published or {})
        if accuracy is not None:
            amounts[ACCURACY] = accuracy
        candidates.append(Candidate(name=name, facet=facet, record=record, amounts=amounts, readings=readings))
    return tuple(candidates), tuple(excluded)


def newest_of_cases(
    records: Iterable[Record], *, facet_of: Callable[[Record], tuple[str, ...]], name_of: Callable[[Record], str]
) -> tuple[Record, ...]:
    """Of every case the newest record that has numbers, else the newest; arguments as above."""
    newest: dict[tuple[object, ...], Record] = {}
    for record in sorted(records, key=lambda entry: (entry.started_at, entry.id)):
        case = (identity_of(record), facet_of(record), name_of(record))  # across machines the name has the machine
        kept = newest.get(case)
        if kept is None or record.status is Status.OK or kept.status is not Status.OK:
            newest[case] = record
    # A case that failed before its file was there has no network; the same case with one supersedes it.
    named = {
        (identity_of(record).without_network, name_of(record))
        for record in newest.values()
        if record.onnx_sha256 is not None
    }
    return tuple(
        record
        for record in newest.values()
        if record.onnx_sha256 is not None or (identity_of(record).without_network, name_of(record)) not in named
    )


def reason_against(record: Record) -> str:
    """Why a record cannot be chosen, "" if it can."""
    if record.status is not Status.OK:
        return str(record.status)
    if record.correctness.passed is not True:
        return "outputs not right" if record.correctness.passed is False else "outputs not checked"
    if is_void(record) or any(flag.severity is Severity.ERROR and not flag.metrics for flag in record.flags):
        return "numbers void"
    proof = record.proof
    if proof is not None and proof.macs and proof.passed is not True:
        return "precision not proven"
    if proof is None and record.key.precision not in _AS_PUBLISHED:
        return "precision not proven"
    return ""


def _readings(record: Record) -> dict[str, Reading]:
    """The readings of each quality that no error is flagged about."""
    void = {metric for flag in record.flags if flag.severity is Severity.ERROR for metric in flag.metrics}
    by_name = {reading.metric: reading for reading in record.readings if reading.value > 0}
    found = {}
    for name, quality in QUALITIES.items():
        metric = next((metric for metric in quality.metrics if metric in by_name), None)
        if metric is not None and metric not in void:
            found[name] = by_name[metric]
    return found


def _by_network(accuracies: Iterable[AccuracyResult]) -> dict[tuple[object, ...], AccuracyResult]:
    return {(entry.onnx_sha256, entry.weights_sha256, entry.backend, entry.precision): entry for entry in accuracies}


def _accuracy(
    record: Record, measured: Mapping[tuple[object, ...], AccuracyResult], published: Mapping[str, tuple[float, str]]
) -> Amount | None:
    """The measured accuracy of the very file on the very backend, else the published one of the network in fp32."""
    key = record.key
    found = measured.get((record.onnx_sha256, record.weights_sha256, key.backend, key.precision))
    if found is not None:
        return amount_from_share(found.top1, found.samples)
    if key.model in published and key.precision in _AS_PUBLISHED and not key.variant:
        value, source = published[key.model]
        return Stated(value=value, source=f"published: {source}")
    return None
