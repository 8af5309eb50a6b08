"""How long will a sweep take, and which of its cases will have numbers?

As long as its cases took in earlier sweeps under the root; a case that was never measured takes what its processes
usually do. One that failed or was refused the last time is short, and tells nothing of the machine.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchbox.fleet.plan import FOLDER
from benchbox.fleet.sweep_file import Sweep, SweepCase

# Seconds of a timed process of a small network (start, warm-up, timing), and of a run beside them (check, memory), as
# seen on two CPUs: without and with ``quick``.
_PROCESS_S = {False: 3.0, True: 1.6}
_RUN_S = {False: 12.0, True: 8.0}


@dataclass(frozen=True, kw_only=True)
class History:
    """Seconds that a process of a case took, and the cases that had no numbers then, by the case's JSON."""

    seconds: dict[str, float]
    without_numbers: frozenset[str] = frozenset()

    def has(self, case: SweepCase) -> bool:
        """Whether the case was measured in an earlier sweep."""
        return _key(case) in self.seconds

    def fails(self, case: SweepCase) -> bool:
        """Whether the case had no numbers in the last sweep that measured it."""
        return _key(case) in self.without_numbers

    def estimate(self, sweep: Sweep) -> Callable[[SweepCase, int], float]:
        """Seconds that so many processes of a case of this sweep take."""

        def seconds(case: SweepCase, processes: int) -> float:
            known = self.seconds.get(_key(case))
            if known is not None:
                return known * processes
            longer_s = max(0.0, (sweep.max_time_s or 0.0) - (0.5 if sweep.quick else 1.5))
            return _RUN_S[sweep.quick] + processes * (_PROCESS_S[sweep.quick] + longer_s)

        return seconds


def history_under(root: Path) -> History:
    """What the steps of earlier sweeps took, the newest of each case; notes that cannot be read are left out."""
    found: dict[str, float] = {}
    measured: dict[str, bool] = {}
    for path in sorted((root / FOLDER).glob("*/steps/*.json"), key=lambda path: path.parts[-3:]):
        try:
            note = json.loads(path.read_text(encoding="utf-8"))
            key = _key(SweepCase.model_validate(note["case"]))
            found[key] = note["seconds"] / note["processes"]
            measured[key] = note.get("measured", True)  # notes of before do not say
        except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError):
            continue
    return History(seconds=found, without_numbers=frozenset(key for key, numbers in measured.items() if not numbers))


def _key(case: SweepCase) -> str:
    return json.dumps(case.model_dump(mode="json"), sort_keys=True)
