"""Does memory keep growing while the network runs?

Memory is read before the samples and after them. Where it grew by more than the samples themselves take, the same
number of inferences runs again in blocks after everything was timed: an arena or a cache that grows once stands still
there, a leak continues. Nothing runs twice where nothing grew, nor where there were fewer samples than blocks.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from benchbox.backends.base import DeviceSession
from benchbox.flags.leaks import DEVICE, HOST, PLACES, growth_name, leak_name
from benchbox.machine.counters import exact_resident_bytes

if TYPE_CHECKING:
    from benchbox.backends.base import Session

SUSPECT_BYTES = 1 << 20
# What the harness itself holds of a sample, several times over: its time, its place in the order, copies of both.
HARNESS_BYTES_PER_SAMPLE = 64
BLOCKS = 8
GROWING_BLOCKS = 7


def held_bytes(session: Session) -> dict[str, int]:
    """Bytes that are held now on the host, and by the device's whole use where there is one."""
    held = {HOST: exact_resident_bytes()}
    if isinstance(session, DeviceSession):
        held[DEVICE] = session.device_memory()["device_delta"]
    return held


def growth(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, float]:
    """By how many bytes each place grew, as counters of a trial."""
    return {growth_name(place): float(after[place] - before[place]) for place in before}


def leaks(
    session: Session, run: Callable[[int], object], *, grown: Mapping[str, float], samples: int, inferences: int
) -> dict[str, float]:
    """Bytes an inference by which memory kept growing in as many samples again; only where it is suspect.

    Args:
        session: the one that runs.
        run: takes a number of samples; what it returns is dropped.
        grown: what ``growth`` found over the samples.
        samples: how many they were.
        inferences: how many inferences a sample stands for.
    """
    spared = HARNESS_BYTES_PER_SAMPLE * samples
    suspects = [
        place
        for place in PLACES
        if grown.get(growth_name(place), 0.0) > SUSPECT_BYTES + (spared if place == HOST else 0)
    ]
    if not suspects or samples < BLOCKS:  # so few do not show whether growth goes on, and more of them may take minutes
        return {}
    count = max(1, samples // BLOCKS)
    marks = [held_bytes(session)]
    for _ in range(BLOCKS):
        run(count)
        marks.append(held_bytes(session))
    found = {}
    for place in suspects:
        per_block = steady_growth([mark[place] for mark in marks])
        if per_block is not None:
            found[leak_name(place)] = per_block / count / inferences
    return found


def steady_growth(marks: list[int]) -> float | None:
    """Bytes that are added from one mark to the next, the median; None where it is no steady growth.

    Steady is growth in all steps but one that adds up to half of what makes suspect.
    """
    steps = [after - before for before, after in itertools.pairwise(marks)]
    if sum(step > 0 for step in steps) < GROWING_BLOCKS or marks[-1] - marks[0] < SUSPECT_BYTES / 2:
        return None
    return float(statistics.median(steps))
