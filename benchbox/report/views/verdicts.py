"""How are verdicts shown?"""

from __future__ import annotations

from collections.abc import Sequence

from benchbox.report.cases import columns_of_cases
from benchbox.report.table import Column, table_of
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
    Column(title="MDE", cell=lambda verdict: "" if verdict.mde is None else f"{100 * verdict.mde:.1f} %", number=True),
    Column(
        title="n",
        cell=lambda verdict: "" if verdict.ratio is None else f"{verdict.n_base}+{verdict.n_head}",
        number=True,
    ),
    Column(title="why", cell=lambda verdict: verdict.reason),
)


def render_verdicts(verdicts: Sequence[Verdict], overall: Outcome, *, form: str) -> str:
    """The verdicts as a table ("table") or Markdown ("md"), and the one word for all of them."""
    naming: list[Column[Verdict]] = columns_of_cases([verdict.case for verdict in verdicts], lambda each: each.case)
    return (
        f"{table_of([*naming, *_COLUMNS], verdicts, form=form)}\n\noverall: {overall}\n"
        "head/base: Hodges-Lehmann ratio of process values. MDE: smallest change that they could detect with 80 % "
        "probability. n: processes of base + head (windows of energy). Definitions: docs/metrics.md"
    )


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
