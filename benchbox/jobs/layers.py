"""In which order does a network become a table of its executed layers, or two tables set against each other?

    source -> ONNX file -> engine, where one is needed -> profiled pass -> short timing without a profiler -> join
           -> results/layers/

Like ``jobs/run.py`` this holds the order of the stages and nothing else.
"""

from __future__ import annotations

import datetime
from dataclasses import replace
from pathlib import Path

from benchbox.backends.base import BACKENDS
from benchbox.cost.executed.attribution import attribution, without_cost
from benchbox.cost.executed.explanation import explanation_of
from benchbox.cost.precision.roofline import pair_key
from benchbox.errors import MeasurementError, UsageError
from benchbox.export.elsewhere import artifact_without_onnx, border_of, engine_from_elsewhere
from benchbox.flags.paper import CONSTANT
from benchbox.jobs.cases import Case, case_beside, require_batch, require_runnable
from benchbox.jobs.known_ceilings import ceilings_here, flags_of_layers, measured_device
from benchbox.jobs.paper import Paper, paper_of_artifact, paper_of_engine
from benchbox.jobs.prepare import graph_precision, onnx_at_batch, precision_costs_from_source
from benchbox.jobs.run import engine_of_case
from benchbox.machine.environment import capture
from benchbox.machine.gpu.facts import gpu_facts
from benchbox.machine.host import host_facts
from benchbox.machine.rates import HERE, device_from_isa, device_from_product
from benchbox.measure.process.trials import TrialRequest, run_trial
from benchbox.progress import Say
from benchbox.schema.artifact import OnnxArtifact
from benchbox.schema.device import Device
from benchbox.schema.engine import EngineArtifact
from benchbox.schema.environment import Environment
from benchbox.schema.explanation import Explanation
from benchbox.schema.layers import LayerTable
from benchbox.schema.model import Precision, SourceKind
from benchbox.schema.trial import Pass, Trial
from benchbox.stats.quantile import percentile
from benchbox.store.layers import append_layers
from benchbox.store.records import check_writable, new_record_id


def table_from_case(case: Case, *, root: Path, say: Say = lambda _: None) -> LayerTable:
    """Profiles a case in processes of its own, joins its layers with their analytical cost and stores the table.

    Args:
        case: what to profile; its plan has the threads, the warm-up, and the number of profiled inferences
            (``min_samples``).
        root: project root.
        say: shows what is being done.

    Raises:
        UsageError, EnvironmentLackError: the backend cannot run this, or does not report its layers.
        ArtifactError, MeasurementError: as for ``benchbox run``.
        StoreError: nothing can be written under the root.
    """
    return _profiled(case, root=root, here=capture(), say=say)[0]


def _profiled(case: Case, *, root: Path, here: Environment, say: Say) -> tuple[LayerTable, TrialRequest]:
    """The table of a case, and the request for a further process that times it without a profiler.

    ``here`` is the environment before anything was exported: libraries set variables of their own when they are used.
    """
    require_runnable(case.backend, case.precision, case.source)
    check_writable(root)
    engine: EngineArtifact | None
    if case.source.kind is SourceKind.ENGINE:
        case, artifact, engine = _from_elsewhere(case, root, say)
    else:
        artifact = _onnx_of(case, root, say)
        case = case.at_batch(artifact.fixed_batch or case.batch)
        built = engine_of_case(case, artifact, root, say)
        engine = built.engine if built else None
    plan = case.plan
    alone = artifact.sha256 == case.source.digest  # an engine without its network
    paper = paper_of_engine() if alone else paper_of_artifact(artifact, root=root, batch=case.batch)
    request = TrialRequest(
        pass_=Pass.TIMING,
        number=0,
        backend=case.backend,
        precision=case.precision,
        plan=plan,
        artifact=artifact,
        source=case.source,
        root=root,
        engine=engine,
    )
    now = datetime.datetime.now(datetime.UTC)
    device = BACKENDS.get(case.backend).device
    say(f"profiling {plan.min_samples} inferences")
    layers = run_trial(replace(request, pass_=Pass.LAYERS)).layers
    if not layers:
        raise _no_layers(case, paper)
    say("timing without a profiler")
    timed = run_trial(request)
    joined = without_cost(layers)
    if paper.graph is not None and paper.cost is not None:
        joined = attribution(paper.graph, paper.cost, layers)
    table = LayerTable(
        model=case.source.name,
        backend=case.backend,
        precision=case.precision.value,
        batch=case.batch,
        threads=plan.threads,
        iterations=plan.min_samples,
        rows=joined.rows,
        macs=paper.cost.macs if paper.cost else 0,
        flops=paper.cost.flops if paper.cost else 0,
        uncovered=joined.uncovered,
        uncovered_macs=joined.uncovered_macs,
        latency_s=_median_s(timed),
        onnx_sha256=artifact.sha256,
        gpu=bool(timed.gpu_ns),
        ceilings=ceilings_here(root, device, environment=here),
    )
    table = replace(table, flags=(*paper.flags, *flags_of_layers(table)))
    _keep(table, timed, root=root, here=here, device=device, at=now)
    return table, request


def _no_layers(case: Case, paper: Paper) -> MeasurementError:
    constant = next((flag.message for flag in paper.flags if flag.code == CONSTANT), "")
    return MeasurementError(
        f"{case.backend} reported no layers",
        values=f"{case.title}; {constant}" if constant else case.title,
        remedy="give the network an input where its work is to be timed" if constant else "",
    )


def _onnx_of(case: Case, root: Path, say: Say) -> OnnxArtifact:
    """The case's ONNX file in the precision that its backend is given."""
    return onnx_at_batch(
        case.source,
        batch=case.batch,
        asked=case.batch_asked,
        precision=graph_precision(case.backend, case.precision, case.derivation, source=case.source),
        root=root,
        derivation=case.derivation,
        say=say,
    )


def _from_elsewhere(case: Case, root: Path, say: Say) -> tuple[Case, OnnxArtifact, EngineArtifact]:
    """An engine from elsewhere at its batch size, with the ONNX file beside it, else with what it says of itself."""
    border = border_of(case.source, case.backend)
    beside = case_beside(case)
    if beside is None:
        say(f"there is no {Path(case.source.reference).with_suffix('.onnx').name} beside it: layers have no cost")
        artifact = artifact_without_onnx(case.source, border, case.precision)
    else:
        artifact = _onnx_of(beside, root, say)
    case = case.at_batch(require_batch(case, border.inputs) or artifact.fixed_batch or case.batch)
    return case, artifact, engine_from_elsewhere(case.source, border, precision=case.precision, batch=case.batch)


def _keep(
    table: LayerTable, timed: Trial, *, root: Path, here: Environment, device: str, at: datetime.datetime
) -> None:
    """Stores a table; the simulated GPU of the tests only where that is meant."""
    append_layers(
        root,
        table,
        identity=new_record_id(at),
        environment=here,
        device=device,
        at=at.isoformat(),
        simulated=timed.evidence is not None and timed.evidence.simulated,
    )


def _median_s(timed: Trial) -> float:
    """The median inference of a process, in seconds."""
    return percentile(sorted(timed.gpu_ns or timed.samples_ns), 0.5) * 1e-9


def explanation_from_case(
    case: Case,
    *,
    against: Precision,
    by: str,
    processes: int,
    root: Path,
    say: Say = lambda _: None,
) -> Explanation:
    """Profiles a case in its precision and in another, and explains the difference.

    Args:
        case: what to profile, as for ``table_from_case``.
        against: the precision that it is compared with.
        by: what layers are grouped by: "layer", "module" or "op".
        processes: that time whole inferences in each precision, in turn: how much faster it is rests on them.
        root: project root.
        say: shows what is being done.

    Raises:
        UsageError: twice the same precision, or an engine, which is in one; else as for ``table_from_case``.
    """
    if case.source.kind is SourceKind.ENGINE:
        raise UsageError(
            "an engine is in one precision",
            values=f"--against {against} of {case.source.reference}",
            remedy="leave --against out, or name the network",
        )
    if against is case.precision:
        raise UsageError(
            f"--against {against} is the precision itself",
            remedy="name both: --precision int8 --against fp32, for example",
        )
    require_runnable(case.backend, against, case.source)
    here = capture()
    base_case = replace(case, precision=against, derivation=case.derivation.for_precision(against))
    say(f"{against}:")
    base, base_request = _profiled(base_case, root=root, here=here, say=say)
    say(f"{case.precision}:")
    table, request = _profiled(case, root=root, here=here, say=say)
    medians: dict[Precision, list[float]] = {against: [base.latency_s], case.precision: [table.latency_s]}
    for number in range(1, processes):
        say(f"timing {against} and {case.precision} in turn, process {number + 1} of {processes}")
        for one in (base_request, request) if number % 2 else (request, base_request):
            medians[one.precision].append(_median_s(run_trial(replace(one, number=number))))
    costs = precision_costs_from_source(
        case.source,
        precisions=(against, case.precision),
        derivation=case.derivation,
        batch=table.batch,
        root=root,
        say=say,
    )
    base_cost, cost = costs.precisions
    return explanation_of(
        table,
        base,
        cost=cost,
        base_cost=base_cost,
        device=_device(root, here, case.precision, on_gpu=table.gpu),
        medians=(medians[against], medians[case.precision]),
        key=pair_key(by),
    )


def _device(root: Path, here: Environment, precision: Precision, *, on_gpu: bool) -> Device | None:
    """The measured rates of the device of the tables, where the precision has one, else the published; None without."""
    if on_gpu:
        published = device_from_product(gpu_facts().get("gpu", ""))
    else:
        hardware = host_facts(Path("/"))
        published = device_from_isa(hardware.get("isa", ""), name=HERE, title=hardware.get("cpu", "this processor"))
    measured = measured_device(root, published, device="cuda" if on_gpu else "cpu", environment=here)
    return measured if measured is not None and precision in measured.rates else published
