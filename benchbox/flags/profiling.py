"""Was a process watched by a profiler, or did it name what it does for one?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchbox.schema.reading import Flag, Severity
from benchbox.schema.trial import Trial

# Counters of a trial, 1 where it was so; see ``measure/process/profiling.py``.
MARKED, PROFILED = "nvtx", "profiled"


def flags_of_profiling(trials: Sequence[Trial]) -> Iterator[Flag]:
    """The graver of the two, if any of the timed trials was disturbed so."""
    if any(trial.counters.get(PROFILED) for trial in trials):
        yield Flag(
            code="PROFILED",
            severity=Severity.ERROR,
            message="the timed processes ran under --profile-command: a profiler slows down what it watches",
        )
    elif any(trial.counters.get(MARKED) for trial in trials):
        yield Flag(
            code="NVTX_MARKED",
            severity=Severity.WARNING,
            message="every inference opens and closes a range for profilers: its time holds both; leave --nvtx out",
        )
