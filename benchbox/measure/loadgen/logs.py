"""What is in LoadGen's log files?

``mlperf_log_trace.json`` has a line for each sample: when its query was scheduled (microseconds with three decimals)
and how many nanoseconds later it was issued and done. As a whole it is not valid JSON (keys of other lines are quoted
twice), so its lines are read one by one. ``mlperf_log_detail.txt`` has a line of JSON behind ``:::MLLOG`` for a fact.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchbox.errors import MeasurementError

if TYPE_CHECKING:
    from numpy.typing import NDArray

TRACE, DETAIL = "mlperf_log_trace.json", "mlperf_log_detail.txt"
_SAMPLE = re.compile(
    rb'"name":"Sample",[^{]*"ph":"b",[^{]*"ts":(-?\d+)\.(\d{3}),"args":\{"sample_seq":\d+,"query_seq":(\d+),'
    rb'"sample_idx":\d+,"issue_start_ns":(-?\d+),"complete_ns":(-?\d+)\}'
)
_MARK = ":::MLLOG "
_MAX_DURATION, _OUTSTANDING = "Max test duration reached", "Too many outstanding queries"


@dataclass(frozen=True, kw_only=True)
class Times:
    """Of each query, in the order of issue, ns by LoadGen's clock.

    When it was scheduled, when its last sample was done, and the time between; and when the first was issued.
    """

    scheduled_ns: NDArray[np.int64]
    done_ns: NDArray[np.int64]
    times_ns: NDArray[np.int64]
    first_issue_ns: int


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """What LoadGen reports about a run: facts by name, and its errors."""

    facts: Mapping[str, Any]
    errors: tuple[str, ...]

    def number(self, name: str) -> float:
        """A fact that is a number; raises MeasurementError where LoadGen does not report it."""
        found = self.facts.get(name)
        if not isinstance(found, int | float):
            raise MeasurementError(
                f"LoadGen did not report {name}",
                values=f"got {found!r}",
                remedy="install the version of constraints.txt",
            )
        return found

    @property
    def valid(self) -> bool:
        """LoadGen's verdict."""
        return bool(self.facts.get("result_validity") == "VALID")

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it is against, in its words; none where it is not."""
        if self.valid:
            return ()
        reasons = [str(self.facts.get("result_invalid_reason", ""))]
        if not self.facts.get("early_stopping_met"):
            reasons.append(str(self.facts.get("early_stopping_result", "")).replace(" * ", " "))
        reasons = [text for text in reasons if text.strip()] or list(self.errors)
        return tuple(dict.fromkeys(" ".join(text.split()) for text in reasons))

    @property
    def ended_by(self) -> str:
        """What ended the run: "max_time", "overload" (too much was waiting), else "loadgen": it had enough."""
        for words, cause in ((_MAX_DURATION, "max_time"), (_OUTSTANDING, "overload")):
            if any(words in error for error in self.errors):
                return cause
        return "loadgen"


def facts_from_detail(folder: Path) -> RunFacts:
    """The facts of a run; raises MeasurementError where there is no verdict."""
    facts: dict[str, Any] = {}
    errors: list[str] = []
    path = folder / DETAIL
    for line in path.read_text(errors="replace").splitlines() if path.exists() else ():
        if not line.startswith(_MARK):
            continue
        entry = json.loads(line.removeprefix(_MARK))
        facts[entry["key"]] = entry["value"]
        if entry["metadata"]["is_error"]:
            errors.append(str(entry["value"]))
    if "result_validity" not in facts:
        raise MeasurementError(
            "LoadGen gave no verdict", values="; ".join(errors) or f"nothing in {DETAIL}", remedy="is the disk full?"
        )
    return RunFacts(facts=facts, errors=tuple(errors))


def times_from_trace(folder: Path) -> Times:
    """The times of a run's queries; raises MeasurementError where there are none."""
    path = folder / TRACE
    found = _SAMPLE.findall(path.read_bytes()) if path.exists() else []
    if not found:
        raise MeasurementError("LoadGen left no times", values=f"nothing in {TRACE}", remedy="is the disk full?")
    table = np.array(found, dtype="S20").astype(np.int64)
    # A negative number of microseconds has its sign in front of the whole: only before the first query.
    scheduled = table[:, 0] * 1000 + np.where(table[:, 0] < 0, -table[:, 1], table[:, 1])
    order = np.lexsort((table[:, 4], table[:, 2]))
    queries, scheduled, issued, took = (column[order] for column in (table[:, 2], scheduled, table[:, 3], table[:, 4]))
    last = np.append(queries[1:] != queries[:-1], True)  # of each query the sample that was done last
    return Times(
        scheduled_ns=scheduled[last],
        done_ns=scheduled[last] + took[last],
        times_ns=took[last],
        first_issue_ns=int(scheduled[0] + issued[0]),
    )
