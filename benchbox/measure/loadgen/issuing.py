"""How does MLPerf LoadGen issue requests to a session, and what does it report about them?

LoadGen (the package mlcommons-loadgen, https://github.com/mlcommons/inference, read at 6.0.17) decides when a query is
issued, of how many samples, and when there were enough; it takes the times and gives the verdict. All of that is kept,
its rules too. An MLPerf result also needs MLPerf's networks, data, an accuracy run and ten minutes, none of which are
part of this: these are not MLPerf results.

Every sample's time is read from LoadGen's trace, in its own nanoseconds from the time for which the query was
scheduled, so that it includes the time a request waits in a busy system (no coordinated omission). LoadGen reads the
system clock; a monotonic clock beside it shows whether the system clock was set meanwhile.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchbox.errors import EnvironmentLackError
from benchbox.measure.loadgen.answering import OFFLINE_IN_FLIGHT, Answering, Complete, Direct, Queue
from benchbox.measure.loadgen.logs import RunFacts, Times, facts_from_detail, times_from_trace
from benchbox.measure.loop.timing import collector_off
from benchbox.schema.loadgen import LoadgenRun
from benchbox.schema.plan import QUERIES_FOR_P99, MeasurementPlan, Mode
from benchbox.temporary import temporary_folder

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchbox.backends.base import Session

CLOCK = "LoadGen's (system clock)"
# Queries from which LoadGen's early stopping can say something of the 90th percentile with 99 % confidence.
QUERIES_FOR_P90 = 64
SINGLE_STREAM_PERCENTILE, TAIL_PERCENTILE = 0.90, 0.99
# LoadGen generates its queries before it starts: this many times the number expected from the warm-up, in case that
# was slow.
SLACK = 2.0
# The query of mode offline is sized to take longer than the minimum duration, by this factor: LoadGen calls a shorter
# one invalid.
OFFLINE_SLACK = 1.5
FLOOR_S, FLOOR_RATE_PER_S, FLOOR_TYPICAL_NS = 0.05, 1000.0, 5000.0
_NO_BOUND_NS = 10**18
_PACKAGE = "mlcommons-loadgen"


@dataclass(frozen=True, kw_only=True)
class LoadgenResult:
    """The result of one run.

    Times of its queries in order (ns; none in mode offline), the span from the first's scheduled time to the last
    answer (ns), what ended it, and LoadGen's verdict.
    """

    times_ns: NDArray[np.int64]
    window_ns: int
    stopped_by: str
    run: LoadgenRun


def loadgen_lack() -> EnvironmentLackError | None:
    """The error if LoadGen is not installed, else None."""
    if importlib.util.find_spec("mlperf_loadgen") is not None:
        return None
    return EnvironmentLackError(
        "MLPerf LoadGen is not installed",
        values="modes offline, single-stream, multi-stream and server are issued by it",
        remedy="pip install 'benchbox[loadgen]'",
    )


def run_loadgen(sessions: Sequence[Session], plan: MeasurementPlan, *, number: int, typical_ns: float) -> LoadgenResult:
    """Lets LoadGen issue requests to warm sessions until it has enough, or ``max_time_s`` have passed.

    Args:
        sessions: with inputs resident in every slot; ``sessions_of(plan)`` of them.
        plan: of one of LoadGen's modes.
        number: of the trial: with the plan's seed it decides which samples are drawn and when they arrive.
        typical_ns: time from one inference to the next over all sessions, from the warm-up.

    Raises:
        EnvironmentLackError: LoadGen is not installed.
        MeasurementError: LoadGen left no times.
        Exception: what a session raised.
    """
    settings = _settings(plan, number=number, typical_ns=max(typical_ns, 1000.0))
    with temporary_folder("benchbox-loadgen-") as folder:
        issued = _issued(sessions, plan, settings, folder)
        facts = facts_from_detail(folder)
        if plan.mode is Mode.OFFLINE:
            return _offline(issued, facts)
        times = times_from_trace(folder)
    return _queries(times, issued, facts, plan)


def loadgen_floor_ns(plan: MeasurementPlan) -> int:
    """What the same scenario takes around nothing: the median of a query (ns), offline the time for each inference.

    LoadGen's own work is in it, and Python's between LoadGen and the session.
    """
    rate = min(plan.rate_per_s or FLOOR_RATE_PER_S, FLOOR_RATE_PER_S)
    empty = replace(plan, min_time_s=FLOOR_S, max_time_s=FLOOR_S, min_samples=1, rate_per_s=max(rate, 100.0))
    sessions: list[Any] = [_Nothing() for _ in range(plan.streams if plan.mode is Mode.SERVER else 1)]
    found = run_loadgen(sessions, empty, number=0, typical_ns=FLOOR_TYPICAL_NS)
    if plan.mode is Mode.OFFLINE:
        return round(found.window_ns * plan.batch / found.run.samples)
    return int(np.median(found.times_ns))


class _Nothing:
    """A session whose inference is an empty call."""

    def enqueue(self, slot: int) -> None:
        """Nothing."""


@dataclass(frozen=True, kw_only=True)
class _Issued:
    """What was seen from outside: requested samples, monotonic time (ns) from the first query to the last answer."""

    samples: int
    spent_ns: int


def _settings(plan: MeasurementPlan, *, number: int, typical_ns: float) -> Any:
    """LoadGen's settings for a plan; seeds are drawn from the plan's and the trial's, one for each purpose."""
    module = _module()
    settings = module.TestSettings()
    settings.mode = module.TestMode.PerformanceOnly
    settings.min_duration_ms = max(1, round(plan.min_time_s * 1e3))
    settings.max_duration_ms = max(1, round(plan.max_time_s * 1e3))
    seeds = np.random.SeedSequence([plan.seed, number]).generate_state(4).tolist()
    settings.qsl_rng_seed, settings.sample_index_rng_seed, settings.schedule_rng_seed = seeds[:3]
    settings.accuracy_log_rng_seed = seeds[3]
    per_s = plan.batch * 1e9 / typical_ns
    if plan.mode is Mode.SINGLE_STREAM:
        settings.scenario = module.TestScenario.SingleStream
        settings.single_stream_expected_latency_ns = typical_ns / SLACK
        settings.single_stream_target_latency_percentile = SINGLE_STREAM_PERCENTILE
        settings.min_query_count = max(plan.min_samples, QUERIES_FOR_P90)
    elif plan.mode is Mode.MULTI_STREAM:
        settings.scenario = module.TestScenario.MultiStream
        settings.multi_stream_samples_per_query = plan.streams
        settings.multi_stream_expected_latency_ns = typical_ns * plan.streams / plan.batch / SLACK
        settings.multi_stream_target_latency_percentile = TAIL_PERCENTILE
        settings.min_query_count = max(plan.min_samples, QUERIES_FOR_P99)
    elif plan.mode is Mode.SERVER:
        settings.scenario = module.TestScenario.Server
        settings.server_target_qps = plan.rate_per_s
        bound = plan.latency_bound_s
        settings.server_target_latency_ns = _NO_BOUND_NS if bound is None else round(bound * 1e9)
        settings.server_target_latency_percentile = TAIL_PERCENTILE
        settings.min_query_count = max(plan.min_samples, QUERIES_FOR_P99)
        # What waits when it ends is still answered: no more than takes as long again as the run.
        settings.server_max_async_queries = max(100, math.ceil(per_s * plan.max_time_s))
    else:
        settings.scenario = module.TestScenario.Offline
        settings.offline_expected_qps = per_s * OFFLINE_SLACK / 1.1  # LoadGen adds a tenth itself
        affordable = math.ceil(plan.max_time_s * 1e9 / typical_ns)
        settings.min_query_count = plan.batch * max(1, min(plan.min_samples, affordable))
    return settings


def _issued(sessions: Sequence[Session], plan: MeasurementPlan, settings: Any, folder: Path) -> _Issued:
    """Runs LoadGen; afterwards its logs lie in the folder. Raises what a session raised."""
    module = _module()
    respond, response = module.QuerySamplesComplete, module.QuerySampleResponse
    asked = first_ns = last_ns = 0

    def complete(ids: Sequence[int]) -> None:
        nonlocal last_ns
        respond([response(number, 0, 0) for number in ids])
        last_ns = time.perf_counter_ns()

    answering = _answering(sessions, plan, complete)

    def issue(ids: Sequence[int], samples: Sequence[int]) -> None:
        nonlocal asked, first_ns
        first_ns = first_ns or time.perf_counter_ns()
        asked += len(ids)
        answering.issue(ids, samples)

    try:
        with _constructed(issue, plan.input_slots * plan.batch) as (system, library), collector_off():
            logs = _log_settings(folder, trace=plan.mode is not Mode.OFFLINE)
            module.StartTestWithLogSettings(system, library, settings, logs, "")
    finally:
        answering.finish()
    return _Issued(samples=asked, spent_ns=last_ns - first_ns)


def _answering(sessions: Sequence[Session], plan: MeasurementPlan, complete: Complete) -> Answering:
    if plan.mode is Mode.SERVER:
        return Queue(sessions, batch=plan.batch, complete=complete, slots=plan.input_slots)
    if plan.mode is Mode.OFFLINE:
        return Direct(sessions[0], batch=plan.batch, complete=complete, in_flight=OFFLINE_IN_FLIGHT)
    return Direct(sessions[0], batch=plan.batch, complete=complete, at_once=True)


@contextlib.contextmanager
def _constructed(issue: Callable[[Sequence[int], Sequence[int]], None], count: int) -> Iterator[tuple[int, int]]:
    """LoadGen's handles of a system that answers and of a library of ``count`` samples, all of them resident."""
    module = _module()

    def nothing(*_: object) -> None:
        """Inputs are resident already; nothing is put off until a flush."""

    system = module.ConstructFastSUT(issue, nothing)
    library = module.ConstructQSL(count, count, nothing, nothing)
    try:
        yield system, library
    finally:
        module.DestroyQSL(library)
        module.DestroyFastSUT(system)


def _log_settings(folder: Path, *, trace: bool) -> Any:
    module = _module()
    settings = module.LogSettings()
    settings.enable_trace = trace  # one line a sample; a query of mode offline is in the other log
    settings.log_output.outdir = str(folder)
    settings.log_output.copy_summary_to_stdout = False
    return settings


def _offline(issued: _Issued, facts: RunFacts) -> LoadgenResult:
    """One query: no times of samples, since all of them waited for the last."""
    took_ns = int(facts.number("result_max_latency_ns"))
    return LoadgenResult(
        times_ns=np.array([], dtype=np.int64),
        window_ns=took_ns,
        stopped_by=facts.ended_by,
        run=LoadgenRun(
            version=_version(),
            samples=issued.samples,
            completed_per_s=issued.samples / (took_ns * 1e-9),
            valid=facts.valid,
            reasons=facts.reasons,
            clock_off_s=(took_ns - issued.spent_ns) * 1e-9,
        ),
    )


def _queries(times: Times, issued: _Issued, facts: RunFacts, plan: MeasurementPlan) -> LoadgenResult:
    """Times of queries, and rates as LoadGen defines them."""
    start, last = int(times.scheduled_ns[0]), int(times.done_ns.max())
    spent_ns = last - start
    server = plan.mode is Mode.SERVER
    completed = issued.samples / (spent_ns * 1e-9)
    offered = over = estimate = percentile = None
    if server:
        # As LoadGen counts: the last query begins what comes after the span, and is not in it.
        gaps = len(times.times_ns) - 1
        drawn_ns = int(times.scheduled_ns[-1]) - start
        offered = gaps / (drawn_ns * 1e-9) if drawn_ns else None
        completed = max(1, gaps) / ((int(times.done_ns[-1]) - start) * 1e-9)
        if plan.latency_bound_s is not None:
            over = int((times.times_ns > round(plan.latency_bound_s * 1e9)).sum())
    else:
        single = plan.mode is Mode.SINGLE_STREAM
        estimate_ns = facts.number("early_stopping_latency_ss" if single else "early_stopping_latency_ms")
        if estimate_ns:  # 0 where there were too few queries
            estimate, percentile = estimate_ns * 1e-9, SINGLE_STREAM_PERCENTILE if single else TAIL_PERCENTILE
    return LoadgenResult(
        times_ns=times.times_ns,
        window_ns=spent_ns,
        stopped_by=facts.ended_by,
        run=LoadgenRun(
            version=_version(),
            samples=issued.samples,
            completed_per_s=completed,
            valid=facts.valid,
            reasons=facts.reasons,
            early_stopping_s=estimate,
            early_stopping_percentile=percentile,
            offered_per_s=offered,
            over_bound=over,
            clock_off_s=(last - times.first_issue_ns - issued.spent_ns) * 1e-9,
        ),
    )


def _module() -> Any:
    lack = loadgen_lack()
    if lack is not None:
        raise lack
    import mlperf_loadgen

    return mlperf_loadgen


def _version() -> str:
    return importlib.metadata.version(_PACKAGE)
