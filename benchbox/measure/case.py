"""What is one case, and what follows from all of its processes?

Outputs are checked first; no number is taken from a network whose outputs are wrong. Time and memory are never taken in
the same process: tracking memory disturbs timing. ``schedule.py`` says in which order the processes of several cases
run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchbox.backends.base import BACKENDS
from benchbox.errors import ArtifactError, BenchboxError, NumericsError, bug_from_error
from benchbox.flags.case import flags_of
from benchbox.flags.precision import shares_in_words
from benchbox.flags.seen import HALF_WIDTH_WANTED, Seen, half_width, headline_of
from benchbox.limits import effective_cpus
from benchbox.measure.energy.trial import with_time_for_energy
from benchbox.measure.process.together import run_trials_together
from benchbox.measure.process.trials import TrialRequest, run_trial
from benchbox.metrics.metric import METRICS
from benchbox.metrics.readings import reading_from_trials, readings_from_trials, sampling_from_trials, timing_trials
from benchbox.metrics.workload import Workload, workload_of
from benchbox.schema.artifact import Hop, OnnxArtifact
from benchbox.schema.engine import EngineArtifact
from benchbox.schema.model import ModelSource, Precision
from benchbox.schema.plan import MeasurementPlan
from benchbox.schema.proof import OtherLayer, Proof
from benchbox.schema.reading import Flag, Reading
from benchbox.schema.record import Correctness, Sampling
from benchbox.schema.trial import Evidence, Pass, Trial
from benchbox.stats.agreement import distance_in_words
from benchbox.stats.inputs import fed_inputs
from benchbox.units import format_share

# With --quick, how long the timed processes of a case may take together, and those for memory, and how many of each
# run however long they take: two have an interval.
QUICK_MOST_S = 60.0
LEAST_PROCESSES = 2


@dataclass(frozen=True, kw_only=True)
class CaseRequest:
    """One network on one backend: what to run and how. ``flops`` are those of the cost model, 0 if unknown.

    ``engine`` is set for backends that run one; ``title`` names the case to people; ``interpreter`` is the
    command of the Python that its processes run in, this one by default. ``prove`` makes a proof of execution of what
    the check brought back; with ``insist`` a case whose proof does not pass has failed and is not timed. ``quick`` and
    ``paired`` say what was asked for (--quick, --ab), for the flags' advice.
    """

    backend: str
    precision: Precision
    plan: MeasurementPlan
    artifact: OnnxArtifact
    source: ModelSource
    root: Path
    flops: int
    engine: EngineArtifact | None = None
    title: str = ""
    interpreter: tuple[str, ...] = ()
    prove: Callable[[Trial], Proof] | None = None
    insist: bool = False
    quick: bool = False
    paired: bool = False


@dataclass(frozen=True, kw_only=True)
class CaseResult:
    """What became of a case: readings and flags, or the error that ended it; trials up to there in either case."""

    trials: tuple[Trial, ...]
    readings: tuple[Reading, ...] = ()
    flags: tuple[Flag, ...] = ()
    correctness: Correctness = field(default_factory=Correctness)
    evidence: Evidence | None = None
    proof: Proof | None = None
    error: BenchboxError | None = None
    sampling: Sampling | None = None


class CaseRun:
    """A case while it is measured: what its processes brought back so far.

    An error of a process ends the case and is part of its result.
    """

    def __init__(self, request: CaseRequest) -> None:
        self.request = request
        self.trials: list[Trial] = []
        self.error: BenchboxError | None = None
        self._correctness = Correctness()
        self._proof: Proof | None = None

    def check(self) -> None:
        """Compares the outputs with the expected ones, and the executed precision with the requested one.

        A case with wrong outputs is over; one in another precision only where that was insisted on.
        """
        trial = self._ran(Pass.CHECK)
        if trial is None or BACKENDS.get(self.request.backend).virtual:
            return
        self._correctness = _correctness(trial, self.request.artifact)
        try:
            for hop in self._correctness.hops if not self.request.artifact.unchecked else ():
                _require_right(hop, self.request)
            if self.request.prove is not None:
                self._proof = self.request.prove(trial)
                _require_proof(self._proof, insist=self.request.insist)
        except BenchboxError as error:
            self.error = error
        except Exception as error:  # a bug must not take the other cases with it
            self.error = bug_from_error(error)

    def time(self) -> None:
        """Times one more process."""
        self._ran(Pass.TIMING)

    def next_timing(self) -> TrialRequest:
        """The process that would be timed next."""
        return _trial_request(self.request, Pass.TIMING, self._count(Pass.TIMING))

    def take(self, answer: Trial | BenchboxError | None) -> None:
        """Adds what ``next_timing`` brought back; None where it was in vain."""
        if isinstance(answer, BenchboxError):
            self.error = answer
        elif answer is not None:
            self.trials.append(answer)

    def weigh(self) -> None:
        """Measures memory, then energy if requested: last, because it heats the machine."""
        plan = self.request.plan
        for purpose in [*[Pass.MEMORY] * plan.memory_trials, *([Pass.ENERGY] if plan.energy_windows else [])]:
            if not self.over and not (purpose is Pass.MEMORY and self._took_too_long(purpose)):
                self._ran(purpose)

    @property
    def over(self) -> bool:
        """Whether an error has ended the case."""
        return self.error is not None

    @property
    def timed(self) -> int:
        """How many processes were timed."""
        return len(timing_trials(self.trials))

    @property
    def timed_enough(self) -> bool:
        """Whether the planned processes ran, and as many more as it took for a narrow interval or were to be had."""
        plan, timed = self.request.plan, timing_trials(self.trials)
        if self._took_too_long(Pass.TIMING):
            return True
        if len(timed) < plan.trials:
            return False
        if len(timed) >= plan.max_trials or sum(trial.duration_s for trial in timed) > plan.timing_budget_s:
            return True
        reading = reading_from_trials(METRICS.get(headline_of(plan)), self.trials, self._workload)
        return half_width(reading) <= HALF_WIDTH_WANTED

    def result(self, *, interrupted: bool = False) -> CaseResult:
        """Readings and flags of what ran; a bug that shows here is an error of this case only.

        Args:
            interrupted: not all of it ran, because the user ended the run.
        """
        if self.error is None:
            try:
                return self._whole(interrupted=interrupted)
            except Exception as error:  # as in ``check``
                self.error = bug_from_error(error)
        return CaseResult(trials=tuple(self.trials), correctness=self._correctness, proof=self._proof, error=self.error)

    def _whole(self, *, interrupted: bool) -> CaseResult:
        request, trials = self.request, self.trials
        readings = readings_from_trials(trials, self._workload)
        seen = Seen(
            virtual=BACKENDS.get(request.backend).virtual,
            precision=request.precision,
            plan=request.plan,
            trials=trials,
            readings=readings,
            evidence=trials[0].evidence,
            cpus=effective_cpus(),
            quantization=request.artifact.quantization,
            unchecked=request.artifact.unchecked,
            empty=request.artifact.empty,
            proof=self._proof,
            interrupted=interrupted,
            quick=request.quick,
            paired=request.paired,
            inputs=fed_inputs(request.artifact.inputs, batch=request.plan.batch),
            hops=self._correctness.hops if self._correctness is not None else (),
        )
        return CaseResult(
            trials=tuple(trials),
            readings=readings,
            flags=flags_of(seen),
            correctness=self._correctness,
            evidence=trials[0].evidence,
            proof=self._proof,
            sampling=sampling_from_trials(trials),
        )

    @property
    def _workload(self) -> Workload:
        return workload_of(self.request.plan, flops=self.request.flops)

    def _took_too_long(self, purpose: Pass) -> bool:
        """Whether --quick ends a pass early: nobody said how many processes, and those that ran took a minute."""
        plan = self.request.plan
        if not self.request.quick or plan.max_trials <= plan.trials:
            return False
        took_s = [trial.duration_s for trial in self.trials if trial.pass_ is purpose]
        return len(took_s) >= LEAST_PROCESSES and sum(took_s) > QUICK_MOST_S

    def _count(self, purpose: Pass) -> int:
        return sum(1 for trial in self.trials if trial.pass_ is purpose)

    def _ran(self, purpose: Pass) -> Trial | None:
        try:
            self.trials.append(run_trial(_trial_request(self.request, purpose, self._count(purpose))))
        except BenchboxError as error:
            self.error = error
            return None
        return self.trials[-1]


def time_together(runs: Sequence[CaseRun]) -> None:
    """Times one more process of each case, all there at once and each in its turns."""
    try:
        answers = run_trials_together([run.next_timing() for run in runs])
    except BenchboxError as error:  # nothing of any of them could be kept
        answers = (error,) * len(runs)
    for run, answer in zip(runs, answers, strict=True):
        run.take(answer)


def _trial_request(request: CaseRequest, purpose: Pass, number: int) -> TrialRequest:
    return TrialRequest(
        pass_=purpose,
        number=number,
        backend=request.backend,
        precision=request.precision,
        plan=with_time_for_energy(request.plan) if purpose is Pass.ENERGY else request.plan,
        artifact=request.artifact,
        source=request.source,
        root=request.root,
        engine=request.engine,
        interpreter=request.interpreter,
    )


def _correctness(trial: Trial, artifact: OnnxArtifact) -> Correctness:
    hops = tuple(hop for hop in (trial.file_hop, trial.hop) if hop is not None)
    passed = None if artifact.unchecked else all(hop.passed for hop in hops)
    return Correctness(hops=hops, passed=passed, expected_by=artifact.expected_by)


def _require_right(hop: Hop, request: CaseRequest) -> None:
    if not hop.passed:
        raise NumericsError(
            f"the outputs of {request.source.name} on {request.backend} are beyond tolerance",
            values=f"{hop.source} -> {hop.target}: {distance_in_words(hop)}",
            remedy=_remedy(hop, request),
        )


def _require_proof(proof: Proof, *, insist: bool) -> None:
    if insist and not proof.passed:
        switch = "" if proof.switch_fits else f", TF32 is {proof.tf32}"
        raise ArtifactError(
            f"precision: {proof.asked} was executed for {format_share(proof.share)} of the MACs, "
            f"{format_share(proof.required)} are required",
            values=f"{shares_in_words(proof)}{switch}; not in {proof.type}: "
            f"{', '.join(map(_layer_in_words, proof.layers)) or 'no layer'}",
            remedy="choose a backend that runs this precision, or a lower --min-executed",
        )


def _layer_in_words(layer: OtherLayer) -> str:
    return f"{layer.name} ({layer.type})"


def _remedy(hop: Hop, request: CaseRequest) -> str:
    words = "wrong outputs get no numbers; docs/metrics.md lists the tolerances"
    if hop.source != request.artifact.form or request.precision is not Precision.INT8:
        return words
    saturated = "on x86 without VNNI, 8-bit kernels may accumulate in 16 bits and saturate"
    return f"{words}. The file is right: {saturated}; another --backend, or a CPU with VNNI, may give right ones"
