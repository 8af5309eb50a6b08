"""How is the zoo listed?"""

from __future__ import annotations

from collections.abc import Sequence

from benchbox.report.table import Column, text_table
from benchbox.schema.model import ModelSpec
from benchbox.units import ABSENT, format_bytes, format_count

_COLUMNS = (
    Column(title="model"),
    Column(title="input"),
    Column(title="params", number=True),
    Column(title="MACs", number=True),
    Column(title="activations", number=True),
    Column(title="top-1", number=True),
    Column(title="top-5", number=True),
    Column(title="paper"),
)


def render_specs(specs: Sequence[ModelSpec]) -> str:
    """A table of the networks' facts."""
    rows = [
        (
            spec.name,
            "x".join(map(str, spec.input_shape)),
            format_count(spec.params),
            format_count(spec.macs),
            format_bytes(spec.activation_bytes),
            _percent(spec.accuracy.top1 if spec.accuracy else None),
            _percent(spec.accuracy.top5 if spec.accuracy else None),
            spec.paper + (f"; {spec.note}" if spec.note else ""),
        )
        for spec in specs
    ]
    legend = (
        "MACs and activations (everything that operators write, fp32): one sample. top-1, top-5: published ImageNet "
        "accuracy, one crop."
    )
    return f"{text_table(_COLUMNS, rows)}\n\n{legend}"


def document_from_specs(specs: Sequence[ModelSpec]) -> dict[str, object]:
    """The JSON document ``benchbox.models/1``; accuracies are ratios."""
    return {
        "schema": "benchbox.models/1",
        "models": [
            {
                "name": spec.name,
                "family": spec.family,
                "input_shape": list(spec.input_shape),
                "num_classes": spec.num_classes,
                "params": spec.params,
                "macs": spec.macs,
                "activation_bytes": spec.activation_bytes,
                "paper": spec.paper,
                "note": spec.note,
                "accuracy": None
                if spec.accuracy is None
                else {"top1": spec.accuracy.top1, "top5": spec.accuracy.top5, "source": spec.accuracy.source},
            }
            for spec in specs
        ],
    }


def _percent(ratio: float | None) -> str:
    return ABSENT if ratio is None else f"{100 * ratio:.2f} %"
