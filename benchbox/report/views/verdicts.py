"""How are verdicts shown?"""

from __future__ import annotations

from collections.abc import Sequence

from benchbox.report.table import Column, markdown_table, text_table
from benchbox.schema.verdict import Outcome, Verdict

_COLUMNS = (
    Column(title="model"),
    Column(title="backend"),
    Column(title="precision"),
    Column(title="batch", number=True),
    Column(title="metric"),
    Column(title="verdict"),
    Column(title="head/base", number=True),
    Column(title="95 %", number=True),
    Column(title="shows", number=True),
    Column(title="n", number=True),
    Column(title="why"),
)


def render_verdicts(verdicts: Sequence[Verdict], overall: Outcome, *, form: str) -> str:
    """The verdicts as a table ("table") or Markdown ("md"), and the one word for all of them."""
    table = (markdown_table if form == "md" else text_table)(_COLUMNS, [_texts(verdict) for verdict in verdicts])
    return (
        f"{table}\n\noverall: {overall}\n"
        "head/base is the Hodges-Lehmann ratio of process values; shows is the least change that they would show with "
        "80 % probability; see docs/metrics.md"
    )


def document_from_verdicts(verdicts: Sequence[Verdict], overall: Outcome) -> dict[str, object]:
    """The JSON document ``benchbox.compare/1``."""
    return {
        "schema": "benchbox.compare/1",
        "verdicts": [document_from_verdict(verdict) for verdict in verdicts],
        "outcome": overall.value,
    }


def document_from_verdict(verdict: Verdict) -> dict[str, object]:
    """One verdict of that document."""
    key = verdict.key
    return {
        "key": {
            "model": key.model,
            "backend": key.backend,
            "precision": key.precision.value,
            "batch": key.batch,
            "mode": key.mode.value,
            "device": key.device,
        },
        "metric": verdict.metric,
        "outcome": verdict.outcome.value,
        "ratio": verdict.ratio,
        "low": verdict.low,
        "high": verdict.high,
        "mde": verdict.mde,
        "n_base": verdict.n_base,
        "n_head": verdict.n_head,
        "reason": verdict.reason,
    }


def _texts(verdict: Verdict) -> tuple[str, ...]:
    key = verdict.key
    return (
        key.model,
        key.backend,
        key.precision.value,
        str(key.batch),
        verdict.metric,
        verdict.outcome.value,
        "" if verdict.ratio is None else f"{verdict.ratio:.3f}",
        "" if verdict.low is None or verdict.high is None else f"{verdict.low:.3f} to {verdict.high:.3f}",
        "" if verdict.mde is None else f"{100 * verdict.mde:.1f} %",
        f"{verdict.n_base}+{verdict.n_head}" if verdict.ratio is not None else "",
        verdict.reason,
    )
