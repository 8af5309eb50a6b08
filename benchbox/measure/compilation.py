"""Was anything compiled while inferences were timed?

Compilers that work at the first call do so again when what they had assumed no longer holds. A sample in which that
happens is no inference, and those before and after it may be of different code.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from benchbox.backends.base import CompilingSession
from benchbox.measure.kernel import counters
from benchbox.schema.reading import Flag, Severity, Trial

if TYPE_CHECKING:
    from benchbox.backends.base import Session

COMPILED = "compilations"


def counters_of(session: Session) -> dict[str, float]:
    """What the kernel counts, and the compilations so far of a session that may compile while it runs."""
    own = {COMPILED: float(session.compilations())} if isinstance(session, CompilingSession) else {}
    return {**counters(), **own}


def flags_of_compilation(trials: Sequence[Trial]) -> Iterator[Flag]:
    """Whether something was compiled among the samples."""
    found = [count for trial in trials if (count := trial.counters.get(COMPILED, 0.0))]
    if found:
        yield Flag(
            code="RECOMPILED",
            severity=Severity.ERROR,
            message=f"{max(found):.0f} graphs were compiled while samples were taken, in {len(found)} of {len(trials)} "
            "processes: a longer warm-up, or a network whose shapes and constants stay (TORCH_LOGS=recompiles)",
        )
