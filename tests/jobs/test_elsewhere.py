"""Engines that somebody else built: run as they are, compared with an ONNX file beside them, or refused by name."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper
from simulation import simulated

from benchbox.backends.base import BACKENDS, Compiler
from benchbox.errors import ArtifactError, UsageError
from benchbox.export.elsewhere import border_of
from benchbox.export.engines import engine_from_artifact
from benchbox.jobs import layers as profiling
from benchbox.jobs.cases import Case, cases_from_axes
from benchbox.jobs.layers import explanation_from_case, table_from_case
from benchbox.jobs.run import Outcome, measure_cases
from benchbox.measure import case as measuring
from benchbox.measure.process.worker import trial_from_request
from benchbox.models.sources import resolve
from benchbox.schema.artifact import BatchRange, OnnxArtifact
from benchbox.schema.layers import LayerTable
from benchbox.schema.model import ModelSource, Precision
from benchbox.schema.plan import MeasurementPlan
from benchbox.schema.record import Status
from benchbox.store.records import SIMULATION_MARK

PLAN = MeasurementPlan(
    trials=1,
    memory_trials=0,
    warmup_s=0.0,
    warmup_max_s=0.0,
    warmup_iterations=1,
    min_time_s=0.0,
    max_time_s=0.01,
    min_samples=3,
    input_slots=2,
)


class Said:
    """Progress that keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    def step(self, done: float, total: float, text: str) -> None: ...


@pytest.fixture
def simulation(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The device here, where the passes of a case run too; what makes a context of its own has a child as always."""
    monkeypatch.setattr(measuring, "run_trial", trial_from_request)
    with simulated(target="sm86") as module:
        yield module


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("elsewhere")


@pytest.fixture(scope="module")
def lenet(root: Path, exports: Any) -> OnnxArtifact:
    return exports.copy_to(root, "lenet5")  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def plan_file(lenet: OnnxArtifact, root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """lenet.plan, for batches of 1 to 4, tuned on sm86, away from the ONNX file that it is of."""
    compiler = BACKENDS.get("tensorrt")
    assert isinstance(compiler, Compiler)
    with simulated(target="sm86"):
        built = engine_from_artifact(
            lenet,
            compiler=compiler,
            precision=Precision.FP32,
            root=root,
            batch=BatchRange(minimum=1, optimum=2, maximum=4),
        )
    file = tmp_path_factory.mktemp("given") / "lenet.plan"
    shutil.copyfile(root / built.engine.path, file)
    return file


def _source(path: Path) -> ModelSource:
    return resolve(str(path), input_shape=None, weights=None, engines=True)


def _measured(path: Path, root: Path, **axes: Any) -> tuple[Outcome, Said]:
    said = Said()
    cases = cases_from_axes(
        **{
            "sources": (_source(path),),
            "backends": ("tensorrt",),
            "precisions": (Precision.FP32,),
            "batches": None,
            "plan": PLAN,
            **axes,
        }
    )
    (outcome,) = measure_cases(cases, root=root, progress=said, stores=False)
    return outcome, said


def test_an_engine_says_what_it_takes(lenet: OnnxArtifact, plan_file: Path, simulation: ModuleType) -> None:
    border = border_of(_source(plan_file), "tensorrt")
    assert [(spec.name, spec.dtype, spec.shape) for spec in (*border.inputs, *border.outputs)] == [
        (spec.name, spec.dtype, spec.shape) for spec in (*lenet.inputs, *lenet.outputs)
    ]
    assert "sm86" in border.device
    assert not simulation.DEVICE.has_context, "it was loaded in a process of its own"


def test_alone_it_is_measured_and_nobody_vouches_for_its_outputs(
    plan_file: Path, simulation: ModuleType, tmp_path: Path
) -> None:
    outcome, _ = _measured(plan_file, tmp_path, batches=(4,))
    record = outcome.record
    assert record.status is Status.OK, record.reason
    assert record.correctness.passed is None
    flags = {flag.code: flag.message for flag in record.flags}
    assert "no lenet.onnx beside it" in flags["UNCHECKED"]
    assert "COST_ABSENT" in flags
    assert record.analytic is None
    assert record.onnx_sha256 is None
    assert record.engine_sha256 == _source(plan_file).digest
    assert record.key.variant == f"engine@{record.engine_sha256[:8]}", "another engine of the name is another case"
    assert record.key.batch == 4
    assert record.evidence is not None
    assert "tf32" not in record.evidence.options, "nobody knows how it was built"
    assert {reading.metric for reading in record.readings} >= {"latency_p50", "gpu_time_p50"}


def test_with_its_network_beside_it_outputs_are_compared(
    lenet: OnnxArtifact, root: Path, plan_file: Path, simulation: ModuleType, tmp_path: Path
) -> None:
    engine = tmp_path / "lenet.plan"
    shutil.copyfile(plan_file, engine)
    shutil.copyfile(root / lenet.path, engine.with_suffix(".onnx"))
    outcome, said = _measured(engine, tmp_path)
    assert outcome.record.status is Status.OK, outcome.record.reason
    assert outcome.record.correctness.passed is True
    assert outcome.record.correctness.hops[-1].target == "tensorrt-fp32"
    assert any("compared with those of lenet.onnx" in line for line in said.lines)
    assert "UNCHECKED" not in {flag.code for flag in outcome.record.flags}
    assert outcome.record.analytic is not None
    assert outcome.record.key.batch == 1


def test_beside_another_network_it_is_refused(plan_file: Path, simulation: ModuleType, tmp_path: Path) -> None:
    engine = tmp_path / "net.plan"
    shutil.copyfile(plan_file, engine)
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "other", value[:1], value[1:])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10),
        engine.with_suffix(".onnx"),
    )
    outcome, _ = _measured(engine, tmp_path)
    assert outcome.record.status is Status.FAILED
    assert "the engine is of another network" in outcome.record.reason


@pytest.mark.parametrize("wrong", ["another GPU", "another version", "no engine"])
def test_what_does_not_load_is_refused_with_the_reason(wrong: str, plan_file: Path, tmp_path: Path) -> None:
    engine = tmp_path / "net.plan"
    content = plan_file.read_bytes()
    engine.write_bytes(
        {
            "another GPU": content,
            "another version": content.replace(b"10.16.0", b"10.15.0", 1),
            "no engine": b"PK\x03\x04 something else",
        }[wrong]
    )
    words = {
        "another GPU": "built for another device",
        "another version": "expecting library version 10.16.0",
        "no engine": "magic number mismatch",
    }[wrong]
    with simulated(target="sm89" if wrong == "another GPU" else "sm86"), pytest.raises(ArtifactError) as error:
        border_of(_source(engine), "tensorrt")
    assert "does not load net.plan on simulated" in error.value.what
    assert words in error.value.values
    assert "build it here from its ONNX file" in error.value.remedy


def test_sizes_and_batches_are_the_engines(plan_file: Path, simulation: ModuleType, tmp_path: Path) -> None:
    source = resolve(str(plan_file), input_shape=(1, 32, 32), weights=None, engines=True)
    with pytest.raises(UsageError, match="has the inputs that it was built with"):
        _measured(plan_file, tmp_path, sources=(source,))
    with pytest.raises(UsageError, match="does not accept this input shape"):
        raise (_measured(plan_file, tmp_path, batches=(8,))[0].error or AssertionError("it ran"))


def test_few_commands_take_an_engine_and_only_on_a_backend_of_engines(plan_file: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="an engine can only be run and profiled"):
        resolve(str(plan_file), input_shape=None, weights=None)
    with pytest.raises(UsageError, match="there is no engine"):
        _source(tmp_path / "none.plan")
    with pytest.raises(UsageError, match="runs no engines"):
        _measured(plan_file, tmp_path, backends=("onnxruntime",))
    with pytest.raises(UsageError, match="runs no engines"):
        border_of(_source(plan_file), "onnxruntime")


def _profiled(engine: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> LayerTable:
    monkeypatch.setattr(profiling, "run_trial", trial_from_request)
    (root / SIMULATION_MARK).parent.mkdir(parents=True, exist_ok=True)
    (root / SIMULATION_MARK).touch()
    case = Case(source=_source(engine), backend="tensorrt", precision=Precision.FP32, plan=PLAN, batch_asked=False)
    return table_from_case(case, root=root)


def test_its_layers_have_the_cost_of_the_network_beside_it(
    lenet: OnnxArtifact, root: Path, plan_file: Path, simulation: ModuleType, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    engine = tmp_path / "lenet.plan"
    shutil.copyfile(plan_file, engine)
    alone = _profiled(engine, tmp_path / "alone", monkeypatch)
    assert (alone.costed, alone.macs, alone.onnx_sha256) == (False, 0, _source(engine).digest)
    shutil.copyfile(root / lenet.path, engine.with_suffix(".onnx"))
    table = _profiled(engine, tmp_path / "both", monkeypatch)
    assert (table.costed, table.uncovered_macs, table.batch) == (True, 0, 1)
    assert sum(row.macs for row in table.rows) == table.macs > 0
    assert [row.layer.name for row in table.rows] == [row.layer.name for row in alone.rows]
    assert all(row.layer.times_s for row in (*table.rows, *alone.rows))


@pytest.mark.nightly
def test_layers_of_an_engine_that_names_them_only(
    lenet: OnnxArtifact, root: Path, plan_file: Path, simulation: ModuleType, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """As trtexec builds it, unless it is told otherwise: the cost is found by the names."""
    import tensorrt

    whole = tensorrt.EngineInspector.get_engine_information

    def names(self: Any, layout: Any) -> str:
        document = json.loads(whole(self, layout))
        return json.dumps({**document, "Layers": [layer["Name"] for layer in document["Layers"]]})

    monkeypatch.setattr(tensorrt.EngineInspector, "get_engine_information", names)
    engine = tmp_path / "lenet.plan"
    shutil.copyfile(plan_file, engine)
    shutil.copyfile(root / lenet.path, engine.with_suffix(".onnx"))
    table = _profiled(engine, tmp_path / "root", monkeypatch)
    assert table.uncovered_macs == 0
    assert {row.layer.executed for row in table.rows} == {""}


def test_an_engine_has_one_precision_to_explain(plan_file: Path, tmp_path: Path) -> None:
    case = Case(source=_source(plan_file), backend="tensorrt", precision=Precision.FP16, plan=PLAN)
    with pytest.raises(UsageError, match="an engine is in one precision"):
        explanation_from_case(case, against=Precision.FP32, by="op", processes=4, root=tmp_path)
