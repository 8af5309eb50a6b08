"""In which order is one case measured? Outputs first, then time, then memory, each in fresh processes.

No number is taken from a network whose outputs are wrong. Time and memory are never taken in the same process: what
watches memory disturbs time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchbox.backends.base import BACKENDS
from benchbox.errors import ArtifactError, BenchboxError
from benchbox.measure.energy_pass import with_time_for_energy
from benchbox.measure.environment import effective_cpus
from benchbox.measure.flags import Seen, flags_of
from benchbox.measure.metric import Workload
from benchbox.measure.reading import readings_from_trials
from benchbox.measure.trials import TrialRequest, run_trial
from benchbox.schema.artifact import Hop, OnnxArtifact
from benchbox.schema.engine import EngineArtifact
from benchbox.schema.model import ModelSource, Precision
from benchbox.schema.plan import MeasurementPlan
from benchbox.schema.reading import Evidence, Flag, Pass, Reading, Trial
from benchbox.schema.record import Correctness

Progress = Callable[[float, float, str], None]


@dataclass(frozen=True, kw_only=True)
class CaseRequest:
    """One network on one backend: what to run and how. ``flops`` are those of one inference on paper.

    ``engine`` is set for backends that run one.
    """

    backend: str
    precision: Precision
    plan: MeasurementPlan
    artifact: OnnxArtifact
    source: ModelSource
    root: Path
    flops: int
    engine: EngineArtifact | None = None


@dataclass(frozen=True, kw_only=True)
class CaseResult:
    """What became of a case: readings and flags, or the error that ended it; trials up to there in either case."""

    trials: tuple[Trial, ...]
    readings: tuple[Reading, ...] = ()
    flags: tuple[Flag, ...] = ()
    correctness: Correctness = field(default_factory=Correctness)
    evidence: Evidence | None = None
    error: BenchboxError | None = None


def result_from_case(request: CaseRequest, *, progress: Progress) -> CaseResult:
    """Checks, times and weighs one case; an error of a trial ends it and is part of the result.

    Args:
        request: the case.
        progress: is told (steps done, steps in all, what runs now).
    """
    plan = request.plan
    passes = [Pass.CHECK, *[Pass.TIMING] * plan.trials, *[Pass.MEMORY] * plan.memory_trials]
    if plan.energy_windows:
        passes.append(Pass.ENERGY)  # last: it heats
    trials: list[Trial] = []
    correctness = Correctness()
    try:
        for done, purpose in enumerate(passes):
            number = sum(1 for trial in trials if trial.purpose is purpose)
            progress(done, len(passes), _title(purpose, number, plan))
            trials.append(run_trial(_trial_request(request, purpose, number)))
            if purpose is Pass.CHECK and not BACKENDS.get(request.backend).virtual:
                correctness = _correctness(trials[-1])
                _require_right(trials[-1].hop, request)
    except BenchboxError as error:
        return CaseResult(trials=tuple(trials), correctness=correctness, error=error)
    progress(len(passes), len(passes), "done")
    readings = readings_from_trials(trials, Workload(batch=plan.batch, flops=request.flops))
    seen = Seen(
        backend=request.backend,
        precision=request.precision,
        plan=plan,
        trials=trials,
        readings=readings,
        evidence=trials[0].evidence,
        cpus=effective_cpus(),
        quantization=request.artifact.quantization,
    )
    return CaseResult(
        trials=tuple(trials),
        readings=readings,
        flags=flags_of(seen),
        correctness=correctness,
        evidence=trials[0].evidence,
    )


def _trial_request(request: CaseRequest, purpose: Pass, number: int) -> TrialRequest:
    return TrialRequest(
        purpose=purpose,
        number=number,
        backend=request.backend,
        precision=request.precision,
        plan=with_time_for_energy(request.plan) if purpose is Pass.ENERGY else request.plan,
        artifact=request.artifact,
        source=request.source,
        root=request.root,
        engine=request.engine,
    )


def _title(purpose: Pass, number: int, plan: MeasurementPlan) -> str:
    if purpose is Pass.CHECK:
        return "checking outputs"
    if purpose is Pass.ENERGY:
        return f"energy, {plan.energy_windows} windows of {plan.energy_window_s:g} s"
    total = plan.trials if purpose is Pass.TIMING else plan.memory_trials
    return f"{'timing' if purpose is Pass.TIMING else 'memory'}, process {number + 1} of {total}"


def _correctness(trial: Trial) -> Correctness:
    assert trial.hop is not None, "a check brings back a hop"
    return Correctness(hops=(trial.hop,), passed=trial.hop.passed)


def _require_right(hop: Hop | None, request: CaseRequest) -> None:
    if hop is not None and not hop.passed:
        raise ArtifactError(
            f"the outputs of {request.source.name} on {request.backend} are beyond tolerance",
            values=f"{hop.source} -> {hop.target}: max abs error {hop.max_abs_error:.3g}, relative L2 error "
            f"{hop.rel_l2_error:.3g}, cosine {hop.cosine:.6f}",
            remedy="no number is published for wrong outputs; tolerances are in docs/metrics.md",
        )
