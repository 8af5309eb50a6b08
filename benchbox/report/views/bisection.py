"""Which layers of a network lose its accuracy in a precision, and which need to be excluded?"""

from __future__ import annotations

from collections.abc import Sequence

from benchbox.report.screen import lines_below, table_of
from benchbox.report.table import Column
from benchbox.schema.accuracy import Bisection, LayerError
from benchbox.schema.artifact import Hop
from benchbox.units import counted

_LEGEND = (
    "relative L2 errors against fp32: read is that of the worst tensor that the layer reads, written that of what it "
    "writes, added what it adds, the largest first"
)


def render_bisection(found: Bisection, *, shown: int, arguments: Sequence[str]) -> str:
    """Whether the outputs are within tolerance, the layers by the error that they add, and what to exclude.

    Args:
        found: the layers, and what restores the tolerance.
        shown: how many layers there is room for.
        arguments: of ``benchbox export`` that exclude the layers that were found; they are the last line.
    """
    verdict = "within" if found.before.passed else "beyond"
    table = table_of(_COLUMNS, found.layers[:shown], remedy="a wider screen or --json shows all")
    more = f"{shown} of {len(found.layers)} layers shown (--top)" if shown < len(found.layers) else ""
    parts = [
        lines_below(
            f"{found.model} {found.precision} against fp32: {_errors(found.before)}: {verdict} tolerance "
            f"({_limit(found)})"
        ),
        table,
        lines_below(more, _LEGEND),
        "nothing needs to be excluded" if found.before.passed else _remedy(found, arguments),
    ]
    return "\n\n".join(parts)


def _remedy(found: Bisection, arguments: Sequence[str]) -> str:
    text = (
        f"with {counted(len(found.exclude), 'layer')} excluded: {_errors(found.restored)} "
        f"({counted(found.conversions, 'graph')} converted and run):"
    )
    return f"{lines_below(text)}\n  {' '.join(arguments)}"


def _errors(hop: Hop) -> str:
    return f"relative L2 {hop.rel_l2_error:.3g}, cosine {hop.cosine:.6f}"


def _limit(found: Bisection) -> str:
    cosine = f", cosine {found.cosine_tolerance:g}" if found.cosine_tolerance > -1 else ""
    return f"relative L2 {found.rel_l2_tolerance:g}{cosine}"


_COLUMNS: tuple[Column[LayerError], ...] = (
    Column(title="layer", cell=lambda layer: layer.node, fold=True),
    Column(title="op", cell=lambda layer: layer.op),
    Column(title="added", cell=lambda layer: f"{layer.added:.1e}", number=True),
    Column(title="read", cell=lambda layer: f"{layer.before:.1e}", number=True),
    Column(title="written", cell=lambda layer: f"{layer.after:.1e}", number=True),
)
