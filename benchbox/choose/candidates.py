"""Which configurations can be chosen among, and which measured ones not, and why?

A case is what its newest record with numbers says, together with those that belong to it (``replicates.py``). Out of
the question is what failed, whose outputs were not found right, whose numbers are void, and what did not run in the
precision that it is named after.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from benchbox.choose.amounts import Amount, Spread, Stated, amount_from_passes, amount_from_share
from benchbox.choose.limits import ACCURACY, QUALITIES
from benchbox.choose.replicates import records_of_cases
from benchbox.flags.void import is_void
from benchbox.schema.accuracy import AccuracyResult
from benchbox.schema.model import Precision
from benchbox.schema.reading import Flag, Reading, Severity
from benchbox.schema.record import Record, Status

# A published accuracy is that of the weights in fp32; TF32 does not change a top-1 beyond its own uncertainty.
_AS_PUBLISHED = frozenset({Precision.FP32, Precision.TF32})
_WRONG = "outputs not right"


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A configuration with what is known of it.

    ``name`` identifies the case in one line, ``facet`` says what it can be compared with (machine and mode),
    ``records`` are those whose processes are taken together, newest first, and ``amounts`` its qualities by name.
    """

    name: str
    facet: tuple[str, ...]
    records: tuple[Record, ...]
    amounts: Mapping[str, Amount] = field(repr=False)

    @property
    def record(self) -> Record:
        """The newest of its records."""
        return self.records[0]

    @property
    def flags(self) -> tuple[Flag, ...]:
        """Those of all its records, the newest's first."""
        return tuple(flag for record in self.records for flag in record.flags)


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
    for entries in records_of_cases(records, facet_of=facet_of, name_of=name_of):
        name, facet = name_of(entries[0]), facet_of(entries[0])
        reasons = [reason_against(record) for record in entries]
        kept = tuple(record for record, reason in zip(entries, reasons, strict=True) if not reason)
        if not kept or _WRONG in reasons:  # wrong once is wrong
            reason = _WRONG if _WRONG in reasons else reasons[0]
            excluded.append(Excluded(name=name, facet=facet, record=entries[0], reason=reason))
            continue
        amounts: dict[str, Amount] = dict(_amounts(kept))
        accuracy = _accuracy(kept[0], measured, published or {})
        if accuracy is not None:
            amounts[ACCURACY] = accuracy
        candidates.append(Candidate(name=name, facet=facet, records=kept, amounts=amounts))
    return tuple(candidates), tuple(excluded)


def reason_against(record: Record) -> str:
    """Why a record cannot be chosen, "" if it can."""
    if record.status is not Status.OK:
        return str(record.status)
    if record.correctness.passed is not True:
        return _WRONG if record.correctness.passed is False else "outputs not checked"
    if is_void(record) or any(flag.severity is Severity.ERROR and not flag.metrics for flag in record.flags):
        return "void"
    proof = record.proof
    if proof is not None and proof.macs and proof.passed is not True:
        return "precision not proven"
    if proof is None and record.key.precision not in _AS_PUBLISHED:
        return "precision not proven"
    return ""


def _amounts(records: Sequence[Record]) -> dict[str, Spread]:
    """Each quality of which the newest record has a reading, by all processes that were measured in the same way."""
    by_record = [_readings(record) for record in records]
    return {
        name: amount_from_passes(
            [found for readings in by_record if (found := readings.get(name)) is not None and _alike(found, newest)]
        )
        for name, newest in by_record[0].items()
    }


def _alike(reading: Reading, newest: Reading) -> bool:
    return (reading.metric, reading.method) == (newest.metric, newest.method)


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
