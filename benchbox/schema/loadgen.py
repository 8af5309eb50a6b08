"""What did MLPerf LoadGen report about the requests that it issued?"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class LoadgenRun:
    """One run of LoadGen around a session; times are by its clock, from the time for which a query was scheduled.

    ``samples`` were answered, ``completed_per_s`` of them a second. ``valid`` is LoadGen's verdict and ``reasons`` are
    its words for an invalid run. ``early_stopping_s`` is its estimate of the ``early_stopping_percentile``: an order
    statistic that lies above the true one with 99 % confidence; None where it makes none. In mode server
    ``offered_per_s`` is the rate of the schedule that was drawn, and ``over_bound`` how many samples took longer than
    the bound, None where there is no bound. ``clock_off_s`` is how much longer the run was by LoadGen's clock, which is
    the system's and can be set, than by a monotonic one.
    """

    version: str
    samples: int
    completed_per_s: float
    valid: bool
    reasons: tuple[str, ...] = ()
    early_stopping_s: float | None = None
    early_stopping_percentile: float | None = None
    offered_per_s: float | None = None
    over_bound: int | None = None
    clock_off_s: float = 0.0
