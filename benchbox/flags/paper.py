"""Is a network's analytical cost known, all of it?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchbox.schema.reading import Flag, Severity

ABSENT, PARTIAL, CONSTANT = "COST_ABSENT", "COST_PARTIAL", "OUTPUTS_CONSTANT"
_NAMED = 5


def flag_of_absent_cost(reason: str) -> Flag:
    """The cost cannot be counted; what was measured stands without it."""
    return Flag(
        code=ABSENT,
        severity=Severity.INFO,
        message=f"the analytical cost is not known: {reason}; the numbers that were measured stand without it",
    )


def flag_of_constants() -> Flag:
    """Nothing of the network depends on an input: an inference may compute nothing."""
    return Flag(
        code=CONSTANT,
        severity=Severity.WARNING,
        message="no output depends on an input or on a random number: a runtime may compute them once, when it loads "
        "the file; what is timed then is a call that hands out what it has",
    )


def flags_of_uncounted(nodes: Sequence[str], unsized: Sequence[str] = ()) -> Iterator[Flag]:
    """What of the cost is not known: the totals are a lower bound then.

    Args:
        nodes: without a rule, or behind sizes that depend on data: they count as zero, and no FLOP/s follow.
        unsized: nodes that make the first tensors whose sizes depend on data; activations there count as empty.
    """
    since = f"sizes depend on data since {_named(unsized)}" if unsized else ""
    if nodes:
        yield Flag(
            code=PARTIAL,
            severity=Severity.WARNING,
            message=f"the analytical cost is a lower bound: it is not known for {_named(nodes)}"
            + (f"; {since}" if since else ""),
            size=len(nodes),
        )
    elif unsized:
        yield Flag(
            code=PARTIAL,
            severity=Severity.INFO,
            message=f"{since}: all operations are counted, but the bytes of activations there are not",
            size=len(unsized),
        )


def _named(nodes: Sequence[str]) -> str:
    rest = len(nodes) - _NAMED
    return ", ".join(nodes[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")
