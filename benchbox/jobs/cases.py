"""What is one case to measure, which cases follow from the axes of a run, and can they run here?"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from benchbox.backends.base import BACKENDS
from benchbox.backends.probing import probe_of
from benchbox.errors import EnvironmentLackError, UsageError
from benchbox.export.elsewhere import onnx_beside
from benchbox.jobs.prepare import own_batch, own_precision
from benchbox.schema.artifact import OnnxArtifact, TensorSpec, fixed_batch
from benchbox.schema.derivation import USUAL, Derivation
from benchbox.schema.model import ModelSource, Precision, SourceKind
from benchbox.schema.plan import LEAST_TURNS, LOADGEN_MODES, TURN_S, MeasurementPlan, Mode
from benchbox.stats.rank import LEAST_PAIRS


@dataclass(frozen=True, kw_only=True)
class Case:
    """One combination to measure.

    ``plan`` is the whole plan of its processes, batch size and mode included; ``interpreter`` is the command of the
    Python that they run in. ``batch_asked`` says whether somebody asked for that batch size: else it is that of the
    network, where its code or file fixes one. ``builder`` are choices of the engine's builder ("builder_level=5").
    """

    source: ModelSource
    backend: str
    precision: Precision
    plan: MeasurementPlan
    derivation: Derivation = USUAL
    interpreter: tuple[str, ...] = ()
    batch_asked: bool = True
    builder: tuple[str, ...] = ()

    @property
    def batch(self) -> int:
        """Samples per inference."""
        return self.plan.batch

    @property
    def mode(self) -> Mode:
        """How requests are issued."""
        return self.plan.mode

    @property
    def title(self) -> str:
        """The case in a few words."""
        name = f"{self.source.name} {self.backend} {self.precision} b{self.batch}"
        return f"{name} {self.variant}".strip()

    @property
    def variant(self) -> str:
        """What else tells the case apart: sizes of its inputs, choices of a derived precision and of the builder."""
        return " ".join(part for part in (self.source.variant, self.derivation.variant, *self.builder) if part)

    def at_batch(self, size: int) -> Case:
        """The case with another number of samples per inference."""
        return self if size == self.batch else replace(self, plan=replace(self.plan, batch=size))


def cases_from_axes(
    *,
    sources: Sequence[ModelSource],
    backends: Sequence[str] | Callable[[ModelSource, Precision], str],
    precisions: Sequence[Precision] | None,
    batches: Sequence[int] | None,
    plan: MeasurementPlan,
    derivation: Derivation = USUAL,
    keep_refusals: bool = False,
) -> tuple[Case, ...]:
    """Every combination, models outermost; raises UsageError if no backend can run any of the precisions.

    Args:
        sources: the networks.
        backends: names, or what chooses one for a network in a precision.
        precisions: of the measurement; None for the one that each network's file is in, else fp32.
        batches: sizes; each takes the place of the plan's own. None for the one that each network's file is fixed at,
            else 1.
        plan: of every case.
        derivation: for the precisions on which it has an effect.
        keep_refusals: what cannot run is wanted too, as an answer: nothing is raised.
    """

    def pairs(source: ModelSource) -> Iterable[tuple[str, tuple[Precision, Derivation]]]:
        found = (own_precision(source),) if precisions is None else precisions
        wanted = [(precision, derivation.for_precision(precision)) for precision in found]
        if callable(backends):
            return [(backends(source, entry[0]), entry) for entry in wanted]
        return itertools.product(backends, wanted)

    cases = tuple(
        Case(
            source=source,
            backend=name,
            precision=precision,
            plan=replace(plan, batch=size),
            derivation=choice,
            batch_asked=batches is not None,
        )
        for source in sources
        for (name, (precision, choice)), size in itertools.product(
            pairs(source), (own_batch(source),) if batches is None else batches
        )
    )
    refusals = {(case.backend, case.precision): BACKENDS.get(case.backend).refusal(case.precision) for case in cases}
    if all(refusals.values()) and not (refusals and keep_refusals):
        raise UsageError(
            "none of the combinations can run" if refusals else "no combination was asked for",
            values="\n".join(f"{backend} {precision}: {why}" for (backend, precision), why in refusals.items()),
            remedy="'benchbox doctor' lists the precisions of each backend",
        )
    return cases


def require_runnable(name: str, precision: Precision, source: ModelSource, plan: MeasurementPlan | None = None) -> None:
    """Raises UsageError or EnvironmentLackError with the reason if a backend cannot run a network so."""
    backend = BACKENDS.get(name)
    if plan is not None:
        _require_mode(plan, name, backend.device)
    refusal = backend.refusal(precision)
    if refusal:
        raise UsageError(f"{name} cannot run {precision}", values=refusal)
    if source.kind is SourceKind.ENGINE and backend.consumes != "engine":
        raise UsageError(
            f"{name} runs no engines",
            values=source.reference,
            remedy="use --backend tensorrt or tensorrt-rtx, whichever built it",
        )
    if backend.consumes == "module" and source.kind is SourceKind.ONNX:
        raise UsageError(
            f"{name} runs PyTorch modules, not ONNX files",
            values=source.reference,
            remedy="name the network as package.module:factory, or choose another --backend",
        )
    state = probe_of(backend)
    if not state.usable:
        what = f"backend {name} cannot run on this machine"
        raise EnvironmentLackError(what, values=state.reason, remedy=state.remedy)


def case_beside(case: Case) -> Case | None:
    """The case of the ONNX file beside its engine from elsewhere, None where there is none."""
    beside = onnx_beside(case.source)
    if beside is None:
        return None
    network = replace(case.source, reference=str(beside), kind=SourceKind.ONNX, digest="")
    return replace(case, source=network)


def require_batch(case: Case, inputs: Iterable[TensorSpec]) -> int | None:
    """The batch size that an engine from elsewhere was built for, None for any; raises UsageError for another one."""
    fixed = fixed_batch(inputs)
    if case.batch_asked and fixed not in (None, case.batch):
        raise UsageError(
            f"{case.source.reference} was built for one batch size",
            values=f"asked for {case.batch}, it is built for {fixed}",
            remedy=f"give --batch {fixed}",
        )
    return fixed


def takes_turns(backend: str, mode: Mode) -> bool:
    """Whether processes of a backend can take turns in a mode.

    LoadGen sends its requests when it wants to; on a GPU the processes of others hold memory and contexts meanwhile,
    and processes hardly differ.
    """
    return BACKENDS.get(backend).device != "cuda" and mode not in LOADGEN_MODES


def plan_of_turns(case: Case) -> MeasurementPlan:
    """The plan of a case whose processes take turns with those of others; raises UsageError where they cannot.

    All of them time equally long, however narrow an interval is, so that each moment of one has its neighbour.
    """
    plan = case.plan
    if not takes_turns(case.backend, plan.mode) or plan.like:
        raise UsageError(
            "--ab-order paired needs processes that can take turns",
            values=f"{case.backend} in mode {plan.mode}" + (f" like {plan.like}" if plan.like else ""),
            remedy="use --ab-order ABBA",
        )
    span_s = max(plan.max_time_s, LEAST_TURNS * TURN_S)
    trials = max(plan.trials, LEAST_PAIRS)
    return replace(
        plan,
        turn_s=TURN_S,
        min_time_s=span_s,
        max_time_s=span_s,
        trials=trials,
        max_trials=max(plan.max_trials, trials),
    )


def require_known_sizes(name: str, artifact: OnnxArtifact) -> None:
    """Raises UsageError for outputs that are as long as the data say, on a backend that writes into memory of its own.

    On a GPU outputs are bound to memory before an inference, and its time would be that of another length; TensorRT
    alone asks for it (``backends/tensorrt/dependent.py``).
    """
    backend = BACKENDS.get(name)
    if backend.device != "cuda" or getattr(backend, "sizes_outputs", False):
        return
    for spec in artifact.outputs:
        if any(size is None for axis, size in enumerate(spec.shape) if axis != spec.batch_axis):
            shape = "x".join("?" if size is None else str(size) for size in spec.shape)
            raise UsageError(
                f"{name} cannot run {artifact.model}: an output is as long as the data say",
                values=f"output {spec.name} is {shape}, and its memory must be there before an inference",
                remedy="measure it on --backend tensorrt, onnxruntime or openvino, or export the network without the "
                "operator that selects (NonMaxSuppression, NonZero), or with a fixed number of rows (TopK)",
            )


def _require_mode(plan: MeasurementPlan, name: str, device: str) -> None:
    from benchbox.measure.loadgen.issuing import loadgen_lack
    from benchbox.measure.loop.modes import mode_refusal

    reason = mode_refusal(plan.mode, device=device, batch=plan.batch, streams=plan.streams)
    if reason:
        raise UsageError(f"--mode {plan.mode} has no meaning on {name}", values=reason, remedy="use --mode isolated")
    if plan.mode in LOADGEN_MODES and (lack := loadgen_lack()):
        raise lack
