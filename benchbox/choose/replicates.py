"""Which records of a case count?

The newest record with numbers says what a case is now. Where a sweep measured it, the records of its other passes
belong to it, and their processes are taken together; what is older is the number of another day.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from benchbox.schema.identity import identity_of, sweep_id_of
from benchbox.schema.record import Record, Status


def records_of_cases(
    records: Iterable[Record], *, facet_of: Callable[[Record], tuple[str, ...]], name_of: Callable[[Record], str]
) -> tuple[tuple[Record, ...], ...]:
    """Of every case the records that count, newest first; of a case without numbers its newest record alone.

    Args:
        records: of any age, in any order.
        facet_of: what a record's case can be compared with.
        name_of: the case in one line, with the machine where facets hold several.
    """
    cases: dict[tuple[object, ...], list[Record]] = {}
    for record in sorted(records, key=lambda entry: (entry.started_at, entry.id)):
        case = (identity_of(record), facet_of(record), name_of(record))  # across machines the name has the machine
        cases.setdefault(case, []).append(record)
    counting = [_counting(entries[::-1]) for entries in cases.values()]
    # A case that failed before its file was there has no network; the same case with one supersedes it.
    named = {
        (identity_of(newest).without_network, name_of(newest))
        for newest, *_ in counting
        if newest.onnx_sha256 is not None
    }
    return tuple(
        entries
        for entries in counting
        if entries[0].onnx_sha256 is not None
        or (identity_of(entries[0]).without_network, name_of(entries[0])) not in named
    )


def _counting(newest_first: Sequence[Record]) -> tuple[Record, ...]:
    measured = [record for record in newest_first if record.status is Status.OK]
    if not measured:
        return (newest_first[0],)
    newest, *others = measured
    return (newest, *(record for record in others if _is_other_pass(record, newest)))


def _is_other_pass(record: Record, newest: Record) -> bool:
    sweep = sweep_id_of(newest)
    return sweep != "" and sweep_id_of(record) == sweep and record.environment.hash == newest.environment.hash
