"""Was anything compiled while inferences were timed?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchbox.schema.reading import Flag, Severity
from benchbox.schema.trial import Trial

COMPILED = "compilations"


def flags_of_compilation(trials: Sequence[Trial]) -> Iterator[Flag]:
    """Whether something was compiled among the samples."""
    found = [count for trial in trials if (count := trial.counters.get(COMPILED, 0.0))]
    if found:
        yield Flag(
            code="RECOMPILED",
            severity=Severity.ERROR,
            message=f"{max(found):.0f} graphs were compiled while samples were taken, in {len(found)} of {len(trials)} "
            "processes: use a longer warm-up, or a network with fixed shapes and constants (TORCH_LOGS=recompiles)",
            size=max(found),
        )
