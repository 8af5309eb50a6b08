"""In which order does a network become a record?

    source -> ONNX file (export, check) -> engine, where one is needed -> analytical cost
           -> outputs checked -> time -> memory -> record stored

The order of the stages is all that lives here; each stage lives in its own package.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchbox.backends.base import BACKENDS, Compiler, EngineBackend
from benchbox.errors import (
    BenchboxError,
    EnvironmentLackError,
    InputsError,
    NumericsError,
    StoreError,
    UsageError,
    bug_from_error,
)
from benchbox.export.elsewhere import artifact_without_onnx, border_of, engine_from_elsewhere
from benchbox.flags.inputs import flag_of_batch
from benchbox.jobs.cases import Case, case_beside, plan_of_turns, require_batch, require_known_sizes, require_runnable
from benchbox.jobs.known_ceilings import flags_of_record
from benchbox.jobs.paper import paper_of_artifact, paper_of_engine
from benchbox.jobs.prepare import graph_precision, onnx_at_batch
from benchbox.limits import effective_cpus
from benchbox.machine.dispatcher import dispatcher_seconds
from benchbox.progress import Progress, Say
from benchbox.schema.artifact import BatchRange, OnnxArtifact
from benchbox.schema.derivation import Derivation
from benchbox.schema.engine import EngineArtifact, EngineBorder
from benchbox.schema.environment import Environment
from benchbox.schema.model import ModelSource, Precision, SourceKind
from benchbox.schema.plan import PairOrder
from benchbox.schema.proof import REQUIRED_SHARE
from benchbox.schema.reading import Flag
from benchbox.schema.record import BuildCost, Correctness, Record, RecordKey, Status
from benchbox.schema.trial import Pass, Trial
from benchbox.stats.inputs import fed_inputs
from benchbox.units import counted

if TYPE_CHECKING:
    from benchbox.export.engines import Built
    from benchbox.measure.case import CaseRequest, CaseResult

_Wanted = tuple[ModelSource, Precision, Derivation, int | None]
_Made = tuple[OnnxArtifact, tuple[BuildCost, ...]]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a case: its record, its raw trials, and the error behind a failed or skipped one.

    ``unstored`` says why the record could not be written (the disk is full): it can still be shown.

    ``place`` is that of its case among those that were asked for: cases are completed in any order.
    """

    place: int
    record: Record
    trials: tuple[Trial, ...] = ()
    error: BenchboxError | None = None
    unstored: StoreError | None = None


def measure_cases(
    cases: Sequence[Case],
    *,
    root: Path,
    progress: Progress,
    interleaved: bool = False,
    pair_order: PairOrder = PairOrder.ABBA,
    min_executed: float | None = None,
    stores: bool = True,
    keep_refusals: bool = False,
    quick: bool = False,
) -> Iterator[Outcome]:
    """Measures the cases and yields each outcome when its record has been stored.

    All cases are prepared first, then their processes run in turn (``measure/schedule.py``). An error inside a case
    becomes a failed or skipped record and the others go on; a lone case that cannot run at all raises its UsageError or
    EnvironmentLackError and leaves no record. So do inputs that were asked for and fit none of the cases (InputsError);
    where they fit others, a case is skipped. Numbers from a virtual clock are yielded but never stored.

    Args:
        cases: what to measure, and how.
        root: project root.
        progress: shows what runs.
        interleaved: two cases are to be compared: A B, B A, ... instead of an order drawn anew in each round.
        pair_order: of cases that are interleaved; "paired" changes their plans so that they take turns.
        min_executed: share of the MACs that must run in the precision asked for, or the case has failed; None for the
            usual share, below which its numbers are flagged.
        stores: False where the numbers are for the caller alone.
        keep_refusals: a lone case that cannot run becomes a skipped record too: it is a step of a sweep.
        quick: --quick was asked for: advice says so.
    """
    from benchbox.measure.schedule import abba, drawn_anew, measure_in_turn

    paired = interleaved and pair_order is PairOrder.PAIRED
    cases = [dataclasses.replace(case, plan=plan_of_turns(case)) for case in cases] if paired else cases
    _require_store(root, progress)
    stored = functools.partial(_stored, root=root if stores else None, dispatched_s=dispatcher_seconds())
    environments = _Environments()
    # What cases share is made, and looked for on disk, once for all cases of this run.
    artifacts: dict[_Wanted, _Made] = {}
    ready: list[tuple[int, Record, CaseRequest]] = []
    misfits: list[Outcome] = []

    for place, case in enumerate(cases):
        blank = _blank(case, environments.here(case))
        try:
            blank = dataclasses.replace(blank, environment=environments.of(case))
            known, request = _prepared(
                case, blank, root, artifacts, min_executed, functools.partial(_say, progress, case)
            )
            ready.append((place, known, dataclasses.replace(request, quick=quick, paired=interleaved)))
        except BenchboxError as error:
            outcome = _unmeasured(place, blank, error)
            skipped = outcome.record.status is Status.SKIPPED and not keep_refusals
            if skipped and (len(cases) == 1 or interleaved):
                raise  # in a matrix a skipped combination is an answer; asked for by itself it is a mistake
            if skipped and isinstance(error, InputsError):
                misfits.append(outcome)
            else:
                yield stored(outcome)
        except Exception as error:  # a bug must not take the other cases with it
            if len(cases) == 1:
                raise
            yield stored(_unmeasured(place, blank, bug_from_error(error)))
    for outcome in _beside_others(misfits, ready):
        yield stored(outcome)
    order = drawn_anew(cases[0].plan.seed) if not interleaved or pair_order is PairOrder.RANDOM else abba()
    requests = [request for _, _, request in ready]

    def keep(index: int, result: CaseResult) -> Outcome:
        place, known, _ = ready[index]
        record = _record_from_result(known, result)
        record = dataclasses.replace(record, flags=(*record.flags, *flags_of_record(record, root=root)))
        return stored(Outcome(place=place, record=record, trials=result.trials, error=result.error))

    measuring = measure_in_turn(requests, order=order, progress=progress.step, keep=keep, paired=paired)
    with contextlib.closing(measuring) as outcomes:
        yield from outcomes


def _beside_others(misfits: Sequence[Outcome], ready: Sequence[object]) -> Sequence[Outcome]:
    """Cases that do not have the sizes that were asked for; where they fit no other case, the first error is raised."""
    for outcome in misfits[:1]:
        if outcome.error is not None and not ready:
            raise outcome.error
    return misfits


def _unmeasured(place: int, blank: Record, error: BenchboxError) -> Outcome:
    """What became of a case that could not be prepared: what cannot run was not tried and is skipped, else failed."""
    status = Status.SKIPPED if isinstance(error, UsageError | EnvironmentLackError) else Status.FAILED
    record = dataclasses.replace(blank, status=status, reason=_reason(error))
    if isinstance(error, NumericsError):
        record = dataclasses.replace(record, correctness=Correctness(hops=error.hops, passed=False))
    return Outcome(place=place, record=record, error=error)


def _stored(outcome: Outcome, *, root: Path | None, dispatched_s: float | None) -> Outcome:
    """Stores an outcome, unless its clock was virtual; what was measured is shown also where it cannot be stored.

    Args:
        outcome: of a case.
        root: None where nothing is stored.
        dispatched_s: processor seconds of what dispatched this run, at its start.
    """
    from benchbox.store.records import append

    outcome = _with_dispatcher(outcome, dispatched_s)
    if root is None or (BACKENDS.get(outcome.record.key.backend).virtual and outcome.trials):
        return outcome
    try:
        append(root, outcome.record, outcome.trials)
    except StoreError as error:
        return dataclasses.replace(outcome, error=outcome.error or error, unstored=error)
    return outcome


def plan_cases(cases: Sequence[Case]) -> tuple[Record, ...]:
    """What ``measure_cases`` would do, as skipped records that are not stored."""
    environments = _Environments()
    refusals = [BACKENDS.get(case.backend).refusal(case.precision) for case in cases]
    reasons = [
        f"cannot run: {refusal}" if refusal else f"dry run: would be measured{_warning(case)}"
        for case, refusal in zip(cases, refusals, strict=True)
    ]
    return tuple(
        dataclasses.replace(_blank(case, environments.here(case)), status=Status.SKIPPED, reason=why)
        for case, why in zip(cases, reasons, strict=True)
    )


def _warning(case: Case) -> str:
    """What makes the case's numbers void, if that is known before."""
    cpus, threads = effective_cpus(), case.plan.threads
    if threads <= cpus:
        return ""
    return f"; void, as {threads} threads share {counted(cpus, 'CPU')}: use --threads {cpus} or fewer (OVERSUBSCRIBED)"


def _with_dispatcher(outcome: Outcome, since_s: float | None) -> Outcome:
    """The outcome with the processor seconds that the dispatcher's daemons have used since."""
    now_s = dispatcher_seconds()
    if since_s is None or now_s is None:
        return outcome
    environment = outcome.record.environment
    observed = {**environment.observed, "dispatcher_cpu_s": f"{now_s - since_s:.2f}"}
    return dataclasses.replace(
        outcome,
        record=dataclasses.replace(outcome.record, environment=dataclasses.replace(environment, observed=observed)),
    )


class _Environments:
    """The environments of a run's cases, each captured once."""

    def __init__(self) -> None:
        self._known: dict[tuple[tuple[str, ...], str], Environment] = {}

    def here(self, case: Case) -> Environment:
        """The environment of this process."""
        return self._captured((), case.plan.locked_clocks)

    def of(self, case: Case) -> Environment:
        """The environment of the case's own interpreter; raises what ``environment_of`` raises."""
        return self._captured(case.interpreter, case.plan.locked_clocks)

    def _captured(self, interpreter: tuple[str, ...], locked_clocks: str) -> Environment:
        from benchbox.machine.environment import capture
        from benchbox.machine.interpreters import environment_of

        key = (interpreter, locked_clocks)
        if key not in self._known:
            self._known[key] = (
                environment_of(interpreter, locked_clocks=locked_clocks)
                if interpreter
                else capture(locked_clocks=locked_clocks)
            )
        return self._known[key]


def _require_store(root: Path, progress: Progress) -> None:
    """Raises StoreError unless records can be written; a clock that does not fit those that are there is said."""
    import datetime

    from benchbox.store.clock import clock_doubt
    from benchbox.store.records import check_writable

    check_writable(root)
    if doubt := clock_doubt(root, datetime.datetime.now(datetime.UTC)):
        progress.say(f"warning: {doubt}")


def _say(progress: Progress, case: Case, text: str) -> None:
    progress.say(f"{case.title}: {text}")


def _reason(error: BenchboxError | None) -> str:
    """An error as one line of a record."""
    parts = (error.what, error.values) if error else ()
    text = "; ".join(" ".join(part.split()) for part in parts if part)
    return f"numerics: {text}" if isinstance(error, NumericsError) else text


def _prepared(
    case: Case,
    blank: Record,
    root: Path,
    artifacts: dict[_Wanted, _Made],
    min_executed: float | None,
    say: Say,
) -> tuple[Record, CaseRequest]:
    """The record of a case with all that is known before it runs, and the request for its processes."""
    from benchbox.measure.case import CaseRequest

    require_runnable(case.backend, case.precision, case.source, blank.plan)
    border = border_of(case.source, case.backend) if case.source.kind is SourceKind.ENGINE else None
    artifact, builds = _onnx_of_case(case, border, root, artifacts, say)
    fixed = artifact.fixed_batch if border is None else require_batch(case, border.inputs) or artifact.fixed_batch
    case = case.at_batch(fixed or case.batch)
    of_batch: tuple[Flag, ...] = ()
    if case.plan != blank.plan:  # nobody asked for a batch size, and the network has one of its own
        require_runnable(case.backend, case.precision, case.source, case.plan)
        blank = dataclasses.replace(blank, plan=case.plan, key=dataclasses.replace(blank.key, batch=case.batch))
        of_batch = (flag_of_batch(case.batch, artifact.warnings),) if border is None else ()
    require_known_sizes(case.backend, artifact)
    alone = border is not None and artifact.sha256 == case.source.digest  # an engine without its network
    paper = paper_of_engine() if alone else paper_of_artifact(artifact, root=root, batch=case.batch)
    engine, of_engine = _engine_of_case(case, border, artifact, root, say)
    request = CaseRequest(
        backend=case.backend,
        precision=case.precision,
        plan=blank.plan,
        artifact=artifact,
        engine=engine,
        root=root,
        source=case.source,
        flops=paper.flops,
        title=case.title,
        interpreter=case.interpreter,
        prove=paper.prover(
            precision=case.precision,
            required=REQUIRED_SHARE if min_executed is None else min_executed,
            insist=min_executed is not None,
        ),
        insist=min_executed is not None,
    )
    known = dataclasses.replace(
        blank,
        correctness=Correctness(hops=artifact.hops, expected_by=artifact.expected_by),
        analytic=paper.analytic,
        flags=(*paper.flags, *of_batch),
        onnx_sha256=None if alone else artifact.sha256,
        weights_sha256=artifact.weights_sha256,
        weights=artifact.weights_from,
        engine_sha256=engine.sha256 if engine else None,
        builds=(*builds, *of_engine),
        inputs=fed_inputs(artifact.inputs, batch=case.batch),
    )
    return known, request


def _onnx_of_case(case: Case, border: EngineBorder | None, root: Path, made: dict[_Wanted, _Made], say: Say) -> _Made:
    """The case's ONNX file, and what making it took if it was made now; those of this run are in ``made``.

    For an engine from elsewhere that of the file beside it, else what the engine says of itself (``border``).
    """
    from benchbox.machine.build_watch import BuildWatch

    if border is not None:
        beside = case_beside(case)
        if beside is None:
            return artifact_without_onnx(case.source, border, case.precision), ()
        case = beside
        say(f"outputs are compared with those of {Path(case.source.reference).name}")
    graph = graph_precision(case.backend, case.precision, case.derivation, source=case.source)
    wanted = (case.source, graph, case.derivation, case.batch)
    any_batch = (case.source, graph, case.derivation, None)
    if (known := made.get(wanted) or made.get(any_batch)) is not None:
        return known
    watches: list[BuildWatch] = []
    artifact = onnx_at_batch(
        case.source,
        batch=case.batch,
        asked=case.batch_asked,
        precision=graph,
        root=root,
        derivation=case.derivation,
        say=say,
        making=lambda: watches.append(BuildWatch()),
    )
    # A user's own file is looked at anew for each batch size, and so is one that was checked at this size only.
    free = case.source.kind is not SourceKind.ONNX and artifact.fixed_batch is None
    made[any_batch if free else wanted] = found = artifact, tuple(watch.cost("onnx") for watch in watches)
    return found


def _record_from_result(known: Record, result: CaseResult) -> Record:
    hops = (*known.correctness.hops, *result.correctness.hops)
    return dataclasses.replace(
        known,
        started_at=_measured_from(result.trials, known.started_at),
        status=Status.FAILED if result.error else Status.OK,
        reason=_reason(result.error),
        readings=result.readings,
        flags=(*known.flags, *result.flags),
        correctness=dataclasses.replace(result.correctness, hops=hops, expected_by=known.correctness.expected_by),
        evidence=result.evidence,
        sampling=result.sampling,
        proof=result.proof,
    )


def _engine_of_case(
    case: Case, border: EngineBorder | None, artifact: OnnxArtifact, root: Path, say: Say
) -> tuple[EngineArtifact | None, tuple[BuildCost, ...]]:
    """The case's engine, if its backend runs one, and what building it took if it was built now."""
    from benchbox.machine.build_watch import BuildWatch

    if border is not None:
        return engine_from_elsewhere(case.source, border, precision=case.precision, batch=case.batch), ()
    watch = BuildWatch()
    built = engine_of_case(case, artifact, root, say)
    if built is None or built.cached:
        return (built.engine if built else None), ()
    # It was built in a process of its own: its memory counts, not this one's.
    return built.engine, (dataclasses.replace(watch.cost("engine"), peak_host_bytes=built.peak_host_bytes),)


def engine_of_case(case: Case, artifact: OnnxArtifact, root: Path, say: Say) -> Built | None:
    """The engine for a backend that runs one, built for exactly the batch size of the case; None for the others."""
    from benchbox.export.engines import engine_from_artifact

    backend = BACKENDS.get(case.backend)
    compiler = BACKENDS.get(backend.compiler) if isinstance(backend, EngineBackend) else None
    if not isinstance(compiler, Compiler):
        return None
    size = BatchRange(minimum=case.batch, optimum=case.batch, maximum=case.batch)
    return engine_from_artifact(
        artifact,
        compiler=compiler,
        precision=case.precision,
        root=root,
        batch=size,
        options=case.builder,
        say=say,
    )


def _blank(case: Case, environment: Environment) -> Record:
    """The record of a case before anything is known about it."""
    import datetime

    from benchbox.store.records import new_record_id

    now = datetime.datetime.now(datetime.UTC)
    return Record(
        id=new_record_id(now),
        status=Status.SKIPPED,
        reason="",
        key=RecordKey(
            model=case.source.name,
            backend=case.backend,
            precision=case.precision,
            batch=case.batch,
            mode=case.mode,
            device=BACKENDS.get(case.backend).device,
            variant=case.variant,
        ),
        plan=case.plan,
        environment=environment,
        started_at=now.isoformat(timespec="seconds"),
    )


def _measured_from(trials: Sequence[Trial], prepared_at: str) -> str:
    """When the first timed process started; where none did, the first process; where none ran, the preparation."""
    import datetime

    timed = [trial for trial in trials if trial.pass_ is Pass.TIMING] or trials
    moments = [datetime.datetime.fromisoformat(trial.started_at) for trial in timed]
    return min(moments).isoformat(timespec="seconds") if moments else prepared_at
