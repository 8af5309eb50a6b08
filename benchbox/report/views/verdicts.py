"""How are verdicts shown?"""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchbox.metrics.metric import METRICS
from benchbox.report.cases import columns_of_cases, names_of_cases
from benchbox.report.screen import lines_below, table_of
from benchbox.report.table import Column, Row, comment_table, csv_text, folded_away
from benchbox.report.views.reasons import reasons_of
from benchbox.schema.identity import CaseIdentity
from benchbox.schema.verdict import Outcome, Verdict
from benchbox.store.documents import plain
from benchbox.units import ABSENT, counted, format_percent


def _columns(title: str, of: Callable[[Row], Verdict], *, sides: tuple[str, str]) -> list[Column[Row]]:
    """What a verdict says, with the ratio under this title, and what the sides are called."""

    def column(
        title: str, text: Callable[[Verdict], str], *, number: bool = False, rank: int = 0, once: bool = False
    ) -> Column[Row]:
        optional = title in _OPTIONAL
        return Column(
            title=title, cell=lambda row: text(of(row)), number=number, rank=rank, optional=optional, once=once
        )

    return [
        column("metric", lambda verdict: verdict.metric, once=True),
        column("verdict", outcome_text),
        column(title, lambda verdict: "" if verdict.ratio is None else f"{verdict.ratio:.3f}", number=True),
        column("95 %", _interval, number=True),
        column(
            "MDE", lambda verdict: "" if verdict.mde is None else format_percent(verdict.mde, 1), number=True, rank=4
        ),
        column("n", _counts, number=True, rank=1),
        column(f"{sides[0]} id", lambda verdict: _id_text(verdict.base_records), rank=3),
        column(f"{sides[1]} id", lambda verdict: _id_text(verdict.head_records), rank=2),
    ]


def outcome_text(verdict: Verdict) -> str:
    """The verdict in the words of its metric: memory and energy are less or more, not faster or slower."""
    if METRICS.get(verdict.metric).unit in _OF_SPEED or verdict.outcome not in _LESS:
        return verdict.outcome.value
    return _LESS[verdict.outcome]


def _interval(verdict: Verdict) -> str:
    return "" if verdict.low is None or verdict.high is None else f"{verdict.low:.3f} to {verdict.high:.3f}"


def _counts(verdict: Verdict) -> str:
    return "" if verdict.ratio is None else f"{verdict.n_base}+{verdict.n_head}"


_SIDES, _LETTERED, _MORE = ("base", "head"), ("A", "B"), ("A", "side")
_OPTIONAL = frozenset(f"{side} id" for side in (*_SIDES, *_LETTERED, *_MORE))
# What is faster or slower by name; of everything else less is better.
_OF_SPEED = frozenset({"s", "1/s"})
_LESS = {Outcome.FASTER: "less", Outcome.SLOWER: "more"}
_IDS_SHOWN = 2
_REMEDY = "a wider screen or --json shows all"
_LEGEND = (
    "head/base: median ratio of process values (Hodges-Lehmann). MDE: smallest change that they could detect with 80 % "
    "probability. n: processes of base + head (windows of energy). 'benchbox explain NAME' defines a word"
)
_LEGEND_OF_SIDES = (
    "B/A: median ratio of B to A over processes (Hodges-Lehmann); below 1: B has less. n: processes of A + B. "
    "'benchbox explain NAME' defines a word"
)
_LEGEND_OF_MORE = (
    "ratio to A: median ratio of the side to A over processes (Hodges-Lehmann); below 1: it has less. n: processes of "
    "A + of the side. 'benchbox explain NAME' defines a word"
)
_LONGEST_LABEL, _LETTERS = 24, 26
# Conclusions of more pairs than this are counted.
_MOST_CONCLUSIONS = 12
# Fields of a case by the titles of their columns.
_TITLES = {"network": ("onnx_sha256",), "mode": ("mode", "group", "streams", "rate_per_s", "latency_bound_s", "like")}


def render_verdicts(verdicts: Sequence[Verdict], overall: Outcome, *, form: str, machines: Sequence[str] = ()) -> str:
    """The verdicts as a table, why, and the one word for all of them.

    Args:
        verdicts: to show.
        overall: the one word.
        form: "table", "csv", or "md", for a comment: at most nine columns, and the reasons folded away.
        machines: on which machines the records were measured, a line each.
    """
    if form == "csv":
        return csv_text([_line(verdict) for verdict in verdicts], empty=("model", "metric", "outcome"))
    if any(verdict.base_case is not None for verdict in verdicts):
        labels = _labels(verdicts)
        return render_sides(verdicts, labels, overall, form=form, machines=machines)
    naming: list[Column[Verdict]] = columns_of_cases([verdict.case for verdict in verdicts], lambda each: each.case)
    columns = [*naming, *_columns("head/base", lambda verdict: verdict, sides=_SIDES)]
    name = names_of_cases([verdict.case for verdict in verdicts], without=frozenset({"model"}), differing=True)
    named = [
        (" ".join(filter(None, (verdict.case.model, name(verdict.case), verdict.metric))), verdict)
        for verdict in verdicts
    ]
    word = f"overall: {overall}"
    below = _Below(named=named, overall=[word], legend=_LEGEND, sides=_SIDES, machines=machines)
    return below.joined(_table(columns, verdicts, form=form), form=form)


def _table(columns: Sequence[Column[Row]], rows: Sequence[Row], *, form: str) -> str:
    if form == "md":  # ids are below, with the reasons
        shown = [column for column in columns if column.title not in _OPTIONAL]
        return comment_table(shown, rows, remedy="--format csv shows all")
    return table_of(columns, rows, remedy=_REMEDY)


@dataclass(frozen=True, kw_only=True)
class _Below:
    """What stands below a table: why, the ids of what was compared, what came out, what the columns mean."""

    named: Sequence[tuple[str, Verdict]]
    overall: Sequence[str]
    legend: str
    sides: tuple[str, str]
    machines: Sequence[str]

    def joined(self, table: str, *, form: str) -> str:
        """The table with all of it."""
        why, records = reasons_of(self.named), _records([verdict for _, verdict in self.named], self.sides)
        if form == "md":
            told = folded_away("why, and which records", list(filter(None, (*why, records, self.legend))))
            return "\n\n".join([table, *self.overall, *self.machines, told])
        below = lines_below(records, *self.overall, *self.machines, self.legend)
        return "\n\n".join(filter(None, (table, lines_below(*why), below)))


@dataclass(frozen=True)
class _Sided:
    """A verdict and what its sides are called."""

    verdict: Verdict
    first: str
    second: str

    def name(self, case: str) -> str:
        """What was compared, with what tells its case from the others."""
        return f"{case}{', ' if case else ''}{self.second} against {self.first}"


def render_sides(
    verdicts: Sequence[Verdict],
    labels: Sequence[tuple[str, str]],
    overall: Outcome,
    *,
    form: str,
    machines: Sequence[str] = (),
) -> str:
    """Verdicts about different sides, named in every row; where several are compared with one A, that is named once.

    Args:
        verdicts: of B against A.
        labels: what A and B of each verdict are called.
        overall: the one word for all of them, for many pairs.
        form: "table" or "md".
        machines: as ``render_verdicts`` takes them.
    """
    cases = [verdict.case for verdict in verdicts]
    told = {title for verdict in verdicts for title in _apart(verdict)}
    letters = _letters(labels)
    rows = [
        _Sided(verdict, *(letters.get(name, name) for name in names))
        for verdict, names in zip(verdicts, labels, strict=True)
    ]
    naming: list[Column[_Sided]] = columns_of_cases(cases, lambda row: row.verdict.case)
    naming = [column for column in naming if column.title != "network"]
    if _alike([column for column in naming if column.title not in told], rows):
        # 1 thread against 1, and 2 against 2, beside pairs that differ in them
        shared = {title for title in told for each in verdicts if each.ratio is not None and title not in _apart(each)}
        naming = [_where_shared(column) if column.title in shared else column for column in naming]
        told -= shared
    naming = [column for column in naming if column.title not in told]
    first = _common_first(labels)
    sides = _MORE if first else _LETTERED
    columns = [
        *naming,
        *([] if first else [Column[_Sided](title="A", cell=lambda row: row.first, fold=True)]),
        Column[_Sided](title=sides[1], cell=lambda row: row.second, fold=True),
        *_columns("ratio to A" if first else "B/A", lambda row: row.verdict, sides=sides),
    ]
    if len({verdict.base_records for verdict in verdicts}) == 1:
        columns = [column for column in columns if not first or column.title != "A id"]
    names = [f"{letter}: {name}" for name, letter in letters.items()]
    names = names or ([f"A, with which every side is compared: {first}"] if first else [])
    # A line right below a table of Markdown would be a row of it.
    apart = "\n\n" if form == "md" else "\n"
    table = apart.join([_table(columns, rows, form=form), *names])

    @functools.cache
    def name_without(titles: frozenset[str]) -> Callable[[CaseIdentity], str]:
        return names_of_cases(cases, without=titles, differing=True)

    full = [row.name(name_without(frozenset(told | _apart(row.verdict)))(row.verdict.case)) for row in rows]
    below = _Below(
        named=[(f"{text} {verdict.metric}", verdict) for text, verdict in zip(full, verdicts, strict=True)],
        overall=_conclusions(list(zip(full, verdicts, strict=True)), overall),
        legend=_LEGEND_OF_MORE if first else _LEGEND_OF_SIDES,
        sides=("A", "the others") if first else sides,
        machines=machines,
    )
    return below.joined(table, form=form)


def _alike(naming: Sequence[Column[_Sided]], rows: Sequence[_Sided]) -> bool:
    """Whether these columns leave two rows of compared sides with the same names."""
    named = [
        (*(column.cell(row) for column in naming), row.first, row.second, row.verdict.metric)
        for row in rows
        if row.verdict.ratio is not None
    ]
    return len(set(named)) < len(named)


def _where_shared(column: Column[_Sided]) -> Column[_Sided]:
    """The column with a dash in the rows whose sides differ in it: there the sides say it."""

    def cell(row: _Sided) -> str:
        return ABSENT if column.title in _apart(row.verdict) else column.cell(row)

    return dataclasses.replace(column, cell=cell)


def _common_first(labels: Sequence[tuple[str, str]]) -> str:
    """What A is called where several sides are compared with one, else ""."""
    firsts, seconds = {first for first, _ in labels}, {second for _, second in labels}
    return "".join(firsts) if len(firsts) == 1 and ABSENT not in firsts and len(seconds - {ABSENT}) > 1 else ""


def _conclusions(named: Sequence[tuple[str, Verdict]], overall: Outcome) -> list[str]:
    """What came out for each pair, in which metrics; how often, where there are many pairs or one metric.

    Args:
        named: the verdicts, each with the name of its pair.
        overall: the one word for all of them.
    """
    if len(named) == 1:
        return [f"overall: {overall}"]
    pairs: dict[str, dict[str, list[str]]] = {}
    for name, verdict in named:
        pairs.setdefault(name, {}).setdefault(outcome_text(verdict), []).append(verdict.metric)
    comparable = {name: outcomes for name, outcomes in pairs.items() if {*outcomes} != {Outcome.INCOMPARABLE.value}}
    if len(comparable) > _MOST_CONCLUSIONS or len(pairs) == len(named) or not comparable:
        counts = Counter(outcome_text(verdict) for _, verdict in named)
        return [f"overall: {', '.join(f'{count} {word}' for word, count in counts.most_common())}"]
    lines = []
    for name, outcomes in comparable.items():
        told = [word if len(outcomes) == 1 else f"{word} in {', '.join(found)}" for word, found in outcomes.items()]
        lines.append(f"{'overall' if len(pairs) == 1 else name}: {'; '.join(told)}")
    left = len(pairs) - len(comparable)
    return [*lines, *([f"incomparable: {counted(left, 'other pair')}"] if left else [])]


def _letters(labels: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Letters for sides whose names are too long for a column, none where all are short."""
    names = list(dict.fromkeys(name for both in zip(*labels, strict=True) for name in both))
    if all(len(name) <= _LONGEST_LABEL for name in names):
        return {}
    return {name: chr(ord("A") + place) if place < _LETTERS else f"B{place}" for place, name in enumerate(names)}


def _labels(verdicts: Sequence[Verdict]) -> list[tuple[str, str]]:
    """What the sides of each verdict are called; a side that there is not is a dash beside the fields of the others."""
    fields = [name for each in verdicts if each.base_case for name in each.base_case.differences(each.case)]
    fields = [name for name in dict.fromkeys(fields) if name != "onnx_sha256"]
    found = []
    for verdict in verdicts:
        if verdict.base_records and verdict.head_records:
            found.append(labels_of(verdict.base_case or verdict.case, verdict.case))
            continue
        only = ", ".join(_field_text(verdict.case, name) for name in fields) or verdict.case.model
        found.append((only, ABSENT) if verdict.base_records else (ABSENT, only))
    return found


def labels_of(base: CaseIdentity, head: CaseIdentity) -> tuple[str, str]:
    """What two cases are called beside each other: the fields in which they differ."""
    names = [name for name in base.differences(head) if name != "onnx_sha256" or base.model == head.model]
    names = [name for name in names if name != "onnx_sha256" or len(names) == 1] or ["model"]
    first, second = (", ".join(_field_text(case, name) for name in names) for case in (base, head))
    return first, second


def _field_text(case: CaseIdentity, name: str) -> str:
    value = getattr(case, name)
    if name in {"model", "backend", "precision"}:
        return str(value)
    return f"{name} {str(value)[:8] if name == 'onnx_sha256' else value if value not in (None, '') else 'none'}"


def _apart(verdict: Verdict) -> set[str]:
    """Titles of the columns that name a case in which the two cases of a verdict differ."""
    fields = set((verdict.base_case or verdict.case).differences(verdict.case))
    titles = {title for title, names in _TITLES.items() if fields & set(names)}
    return titles | fields


def _id_text(ids: Sequence[str]) -> str:
    """The newest of the records, and how many more there are."""
    return "" if not ids else max(ids) + (f" +{len(ids) - 1}" if len(ids) > 1 else "")


def _records(verdicts: Sequence[Verdict], names: tuple[str, str]) -> str:
    """The ids of what was compared, which begin with its time."""
    sides = [
        sorted({name for verdict in verdicts for name in verdict.base_records}),
        sorted({name for verdict in verdicts for name in verdict.head_records}),
    ]
    if not any(sides):
        return ""
    more = [f" and {len(side) - _IDS_SHOWN} more" if len(side) > _IDS_SHOWN else "" for side in sides]
    texts = [", ".join(side[-_IDS_SHOWN:]) + left for side, left in zip(sides, more, strict=True)]
    return f"records of {names[0]}: {texts[0] or 'none'}; of {names[1]}: {texts[1] or 'none'}"


def document_from_verdicts(verdicts: Sequence[Verdict], overall: Outcome) -> dict[str, object]:
    """The JSON document ``benchbox.compare/1``."""
    return {
        "schema": "benchbox.compare/1",
        "verdicts": [document_from_verdict(verdict) for verdict in verdicts],
        "outcome": overall.value,
    }


def document_from_verdict(verdict: Verdict) -> dict[str, object]:
    """One verdict of that document; its keys are all that identifies the cases, ``base_key`` null for equal ones."""
    document = plain(verdict)
    return {"key": document.pop("case"), "base_key": document.pop("base_case"), **document}


def _line(verdict: Verdict) -> dict[str, object]:
    """One verdict as a line of CSV: its case, in which fields the base's differs, and what came out."""
    document = plain(verdict)
    case, base = document.pop("case"), document.pop("base_case")
    against = labels_of(verdict.base_case, verdict.case)[0] if base is not None and verdict.base_case else ""
    return {**case, "base": against, **document}
