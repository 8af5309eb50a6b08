"""How are verdicts shown?"""

from __future__ import annotations

from collections.abc import Sequence

from benchbox.report.cases import columns_of_cases, names_of_cases
from benchbox.report.screen import table_of
from benchbox.report.table import Column
from benchbox.schema.verdict import Outcome, Verdict
from benchbox.store.documents import plain

_COLUMNS: tuple[Column[Verdict], ...] = (
    Column(title="metric", cell=lambda verdict: verdict.metric),
    Column(title="verdict", cell=lambda verdict: verdict.outcome.value),
    Column(
        title="head/base", cell=lambda verdict: "" if verdict.ratio is None else f"{verdict.ratio:.3f}", number=True
    ),
    Column(
        title="95 %",
        cell=lambda verdict: (
            "" if verdict.low is None or verdict.high is None else f"{verdict.low:.3f} to {verdict.high:.3f}"
        ),
        number=True,
    ),
    Column(
        title="MDE",
        rank=2,
        cell=lambda verdict: "" if verdict.mde is None else f"{100 * verdict.mde:.1f} %",
        number=True,
    ),
    Column(
        title="n",
        cell=lambda verdict: "" if verdict.ratio is None else f"{verdict.n_base}+{verdict.n_head}",
        number=True,
    ),
)
_WHY: Column[Verdict] = Column(title="why", cell=lambda verdict: verdict.reason)


def render_verdicts(verdicts: Sequence[Verdict], overall: Outcome, *, form: str) -> str:
    """The verdicts as a table ("table") or Markdown ("md"), why, and the one word for all of them."""
    naming: list[Column[Verdict]] = columns_of_cases([verdict.case for verdict in verdicts], lambda each: each.case)
    table = table_of([*naming, *_COLUMNS, *([_WHY] if form == "md" else [])], verdicts, form=form)
    why = "" if form == "md" else _reasons(verdicts)
    return (
        f"{table}\n\n{why}overall: {overall}\n"
        "head/base: Hodges-Lehmann ratio of process values. MDE: smallest change that they could detect with 80 % "
        "probability. n: processes of base + head (windows of energy). 'benchbox explain NAME' defines a word"
    )


def _reasons(verdicts: Sequence[Verdict]) -> str:
    """A line for each reason, with the cases that have it."""
    name = names_of_cases([verdict.case for verdict in verdicts])
    of_cases: dict[str, list[str]] = {}
    for verdict in verdicts:
        if verdict.reason:
            of_cases.setdefault(verdict.reason, []).append(f"{name(verdict.case)} {verdict.metric}")
    lines = [
        f"{named[0]}{f' and {len(named) - 1} more' if len(named) > 1 else ''}: {reason}"
        for reason, named in of_cases.items()
    ]
    return "\n".join(lines) + "\n\n" if lines else ""


def document_from_verdicts(verdicts: Sequence[Verdict], overall: Outcome) -> dict[str, object]:
    """The JSON document ``benchbox.compare/1``."""
    return {
        "schema": "benchbox.compare/1",
        "verdicts": [document_from_verdict(verdict) for verdict in verdicts],
        "outcome": overall.value,
    }


def document_from_verdict(verdict: Verdict) -> dict[str, object]:
    """One verdict of that document; its key is all that identifies the case."""
    document = plain(verdict)
    return {"key": document.pop("case"), **document}
