"""What tells two rows apart whose cases have one name: another machine, or another time?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from benchbox.report.cases import names_of_cases
from benchbox.report.table import Column
from benchbox.schema.identity import CaseIdentity, identity_of
from benchbox.schema.record import Record

# An id begins with its time to the second: "20260102T030400Z".
_TIME = 16
# Left out before all others where nothing depends on them.
_LAST = 7


def telling_columns(records: Sequence[Record], names: Sequence[Sequence[str]], *, narrow: bool) -> list[Column[Record]]:
    """The environment, where there are several, and the id; what alone tells two rows apart is never left out.

    Args:
        records: of the rows.
        names: the texts of the columns that name the case of each row.
        narrow: whether ids that cannot be left out are shortened.
    """
    environments = [record.environment.hash for record in records]
    cases = [tuple(texts) for texts in names]
    with_machines = list(zip(cases, environments, strict=True))
    alike, still_alike = _repeated(cases), _repeated(with_machines)
    columns = [_id_column(records, short=narrow and still_alike)]
    if len(set(environments)) > 1:
        rank = 0 if alike and not still_alike else _LAST - 1
        columns.insert(0, Column(title="environment", cell=lambda record: record.environment.hash, rank=rank))
    return columns


def _id_column(records: Sequence[Record], *, short: bool) -> Column[Record]:
    """Whole ids where the screen is wide enough; their beginnings where rows have no other name."""
    if not short:
        return Column(title="id", cell=lambda record: record.id, rank=_LAST)
    shown = brief_ids([record.id for record in records])
    return Column(title="id", cell=lambda record: shown[record.id])


def brief_ids(ids: Sequence[str]) -> dict[str, str]:
    """The beginnings of these ids, their time at the least, as long as it takes to tell them apart."""
    whole = max(map(len, ids), default=0)
    length = next(
        (length for length in range(_TIME, whole) if len({each[:length] for each in ids}) == len(set(ids))), whole
    )
    return {each: each[:length].rstrip("-") for each in ids}


def names_of_records(records: Sequence[Record], *, differing: bool = False) -> Callable[[Record], str]:
    """What to call each of these records in a sentence: its case, and the beginning of its id where several have it.

    ``differing``: of the case only the model and what tells the cases apart, as below a table that says the rest.
    """
    cases = [identity_of(record) for record in records]
    parts = names_of_cases(cases, without=frozenset({"model"}), differing=True)
    whole = names_of_cases(cases)

    def case_name(case: CaseIdentity) -> str:
        return f"{case.model} {parts(case)}".strip() if differing else whole(case)

    count = Counter(map(case_name, cases))
    brief = brief_ids([record.id for record in records])

    def name(record: Record) -> str:
        called = case_name(identity_of(record))
        return called if count[called] < 2 else f"{called} {brief[record.id]}"

    return name


def _repeated(names: Sequence[object]) -> bool:
    return len(set(names)) < len(names)
