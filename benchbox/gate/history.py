"""When did a case change its level, and what else changed at that time?

Records of one case on the same hardware make a series, a point a night: those of one night and environment are pooled,
as the gate pools them. Its lasting changes of
level are found by ``stats/changes.py``. Another driver or library does not end a series: it begins an epoch, and a
change of level at that place is put down to the environment, not to the network.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from benchbox.gate.series import HALF_WIDTH, NIGHT_STARTS, night_of, pooled
from benchbox.metrics.metric import METRICS
from benchbox.schema.environment import Environment
from benchbox.schema.identity import identity_of, network_of
from benchbox.schema.reading import Better, Reading
from benchbox.schema.record import Record, Status, Structure, structure_of
from benchbox.schema.verdict import ChangeState, HistoryPoint, LevelChange, Series
from benchbox.stats.changes import Change, changes_of

# A change of level is located to within a night or so: a neighbour's new environment may be its cause.
NEAR = 1


def series_from_records(
    records: Iterable[Record], *, metric: str, effect: float, night_starts: int | None = NIGHT_STARTS
) -> tuple[Series, ...]:
    """The series of every case that has the metric, in the order of their first records.

    Args:
        records: in any order; failed and skipped ones, and those without the metric, are left out.
        metric: the reading that is followed.
        effect: the least change of level that matters, as a ratio minus 1.
        night_starts: the hour, UTC, at which a night begins; None for a point a record.
    """
    ordered = sorted(records, key=lambda entry: (entry.started_at, entry.id))
    # A record without a cost is of the network of its file, which another one may have counted.
    structures = {_counted(record): structure_of(record) for record in ordered if record.analytic}
    cases: dict[tuple[object, Structure | None], list[tuple[Record, Reading]]] = {}
    for record in ordered:
        reading = next((found for found in record.readings if found.metric == metric), None)
        if record.status is Status.OK and reading is not None and reading.value > 0:
            # Another network under the same name is another series: never a point, or a step, of this one.
            key = _case_of(record), structures.get(_counted(record))
            cases.setdefault(key, []).append((record, reading))
    names = Counter(case for case, _ in cases)
    starts = NIGHT_STARTS if night_starts is None else night_starts
    return tuple(
        _series(_nights(found, night_starts), metric, effect, starts, told_by=structure if names[case] > 1 else None)
        for (case, structure), found in cases.items()
    )


def _nights(found: Sequence[tuple[Record, Reading]], night_starts: int | None) -> list[list[tuple[Record, Reading]]]:
    """The records of a case by night and environment, in the order of time."""
    nights: dict[object, list[tuple[Record, Reading]]] = {}
    for record, reading in found:
        night = record.id if night_starts is None else night_of(record, night_starts)
        nights.setdefault((night, record.environment.hash), []).append((record, reading))
    return list(nights.values())


def _series(
    found: Sequence[Sequence[tuple[Record, Reading]]],
    metric: str,
    effect: float,
    starts: int,
    *,
    told_by: Structure | None,
) -> Series:
    """The series of these nights; ``told_by`` is what tells its network from another one of the same name."""
    records = [night[-1][0] for night in found]
    environments = [record.environment for record in records]
    epochs = {
        index: _differences(before, after)
        for index, (before, after) in enumerate(pairwise(environments), start=1)
        if before.hash != after.hash
    }
    points = tuple(_point(night, starts) for night in found)
    better = METRICS.get(metric).better
    raw = changes_of([point.value for point in points], effect=effect)
    return Series(
        case=_description(records[-1])
        | ({} if told_by is None else dict(zip(("macs", "params"), told_by, strict=True))),
        metric=metric,
        unit=found[0][0][1].unit,
        better=better,
        points=points,
        changes=tuple(_change(place, raw, points, epochs, better, effect) for place in range(len(raw))),
        epochs=epochs,
    )


def _case_of(record: Record) -> object:
    """What makes two records points of one series, with the network's structure: the case on equal hardware."""
    return identity_of(record).without_network, tuple(sorted(record.environment.hardware.items()))


def _counted(record: Record) -> object:
    """What MACs and parameters belong to: the network, and the batch that they are counted at."""
    return network_of(record), record.key.batch


def _description(record: Record) -> dict[str, object]:
    """The case by its fields, without those that its mode does not use."""
    identity = dataclasses.asdict(identity_of(record).without_network)
    return {name: value for name, value in identity.items() if value not in (None, "")}


def _point(night: Sequence[tuple[Record, Reading]], starts: int) -> HistoryPoint:
    newest, reading = night[-1]
    value, low, high = reading.value, reading.low, reading.high
    if len(night) > 1:
        one = pooled(night)
        reach = math.exp(HALF_WIDTH * one.error)
        value, low, high = one.value, one.value / reach if one.error else None, one.value * reach if one.error else None
    return HistoryPoint(
        at=newest.started_at,
        commit=newest.environment.observed.get("commit", ""),
        value=value,
        low=low,
        high=high,
        n=sum(reading.n for _, reading in night),
        env=newest.environment.hash,
        record=newest.id,
        network=network_of(newest) or "",
        night=night_of(newest, starts),
        records=tuple(record.id for record, _ in night),
    )


def _change(
    place: int,
    raw: Sequence[Change],
    points: Sequence[HistoryPoint],
    epochs: Mapping[int, Mapping[str, tuple[str, str]]],
    better: Better,
    effect: float,
) -> LevelChange:
    change = raw[place]
    near = [index for index in range(change.index - NEAR, change.index + NEAR + 1) if index in epochs]
    return LevelChange(
        index=change.index,
        ratio=change.ratio,
        low=change.low,
        high=change.high,
        better=(change.ratio < 1) is (better is Better.LOWER),
        commits=(points[change.index - 1].commit, points[change.index].commit),
        environment={name: pair for index in near for name, pair in epochs[index].items()},
        state=_state(raw[place:], effect, near=bool(near)),
    )


def _state(changes: Sequence[Change], effect: float, *, near: bool) -> ChangeState:
    """Of the first of these changes: a later level within what matters of the one before it takes it back."""
    if near:
        return ChangeState.ENVIRONMENT
    level = 0.0
    for change in changes:
        level += math.log(change.ratio)
        if abs(level) < math.log1p(effect):
            return ChangeState.REVERTED
    return ChangeState.NEW


def _differences(before: Environment, after: Environment) -> dict[str, tuple[str, str]]:
    """What differs of the software, and of the hardware where a series goes over it."""
    found = {}
    for one, other in ((before.hardware, after.hardware), (before.software, after.software)):
        for name in sorted({*one, *other}):
            if one.get(name) != other.get(name):
                found[name] = (one.get(name, ""), other.get(name, ""))
    return found
