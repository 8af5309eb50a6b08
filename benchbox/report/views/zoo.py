"""How is the zoo listed?"""

from __future__ import annotations

import re
from collections.abc import Sequence

from benchbox.report.screen import lines_below, table_of
from benchbox.report.table import Column
from benchbox.schema.model import ModelSpec
from benchbox.store.documents import plain
from benchbox.units import format_bytes, format_count, format_percent

_COLUMNS: tuple[Column[ModelSpec], ...] = (
    Column(title="model", cell=lambda spec: spec.name),
    Column(title="input", cell=lambda spec: "x".join(map(str, spec.input_shape))),
    Column(title="params", cell=lambda spec: format_count(spec.params), number=True),
    Column(title="MACs", cell=lambda spec: format_count(spec.macs), number=True),
    Column(title="activations", rank=2, cell=lambda spec: format_bytes(spec.activation_bytes), number=True),
    Column(title="top-1", cell=lambda spec: _percent(spec.accuracy.top1 if spec.accuracy else None), number=True),
    Column(
        title="top-5", rank=3, cell=lambda spec: _percent(spec.accuracy.top5 if spec.accuracy else None), number=True
    ),
    Column(title="form", fold=True, cell=lambda spec: _form(spec)),
    Column(title="paper", rank=4, cell=lambda spec: spec.paper),
)
# The beginning of a reference, "He et al. 2015", and what it says of the network after the title.
_REFERENCE = re.compile(r"^(?P<who>.+? (?:19|20)\d\d), .*?(?P<form>, configuration [A-Z])?$")

_REMEDY = "a wider screen or --json shows all"


def _form(spec: ModelSpec) -> str:
    """Authors, year and what tells the network from others of the paper; the whole reference has its own column."""
    found = _REFERENCE.match(spec.paper)
    if found is None:
        return "; ".join(filter(None, (spec.paper, spec.note)))
    form = (found["form"] or "").replace("configuration", "config.")
    return "; ".join(filter(None, (found["who"] + form, spec.note)))


def render_specs(specs: Sequence[ModelSpec]) -> str:
    """A table of the networks' facts."""
    legend = (
        "MACs and activations (all that operators write, in fp32) are of one sample. top-1, top-5: published ImageNet "
        "accuracy, single crop."
    )
    return f"{table_of(_COLUMNS, specs, remedy=_REMEDY)}\n\n{lines_below(legend)}"


def document_from_specs(specs: Sequence[ModelSpec]) -> dict[str, object]:
    """The JSON document ``benchbox.models/1``; accuracies are ratios."""
    return {"schema": "benchbox.models/1", "models": plain(specs)}


def _percent(ratio: float | None) -> str:
    return format_percent(ratio, 2)
