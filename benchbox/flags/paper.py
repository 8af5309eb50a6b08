"""Is a network's analytical cost known, all of it?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchbox.schema.reading import Flag, Severity

ABSENT, PARTIAL = "COST_ABSENT", "COST_PARTIAL"
_NAMED = 5


def flag_of_absent_cost(reason: str) -> Flag:
    """The cost cannot be counted; what was measured stands without it."""
    return Flag(
        code=ABSENT,
        severity=Severity.INFO,
        message=f"the analytical cost is not known: {reason}; the numbers that were measured stand without it",
    )


def flags_of_uncounted(nodes: Sequence[str]) -> Iterator[Flag]:
    """Nodes whose cost is not known count as zero: the totals are a lower bound, and no FLOP/s follow from them."""
    if nodes:
        rest = len(nodes) - _NAMED
        named = ", ".join(nodes[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")
        yield Flag(
            code=PARTIAL,
            severity=Severity.WARNING,
            message=f"the analytical cost is a lower bound: there is no rule for {named}",
            size=len(nodes),
        )
