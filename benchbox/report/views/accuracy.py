"""How often is a network right in each precision, and do precisions differ on the same pictures?"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from benchbox.report.screen import lines_below, table_of
from benchbox.report.table import Column
from benchbox.schema.accuracy import AccuracyResult, Share
from benchbox.stats.paired import paired_difference
from benchbox.units import ABSENT, counted, format_percent

_LEGEND = "top-1, top-5: share of the pictures, with its 95 % interval (Wilson)"
_MOST_DECIMALS = 2


def render_accuracies(results: Sequence[AccuracyResult]) -> str:
    """A row for each result; below, every precision against the first, picture by picture."""
    pairs = [_paired_text(results[0], result) for result in results[1:]]
    table = table_of(_COLUMNS, results, remedy="a wider screen or --json shows all")
    return f"{table}\n\n{lines_below(*filter(None, pairs), _LEGEND)}"


def share_text(share: Share) -> str:
    """A share with its interval and the digits that this leaves known: "76.13 % (75.76 to 76.50 %)"."""
    digits = _decimals(share.high - share.low)
    low = format_percent(share.low, digits).removesuffix(" %")
    return f"{format_percent(share.value, digits)} ({low} to {format_percent(share.high, digits)})"


def _decimals(width: float) -> int:
    """Decimals of a percentage whose interval is this wide: two digits of the width are known."""
    return min(_MOST_DECIMALS, max(0, 1 - math.floor(math.log10(100 * width)))) if width > 0 else _MOST_DECIMALS


def _paired_text(first: AccuracyResult, result: AccuracyResult) -> str:
    """The difference on the same pictures; "" where they are not known to be the same."""
    if not first.right or not result.right or first.samples != result.samples:
        return ""
    found = paired_difference(first.right_pictures, result.right_pictures)
    digits = _decimals(found.high - found.low)
    difference, low, high = (
        format_percent(each, digits, signed=True).removesuffix(" %")
        for each in (found.difference, found.low, found.high)
    )
    return (
        f"{result.precision} against {first.precision} on the same {counted(result.samples, 'picture')}: {difference} "
        f"points of top-1 ({low} to {high}), McNemar p = {found.p_value:.2g}"
    )


def _column(title: str, text: Callable[[AccuracyResult], str], **kind: bool) -> Column[AccuracyResult]:
    return Column(title=title, cell=text, **kind)


_COLUMNS: tuple[Column[AccuracyResult], ...] = (
    _column("model", lambda result: result.model, once=True),
    _column("backend", lambda result: result.backend, once=True),
    _column("precision", lambda result: result.precision.value),
    _column("variant", lambda result: result.variant or ABSENT, optional=True, fold=True),
    _column("top-1", lambda result: share_text(result.top1), number=True),
    _column("top-5", lambda result: share_text(result.top5), number=True),
    _column("pictures", lambda result: str(result.samples), number=True),
)
