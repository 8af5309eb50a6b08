"""Why are verdicts what they are, in a few lines below their table?"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from benchbox.schema.verdict import Outcome, Verdict

MOST_REASONS = 5
# Begins the warnings in a verdict's reason.
_WARNINGS = "; warnings: "
_FIRST = (Outcome.SLOWER, Outcome.FAILED, Outcome.MISSING, Outcome.INCOMPARABLE, Outcome.FASTER, Outcome.INCONCLUSIVE)


def reasons_of(named: Sequence[tuple[str, Verdict]]) -> list[str]:
    """At most five reasons, the worst verdict's first, each with what it holds for; then the warnings, counted.

    Args:
        named: the verdicts, each with its name in a sentence.
    """
    of_cases: dict[str, list[str]] = {}
    for name, verdict in sorted(named, key=lambda entry: _place(entry[1])):
        if verdict.reason:
            of_cases.setdefault(_apart(verdict.reason)[0], []).append(name)
    lines = [
        f"{names[0]}{f' and {len(names) - 1} more' if len(names) > 1 else ''}: {reason}"
        for reason, names in of_cases.items()
    ]
    more = len(lines) - MOST_REASONS
    lines = lines[:MOST_REASONS] + ([f"more reasons: {more}, shown by --json"] if more > 0 else [])
    return [*lines, *_warnings([verdict for _, verdict in named])]


def _apart(reason: str) -> tuple[str, list[str]]:
    """A reason without the warnings in it, and their codes; what follows them belongs to the reason."""
    before, _, after = reason.partition(_WARNINGS)
    codes, _, rest = after.partition("; ")
    return (f"{before}; {rest}" if rest else before), [code for code in codes.split(", ") if code]


def _place(verdict: Verdict) -> tuple[int, float]:
    """Where a verdict stands: losses, then what could not be judged, then the rest; larger changes first."""
    rank = _FIRST.index(verdict.outcome) if verdict.outcome in _FIRST else len(_FIRST)
    return rank, -abs(math.log(verdict.ratio)) if verdict.ratio else 0.0


def _warnings(verdicts: Sequence[Verdict]) -> list[str]:
    """Which warnings either side has, with how many of the verdicts they are about."""
    counts = Counter(code for verdict in verdicts for code in dict.fromkeys(_apart(verdict.reason)[1]))
    if not counts:
        return []
    texts = [
        code if count == len(verdicts) else f"{code} (in {count} of {len(verdicts)} rows)"
        for code, count in counts.most_common()
    ]
    return [f"warnings about either side: {', '.join(texts)}"]
