"""Was the machine the same in every timed process?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchbox.metrics.probes import ARITHMETIC, HANDOVER, SHIFTED, probe_of
from benchbox.schema.reading import Flag, Severity
from benchbox.schema.trial import Trial
from benchbox.units import format_time

_WORDS = {
    ARITHMETIC: "the arithmetic probe took {low} to {high}: something shares its processors",
    HANDOVER: "core-to-core latency varied from {low} to {high}: the hypervisor may have moved a vCPU",
}


def _remedy(words: Sequence[str], *, paired: bool) -> str:
    """On one thread no core waits for another; sides that ran in turn met the same machine."""
    alone = ", on one thread (--threads 1)" if any("core-to-core" in word for word in words) else ""
    if paired:
        return f"all sides of --ab met it in turn, so their verdicts hold; for narrower intervals run it again{alone}"
    return f"run it again{alone}, or with both sides in one run (--ab)"


def flags_of_probes(trials: Sequence[Trial], *, paired: bool = False) -> Iterator[Flag]:
    """One flag if the probes differ between the timed processes.

    Args:
        trials: timed ones.
        paired: they took turns with those of another side (--ab).
    """
    words: list[str] = []
    largest = 0.0
    for kind, limit in SHIFTED.items():
        found = [seen for trial in trials if (seen := probe_of(trial.counters, kind)) is not None]
        if len(found) > 1 and max(found) > limit * min(found):
            largest = max(largest, max(found) / min(found))
            words.append(_WORDS[kind].format(low=format_time(min(found)), high=format_time(max(found))))
    if words:
        yield Flag(
            code="MACHINE_SHIFTED",
            severity=Severity.WARNING,
            message=f"the machine changed during the run: {'; '.join(words)}; {_remedy(words, paired=paired)}",
            size=largest,
        )
