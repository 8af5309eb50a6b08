"""Which file did a network become, and how far is each form of it from the one before?"""

from __future__ import annotations

import textwrap

from benchbox.report.screen import set_back, table_of
from benchbox.report.table import Column
from benchbox.schema.artifact import Hop, OnnxArtifact
from benchbox.units import counted, format_bytes, format_percent


def render_artifact(artifact: OnnxArtifact, path: str) -> str:
    """The file, its conversion steps as a table, how a calibrated one was made, and warnings.

    Args:
        artifact: that was exported.
        path: of its file; it is never broken.
    """
    lines = [
        f"{artifact.model} {artifact.precision}",
        f"  file    {path}",
        f"          {format_bytes(artifact.size_bytes)}, opset {artifact.opset}",
        f"  sha256  {artifact.sha256}",
        set_back(_judgement(artifact)),
    ]
    if artifact.hops:
        lines.append(textwrap.indent(table_of(_COLUMNS, artifact.hops, remedy="--json shows all"), "  "))
    made = artifact.quantization
    if made is not None:
        lines.append(
            set_back(
                f"{made.quantized} of {made.quantizable} convolutions and matrix products in {artifact.precision}, "
                f"the rest in {made.fallback}; {made.method} over {counted(made.samples, 'sample')}: {made.data}"
            )
        )
    lines += [set_back(f"warning: {warning}") for warning in artifact.warnings]
    return "\n".join(lines)


def _judgement(artifact: OnnxArtifact) -> str:
    if artifact.unchecked:
        return f"UNCHECKED: {artifact.unchecked}"
    return f"checked by {artifact.evaluator} against {artifact.expected_by}"


def _agreement(hop: Hop) -> str:
    return format_percent(hop.top1_agreement)


_COLUMNS: tuple[Column[Hop], ...] = (
    Column(title="conversion step", cell=lambda hop: f"{hop.source} -> {hop.target}"),
    Column(title="max abs error", cell=lambda hop: f"{hop.max_abs_error:.2e}", number=True),
    Column(title="relative L2", cell=lambda hop: f"{hop.rel_l2_error:.2e}", number=True),
    Column(title="cosine", cell=lambda hop: f"{hop.cosine:.8f}", number=True),
    Column(title="top-1 agreement", cell=_agreement, number=True, optional=True, rank=1),
)
