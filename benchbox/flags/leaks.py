"""Did memory keep growing while the network ran?"""

from __future__ import annotations

from collections.abc import Iterator

from benchbox.flags.seen import Seen, flag
from benchbox.metrics.readings import timing_trials
from benchbox.schema.reading import Flag, Severity

HOST, DEVICE = "host", "device"
PLACES = (HOST, DEVICE)


def leak(seen: Seen) -> Iterator[Flag]:
    """Whether memory of the host or of a device kept growing."""
    for place in PLACES:
        found = [trial.counters.get(leak_name(place), 0.0) for trial in timing_trials(seen.trials)]
        if any(found):
            yield flag(
                "LEAK",
                Severity.WARNING,
                f"{place} memory grew by up to {max(found):.0f} bytes per inference in "
                f"{sum(each > 0 for each in found)} of {len(found)} processes: a leak",
                size=max(found),
            )


def growth_name(place: str) -> str:
    """The counter of a place's growth over the samples, in bytes."""
    return f"{place}_growth_bytes"


def leak_name(place: str) -> str:
    """The counter of a place's leak, in bytes an inference; absent where nothing leaked."""
    return f"{place}_leak_bytes"
