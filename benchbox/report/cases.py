"""What tells the rows of a table apart: which columns name a case, and how is it called in a sentence?"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from benchbox.report.table import Column, Row
from benchbox.schema.identity import CaseIdentity
from benchbox.schema.plan import TRANSFER_RESIDENT, WAIT_SPIN, Mode
from benchbox.units import ABSENT, format_time

_SHA_SHOWN = 8


def columns_of_cases(
    cases: Sequence[CaseIdentity], of: Callable[[Row], CaseIdentity], *, always: frozenset[str] = frozenset()
) -> list[Column[Row]]:
    """The columns that name the case of a row: model, backend, precision, batch, and what else tells these cases apart.

    Args:
        cases: of all rows: variant, mode, transfers and waiting are shown where one is unusual, threads and the
            network's sha256 where they differ.
        of: the case of a row.
        always: titles of columns that are shown in any case.
    """

    def column(title: str, cell: Callable[[CaseIdentity], str], *, number: bool = False) -> Column[Row]:
        optional, once, fold = title in _OPTIONAL, title not in _NAMES, title in _LONG
        return Column(
            title=title, cell=lambda row: cell(of(row)), number=number, optional=optional, once=once, fold=fold
        )

    left_out = {"threads"} if len({case.threads for case in cases}) < 2 else set()
    left_out |= set() if ambiguous_models(cases) else {"network"}
    shown = [entry for entry in _COLUMNS if entry[0] not in left_out - always]
    return [column(title, cell, number=number) for title, cell, number in shown]


def names_of_cases(
    cases: Sequence[CaseIdentity], *, without: frozenset[str] = frozenset(), differing: bool = False
) -> Callable[[CaseIdentity], str]:
    """What to call each of these cases in a sentence: "lenet5 onnxruntime int8 batch 1 server(100/s)".

    Args:
        cases: that are named.
        without: titles of columns that are said elsewhere.
        differing: whether to say only what tells the cases apart; nothing where there is one.
    """
    columns = [column for column in columns_of_cases(cases, lambda case: case) if column.title not in without]
    if differing:
        columns = [column for column in columns if len({column.cell(case) for case in cases}) > 1]

    def name(case: CaseIdentity) -> str:
        titled = {"batch": "batch ", "threads": "threads ", "network": "network "}
        texts = [(column.title, column.cell(case)) for column in columns]
        return " ".join(titled.get(title, "") + text for title, text in texts if text not in {"", ABSENT})

    return name


def mode_text(case: CaseIdentity) -> str:
    """How requests are issued, with the sizes of the mode; a dash for the usual way, one at a time."""
    if case.like:
        return f"like {case.like}"
    if case.mode is Mode.ISOLATED:
        return ABSENT
    sizes = []
    if case.mode is Mode.SERVER:
        sizes = [f"{case.rate_per_s or 0:g}/s"]
        sizes += [f"bound {format_time(case.latency_bound_s)}"] if case.latency_bound_s is not None else []
        sizes += [f"{case.streams} streams"] if case.streams != 1 else []
    elif size := case.group or case.streams:
        sizes = [str(size)]
    return f"{case.mode}({', '.join(sizes)})" if sizes else str(case.mode)


def ambiguous_models(cases: Sequence[CaseIdentity]) -> frozenset[str]:
    """Names that stand for several networks, precision and backend being equal."""
    networks: dict[tuple[str, ...], set[str]] = {}
    for case in cases:
        if case.network is not None:
            alike = (case.model, case.backend, case.precision.value, case.variant)
            networks.setdefault(alike, set()).add(case.network)
    return frozenset(model for (model, *_), found in networks.items() if len(found) > 1)


_COLUMNS: tuple[tuple[str, Callable[[CaseIdentity], str], bool], ...] = (
    ("model", lambda case: case.model, False),
    ("network", lambda case: (case.network or ABSENT)[:_SHA_SHOWN], False),
    ("backend", lambda case: case.backend, False),
    ("precision", lambda case: case.precision.value, False),
    ("variant", lambda case: case.variant or ABSENT, False),
    ("batch", lambda case: str(case.batch), True),
    ("mode", mode_text, False),
    ("threads", lambda case: str(case.threads), True),
    ("transfer", lambda case: ABSENT if case.transfer == TRANSFER_RESIDENT else case.transfer, False),
    ("wait", lambda case: ABSENT if case.wait in {None, WAIT_SPIN} else str(case.wait), False),
)
# May take several lines where the screen is narrow.
_LONG = frozenset({"variant", "mode"})
_OPTIONAL = frozenset({"variant", "mode", "transfer", "wait"})
_NAMES = frozenset({"model", "network"})  # a row without them would have no name
