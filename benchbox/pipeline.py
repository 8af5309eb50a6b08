"""In which order does a network become a record?

    source -> ONNX file (export, check) -> cost on paper -> outputs checked -> time -> memory -> record stored

The order of the stages is all that lives here; each stage lives in its own package.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from benchbox.backends.base import BACKENDS, Compiler
from benchbox.errors import BenchboxError, EnvironmentLackError, UsageError
from benchbox.flops.graph import Graph
from benchbox.schema.artifact import BatchRange, OnnxArtifact
from benchbox.schema.cost import NetworkCost
from benchbox.schema.derivation import USUAL, Derivation
from benchbox.schema.environment import Environment
from benchbox.schema.model import ModelSource, Precision, SourceKind
from benchbox.schema.plan import MeasurementPlan, Mode
from benchbox.schema.reading import Trial
from benchbox.schema.record import Analytic, Record, RecordKey, Status

if TYPE_CHECKING:
    from benchbox.export.engines import Built


_Wanted = tuple[ModelSource, Precision, Derivation]


class Progress(Protocol):
    """Where the stages say what they do."""

    def say(self, text: str) -> None:
        """One line that stays."""
        ...

    def step(self, done: float, total: float, text: str) -> None:
        """``done`` of ``total`` steps are finished; ``text`` runs now."""
        ...


@dataclass(frozen=True, kw_only=True)
class Case:
    """One combination to measure."""

    source: ModelSource
    backend: str
    precision: Precision
    batch: int
    mode: Mode = Mode.ISOLATED
    derivation: Derivation = USUAL

    @property
    def title(self) -> str:
        """The case in a few words."""
        name = f"{self.source.name} {self.backend} {self.precision} b{self.batch}"
        return f"{name} {self.derivation.variant}".strip()


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a case: its record, its raw trials, and the error behind a failed or skipped one."""

    record: Record
    trials: tuple[Trial, ...] = ()
    error: BenchboxError | None = None


def cases_from_axes(
    *,
    sources: Sequence[ModelSource],
    backends: Sequence[str],
    precisions: Sequence[Precision],
    batches: Sequence[int],
    mode: Mode = Mode.ISOLATED,
    derivation: Derivation = USUAL,
) -> tuple[Case, ...]:
    """Every combination, models outermost; raises UsageError if no backend can run any of the precisions.

    ``derivation`` is for the precisions that have a use for it.
    """
    wanted = [(precision, derivation.for_precision(precision)) for precision in precisions]
    axes = itertools.product(sources, backends, wanted, batches)
    cases = tuple(
        Case(source=source, backend=name, precision=precision, batch=size, mode=mode, derivation=choice)
        for source, name, (precision, choice), size in axes
    )
    refusals = {(case.backend, case.precision): BACKENDS.get(case.backend).refusal(case.precision) for case in cases}
    if refusals and all(refusals.values()):
        raise UsageError(
            "nothing that was asked for can run",
            values="\n".join(f"{backend} {precision}: {why}" for (backend, precision), why in refusals.items()),
            remedy="'benchbox doctor' lists what each backend runs",
        )
    return cases


def best_backend() -> str:
    """The usable backend of highest rank; raises EnvironmentLackError where there is none."""
    candidates = sorted((backend for backend in BACKENDS if backend.rank >= 0), key=lambda found: -found.rank)
    reasons = []
    for backend in candidates:
        availability = backend.probe()
        if availability.usable:
            return backend.name
        reasons.append(f"{backend.name}: {availability.reason}; {availability.remedy}")
    raise EnvironmentLackError(
        "no backend can run on this machine", values="\n".join(reasons), remedy="see 'benchbox doctor'"
    )


def exported_sources(root: Path) -> tuple[ModelSource, ...]:
    """The networks that have an artifact under the root, each once, in alphabetical order."""
    from benchbox.models.sources import resolve
    from benchbox.store.artifacts import artifacts_under

    found: dict[ModelSource, None] = {}
    for artifact in sorted(artifacts_under(root), key=lambda artifact: artifact.model):
        bound = tuple(size for size in artifact.inputs[0].shape[1:] if size is not None)
        found[resolve(artifact.source, input_shape=bound, weights=artifact.weights)] = None
    return tuple(found)


def onnx_from_source(
    source: ModelSource,
    *,
    precision: Precision,
    root: Path,
    batch: BatchRange | None = None,
    derivation: Derivation = USUAL,
    say: Callable[[str], None] = lambda _: None,
) -> OnnxArtifact:
    """The checked ONNX file of a network, from the cache where nothing that matters has changed.

    tf32 runs the fp32 graph: the difference is what the backend may do with it.
    """
    from benchbox.export.exporting import artifact_from_source, cached_artifact

    wanted = Precision.FP32 if precision is Precision.TF32 else precision
    cached = cached_artifact(source, precision=wanted, root=root, batch=batch, derivation=derivation)
    return cached or artifact_from_source(
        source, precision=wanted, batch=batch, root=root, derivation=derivation, say=say
    )


def engine_from_source(
    source: ModelSource,
    *,
    compiler: Compiler,
    precision: Precision,
    root: Path,
    batch: BatchRange | None = None,
    targets: tuple[str, ...] = (),
    timing_cache: Path | None = None,
    derivation: Derivation = USUAL,
    say: Callable[[str], None] = lambda _: None,
) -> Built:
    """The engine of a network, its ONNX file exported and checked first if need be; both come from caches if whole."""
    from benchbox.export.engines import engine_from_artifact

    refusal = compiler.refusal(precision)
    if refusal:
        raise UsageError(f"{compiler.name} cannot build {precision}", values=refusal)
    artifact = onnx_from_source(source, precision=precision, root=root, derivation=derivation, say=say)
    return engine_from_artifact(
        artifact,
        compiler=compiler,
        precision=precision,
        root=root,
        batch=batch,
        targets=targets,
        timing_cache=timing_cache,
        say=say,
    )


def graph_from_source(
    source: ModelSource,
    *,
    batch: int | None = None,
    named: Mapping[str, tuple[int, ...]] | None = None,
    root: Path,
    say: Callable[[str], None] = lambda _: None,
) -> tuple[Graph, str]:
    """The graph that a network's cost is counted on, and the sha256 of the file that it was read from.

    That is the user's own ONNX file, or the exported one if it is there already, else the structure without weights.
    """
    from benchbox.export.exporting import cached_artifact
    from benchbox.export.outline import structure_from_source
    from benchbox.flops.graph import graph_from_file
    from benchbox.store.artifacts import sha256_of

    if source.kind is SourceKind.ONNX:
        path = Path(source.reference)
        graph = graph_from_file(path, batch=batch, input_shape=source.input_shape, named=named)
        return graph, sha256_of(path)
    if source.weights is not None:
        artifact: OnnxArtifact | None = onnx_from_source(source, precision=Precision.FP32, root=root, say=say)
    else:
        artifact = cached_artifact(source, precision=Precision.FP32, root=root)
    path = root / artifact.path if artifact else structure_from_source(source, root=root, say=say)
    graph = graph_from_file(path, batch=batch, input_shape=source.input_shape, named=named)
    return graph, artifact.sha256 if artifact else sha256_of(path)


def cost_from_source(
    source: ModelSource,
    *,
    batch: int | None = None,
    named: Mapping[str, tuple[int, ...]] | None = None,
    allow_unknown: bool = False,
    root: Path,
    say: Callable[[str], None] = lambda _: None,
) -> NetworkCost:
    """What a network costs on paper at one batch size, counted on its ONNX structure."""
    from benchbox.flops.counting import cost_from_graph

    graph, sha256 = graph_from_source(source, batch=batch, named=named, root=root, say=say)
    return cost_from_graph(graph, model=source.name, sha256=sha256, allow_unknown=allow_unknown)


def measured(cases: Sequence[Case], *, plan: MeasurementPlan, root: Path, progress: Progress) -> Iterator[Outcome]:
    """Measures the cases in order and yields each outcome when its record has been stored.

    An error inside a case becomes a failed or skipped record and the next case goes on; a lone case that cannot run
    at all raises its UsageError or EnvironmentLackError and leaves no record. Numbers from a
    virtual clock are yielded but never stored.
    """
    from benchbox.measure.environment import capture
    from benchbox.store.records import append, check_writable

    check_writable(root)
    environment = capture()
    # A factory is never taken from the cache on disk, so its file is made once for all cases of this run.
    artifacts: dict[_Wanted, OnnxArtifact] = {}
    for number, case in enumerate(cases):
        share = _CaseProgress(progress, number, len(cases), case.title)
        outcome = _outcome(case, plan, root, environment, share, artifacts)
        if len(cases) == 1 and outcome.error and outcome.record.status is Status.SKIPPED:
            raise outcome.error  # in a matrix a skipped combination is an answer; asked for alone it is a mistake
        if not BACKENDS.get(case.backend).virtual:
            append(root, outcome.record, outcome.trials)
        yield outcome


def planned(cases: Sequence[Case], *, plan: MeasurementPlan) -> tuple[Record, ...]:
    """What ``measured`` would do, as skipped records that are stored nowhere."""
    from benchbox.measure.environment import capture

    environment = capture()
    blanks = [_blank(case, plan, environment) for case in cases]
    refusals = [BACKENDS.get(case.backend).refusal(case.precision) for case in cases]
    reasons = [f"cannot run: {refusal}" if refusal else "dry run: would be measured" for refusal in refusals]
    return tuple(
        dataclasses.replace(blank, status=Status.SKIPPED, reason=why)
        for blank, why in zip(blanks, reasons, strict=True)
    )


@dataclass(frozen=True)
class _CaseProgress:
    """One case's share of the whole progress."""

    outer: Progress
    number: int
    cases: int
    title: str

    def say(self, text: str) -> None:
        self.outer.say(f"{self.title}: {text}")

    def step(self, done: float, total: float, text: str) -> None:
        self.outer.step(self.number * total + done, self.cases * total, f"{self.title}: {text}")


def _outcome(
    case: Case,
    plan: MeasurementPlan,
    root: Path,
    environment: Environment,
    progress: _CaseProgress,
    artifacts: dict[_Wanted, OnnxArtifact],
) -> Outcome:
    blank = _blank(case, plan, environment)
    try:
        require_runnable(case.backend, case.precision, case.source)
        wanted = (case.source, case.precision, case.derivation)
        if wanted not in artifacts:
            artifacts[wanted] = onnx_from_source(
                case.source, precision=case.precision, root=root, derivation=case.derivation, say=progress.say
            )
        return _measured_outcome(case, blank, artifacts[wanted], root, progress)
    except BenchboxError as error:
        # What cannot run was not tried: skipped. What was tried and went wrong: failed.
        status = Status.SKIPPED if isinstance(error, UsageError | EnvironmentLackError) else Status.FAILED
        return Outcome(record=dataclasses.replace(blank, status=status, reason=_reason(error)), error=error)


def _reason(error: BenchboxError | None) -> str:
    """An error as one line of a record."""
    parts = (error.what, error.values) if error else ()
    return "; ".join(" ".join(part.split()) for part in parts if part)


def _measured_outcome(
    case: Case, blank: Record, artifact: OnnxArtifact, root: Path, progress: _CaseProgress
) -> Outcome:
    from benchbox.measure.case import CaseRequest, result_from_case

    cost = _cost_from_artifact(artifact, root=root, batch=case.batch)
    request = CaseRequest(
        backend=case.backend,
        precision=case.precision,
        plan=blank.plan,
        artifact=artifact,
        root=root,
        source=case.source,
        flops=cost.flops,
    )
    result = result_from_case(request, progress=progress.step)
    record = dataclasses.replace(
        blank,
        status=Status.FAILED if result.error else Status.OK,
        reason=_reason(result.error),
        readings=result.readings,
        flags=result.flags,
        correctness=dataclasses.replace(result.correctness, hops=(*artifact.hops, *result.correctness.hops)),
        evidence=result.evidence,
        analytic=Analytic(
            params=cost.params,
            macs=cost.macs,
            flops=cost.flops,
            weight_bytes=cost.weight_bytes,
            peak_activation_bytes=cost.peak_activation_bytes,
        ),
        onnx_sha256=artifact.sha256,
    )
    return Outcome(record=record, trials=result.trials, error=result.error)


def require_runnable(name: str, precision: Precision, source: ModelSource) -> None:
    """Raises UsageError or EnvironmentLackError with the reason if a backend cannot run a network in a precision."""
    backend = BACKENDS.get(name)
    refusal = backend.refusal(precision)
    if refusal:
        raise UsageError(f"{name} cannot run {precision}", values=refusal)
    if backend.consumes == "module" and source.kind is SourceKind.ONNX:
        raise UsageError(
            f"{name} runs PyTorch modules, not ONNX files",
            values=source.reference,
            remedy="name the network as package.module:factory, or choose another --backend",
        )
    state = backend.probe()
    if not state.usable:
        what = f"backend {name} cannot run on this machine"
        raise EnvironmentLackError(what, values=state.reason, remedy=state.remedy)


def _blank(case: Case, plan: MeasurementPlan, environment: Environment) -> Record:
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
            variant=case.derivation.variant,
        ),
        plan=dataclasses.replace(plan, batch=case.batch, mode=case.mode),
        environment=environment,
        started_at=now.isoformat(timespec="seconds"),
    )


def _cost_from_artifact(artifact: OnnxArtifact, *, root: Path, batch: int) -> NetworkCost:
    from benchbox.flops.counting import cost_from_onnx

    bound = tuple(size for size in artifact.inputs[0].shape[1:] if size is not None)
    return cost_from_onnx(
        root / artifact.path, model=artifact.model, batch=batch, input_shape=bound, sha256=artifact.sha256
    )
