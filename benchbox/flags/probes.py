"""Was the machine the same in every timed process?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchbox.metrics.probes import ARITHMETIC, HANDOVER, SHIFTED, probe_of
from benchbox.schema.reading import Flag, Severity
from benchbox.schema.trial import Trial

_WORDS = {
    ARITHMETIC: "the arithmetic probe took {low:.3g} to {high:.3g} µs: something shares its processors",
    HANDOVER: "core-to-core latency varied from {low:.3f} to {high:.3f} µs: the hypervisor may have moved a vCPU",
}


def flags_of_probes(trials: Sequence[Trial]) -> Iterator[Flag]:
    """One flag if the probes differ between the timed processes."""
    words = []
    for kind, limit in SHIFTED.items():
        found = [seen for trial in trials if (seen := probe_of(trial.counters, kind)) is not None]
        if len(found) > 1 and max(found) > limit * min(found):
            words.append(_WORDS[kind].format(low=min(found) * 1e6, high=max(found) * 1e6))
    if words:
        yield Flag(
            code="MACHINE_SHIFTED",
            severity=Severity.WARNING,
            message=f"the machine changed during the run: {'; '.join(words)}; run it again",
        )
