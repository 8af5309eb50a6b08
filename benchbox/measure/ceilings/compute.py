"""What is the most that each library reaches in a matrix product or a 1x1 convolution, in each precision?

A backend is asked once, in a process of its own, whether its outputs are right and what it really computed in: a
precision that ran as something else has no ceiling, not a low one. Then every shape is timed in one process, and the
best in as many as wanted.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchbox.backends.base import BACKENDS, Backend, ConvertingBackend, EngineBackend, Grade, GradedBackend
from benchbox.cost.counting import cost_from_graph
from benchbox.cost.executed.proof import prover
from benchbox.errors import BenchboxError, one_line
from benchbox.export.one_operator import convolution_artifact, gemm_artifact
from benchbox.flags.precision import shares_in_words
from benchbox.graph.graph import graph_from_file
from benchbox.measure.case import CaseRequest, CaseRun
from benchbox.measure.ceilings.effort import Effort, Shape
from benchbox.measure.ceilings.native import ProductRequest, ProductTimes
from benchbox.measure.ceilings.pace import Timed, timed_from_trial
from benchbox.measure.process.trials import run_worker
from benchbox.metrics.readings import timing_trials
from benchbox.models.one_operator import operator_source
from benchbox.schema.artifact import OnnxArtifact
from benchbox.schema.device import ComputeCeiling, Form, NoCeiling, Pace
from benchbox.schema.engine import EngineArtifact
from benchbox.schema.model import Precision
from benchbox.schema.proof import REQUIRED_SHARE, Proof
from benchbox.schema.reading import Flag
from benchbox.schema.trial import Trial

NUMPY = "numpy"
Engines = Callable[[OnnxArtifact, str, Precision], EngineArtifact | None]


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What is timed: a library in a precision, one shape as one operator, so many threads."""

    library: str
    precision: Precision
    shape: Shape
    threads: int
    form: Form = Form.PRODUCT

    @property
    def title(self) -> str:
        """For people."""
        form = "" if self.form is Form.PRODUCT else f"{self.form} "
        return f"{self.library} {self.precision} {form}{'x'.join(map(str, self.shape))} threads {self.threads}"


@dataclass(kw_only=True)
class Timings:
    """What the processes of a subject brought back so far."""

    subject: Subject
    processes: list[Timed] = field(default_factory=list)
    version: str = ""
    flags: tuple[Flag, ...] = ()

    def rate(self, kind: Pace) -> float:
        """Operations per second: the median over the processes."""
        return statistics.median(self.rates(kind))

    def rates(self, kind: Pace) -> list[float]:
        """Operations per second of each process."""
        m, n, k = self.subject.shape
        return [2 * m * n * k / timed.seconds(kind) for timed in self.processes]


def ceiling_of(timings: Timings, kind: Pace) -> ComputeCeiling:
    """The ceiling that a subject's processes give."""
    rates, subject = timings.rates(kind), timings.subject
    return ComputeCeiling(
        precision=subject.precision,
        kind=kind,
        threads=subject.threads,
        flops_per_s=statistics.median(rates),
        low=min(rates),
        high=max(rates),
        library=subject.library,
        version=timings.version,
        shape=subject.shape,
        form=subject.form,
        n=len(rates),
    )


def best_of(ceilings: Sequence[ComputeCeiling]) -> tuple[ComputeCeiling, ...]:
    """The highest of each precision, pace and number of threads, over all libraries."""
    best: dict[tuple[Precision, Pace, int], ComputeCeiling] = {}
    for one in ceilings:
        key = (one.precision, one.kind, one.threads)
        if key not in best or one.flops_per_s > best[key].flops_per_s:
            best[key] = one
    return tuple(best.values())


def why_not(backend: Backend, precision: Precision, isa: frozenset[str]) -> str | None:
    """Why a backend cannot have a ceiling in a precision, before anything runs; None where it may."""
    if refusal := backend.refusal(precision):
        return refusal
    if isinstance(backend, GradedBackend):
        grade, reason = backend.grade(precision, isa)
        if grade in {Grade.WIDENED, Grade.SLOWLY}:
            return reason
    return None


def why_unproven(proof: Proof | None) -> str | None:
    """Why what ran does not count as the precision; None where it does."""
    if proof is None:
        return "what it executed cannot be proven"
    if proof.passed:
        return None
    words = "cannot be proven" if proof.passed is None else "ran as something else"
    return f"{proof.asked} {words}: {shares_in_words(proof)}"


def version_of(trial: Trial) -> str:
    """The version of the library that a trial ran on, without its build."""
    return next(iter(trial.evidence.versions.values()), "").split("-")[0]


class Bench:
    """Times subjects in fresh processes, one at a time; files of the networks lie in ``root``.

    ``engines`` makes an engine for backends that run one.
    """

    def __init__(self, root: Path, effort: Effort, *, engines: Engines, unsigned: bool) -> None:
        self.effort = effort
        self._root = root
        self._engines = engines
        self._unsigned = unsigned
        self._artifacts: dict[tuple[Form, Shape, Precision], OnnxArtifact] = {}
        self._runs: dict[Subject, CaseRun] = {}

    def checked(self, subject: Subject) -> NoCeiling | None:
        """Runs the check of a backend in a precision; why it has no ceiling there, None where it may have one."""
        if subject.library == NUMPY:
            return None  # looks at its outputs itself, and computes in the type of its arrays
        try:
            run = self._run(subject, proving=True)
            run.check()
            proof = run.result().proof
        except BenchboxError as error:
            return _refused(subject, error)
        if run.error is not None:
            return _refused(subject, run.error)
        reason = why_unproven(proof)
        return NoCeiling(precision=subject.precision, library=subject.library, reason=reason) if reason else None

    def time(self, timings: Timings) -> NoCeiling | None:
        """Times one more process of a subject; why there is no ceiling where it failed."""
        subject = timings.subject
        try:
            if subject.library == NUMPY:
                self._time_numpy(timings)
                return None
            run = self._runs.setdefault(subject, self._run(subject, proving=False))
            run.time()
            if run.error is not None:
                return _refused(subject, run.error)
        except BenchboxError as error:
            return _refused(subject, error)
        trial = timing_trials(run.trials)[-1]
        timings.processes.append(timed_from_trial(trial))
        timings.version = version_of(trial)
        timings.flags = run.result().flags
        return None

    def _time_numpy(self, timings: Timings) -> None:
        effort, subject = self.effort, timings.subject
        answer = run_worker(
            ProductRequest(
                shape=subject.shape,
                threads=subject.threads,
                warmup_s=effort.warmup_s,
                window_s=effort.window_s,
            )
        )
        assert isinstance(answer, ProductTimes), "a worker answers a product with its times"
        timings.processes.append(Timed(before_ns=answer.warmup_ns, window_ns=answer.window_ns))
        timings.version = answer.version

    def _run(self, subject: Subject, *, proving: bool) -> CaseRun:
        backend = BACKENDS.get(subject.library)
        converts = isinstance(backend, ConvertingBackend) and subject.precision in backend.converts
        plain = converts or backend.consumes == "module" or subject.precision is Precision.TF32
        artifact = self._artifact(subject, Precision.FP32 if plain else subject.precision)
        prove = None
        if proving:
            graph = graph_from_file(
                self._root / artifact.path,
                batch=1,
                named={spec.name: tuple(size or 0 for size in spec.sample_shape) for spec in artifact.inputs},
                axes={spec.name: None for spec in artifact.inputs},
            )
            cost = cost_from_graph(graph, model=artifact.model, sha256=artifact.sha256)
            prove = prover(graph, cost, precision=subject.precision, required=REQUIRED_SHARE)
        needs_engine = isinstance(backend, EngineBackend)
        return CaseRun(
            CaseRequest(
                backend=subject.library,
                precision=subject.precision,
                plan=self.effort.plan(subject.threads),
                artifact=artifact,
                engine=self._engines(artifact, subject.library, subject.precision) if needs_engine else None,
                # Of a convolution nobody asks for the module: what runs modules computes products alone.
                source=operator_source("gemm", artifact.model),
                root=self._root,
                flops=0,
                title=subject.title,
                prove=prove,
            )
        )

    def _artifact(self, subject: Subject, precision: Precision) -> OnnxArtifact:
        key = (subject.form, subject.shape, precision)
        if key not in self._artifacts:
            write = gemm_artifact if subject.form is Form.PRODUCT else convolution_artifact
            self._artifacts[key] = write(self._root, subject.shape, precision, unsigned=self._unsigned)
        return self._artifacts[key]


def convolves(library: str) -> bool:
    """Whether a library runs files, and so convolutions too; else matrices are multiplied by it directly."""
    return library != NUMPY and BACKENDS.get(library).consumes != "module"


def _refused(subject: Subject, error: BenchboxError) -> NoCeiling:
    text = "; ".join(" ".join(part.split()) for part in (error.what, error.values) if part)
    return NoCeiling(precision=subject.precision, library=subject.library, reason=one_line(text, 300))
