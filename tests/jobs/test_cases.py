"""Which cases follow from the axes of a run."""

from __future__ import annotations

import pytest

from benchbox.errors import UsageError
from benchbox.jobs.cases import Case, cases_from_axes, plan_of_turns, require_known_sizes
from benchbox.models.sources import resolve
from benchbox.schema.artifact import OnnxArtifact, TensorSpec
from benchbox.schema.model import Precision
from benchbox.schema.plan import MeasurementPlan, Mode

LENET = resolve("lenet5", input_shape=None, weights=None)


def test_every_combination_once_and_in_order() -> None:
    plan = MeasurementPlan(threads=3, mode=Mode.COLD)
    cases = cases_from_axes(
        sources=(LENET,),
        backends=("onnxruntime", "pytorch"),
        precisions=(Precision.FP32, Precision.FP16),
        batches=(1, 8),
        plan=plan,
    )
    assert len(cases) == 8
    assert cases[0].title == "lenet5 onnxruntime fp32 b1"
    assert cases[1].batch == 8
    assert {(case.plan.threads, case.mode) for case in cases} == {(3, Mode.COLD)}


def test_a_matrix_that_nothing_can_run_is_refused_with_all_reasons() -> None:
    with pytest.raises(UsageError) as caught:
        cases_from_axes(
            sources=(LENET,),
            backends=("onnxruntime", "pytorch"),
            precisions=(Precision.FP8,),
            batches=(1,),
            plan=MeasurementPlan(),
        )
    assert "onnxruntime fp8" in str(caught.value)
    assert "pytorch fp8" in str(caught.value)


@pytest.mark.parametrize("empty", ["sources", "backends", "precisions", "batches"])
def test_no_case_is_a_usage_error(empty: str) -> None:
    axes = {"sources": (LENET,), "backends": ("onnxruntime",), "precisions": (Precision.FP32,), "batches": (1,)}
    with pytest.raises(UsageError, match="no combination"):
        cases_from_axes(**{**axes, empty: ()}, plan=MeasurementPlan())  # type: ignore[arg-type]


def _with_output(shape: tuple[int | None, ...], batch_axis: int | None) -> OnnxArtifact:
    artifact = object.__new__(OnnxArtifact)
    outputs = (TensorSpec(name="boxes", dtype="float32", shape=shape, batch_axis=batch_axis),)
    for name, value in (("model", "detector"), ("outputs", outputs)):
        object.__setattr__(artifact, name, value)
    return artifact


@pytest.mark.parametrize("backend", ["onnxruntime-tensorrt", "onnxruntime-cuda", "pytorch-cuda"])
def test_outputs_as_long_as_the_data_say_are_refused_on_a_gpu_by_name(backend: str) -> None:
    with pytest.raises(UsageError, match=f"{backend} cannot run detector") as refusal:
        require_known_sizes(backend, _with_output((None, 3), None))
    assert refusal.value.values.startswith("output boxes is ?x3")
    require_known_sizes(backend, _with_output((None, 3), 0))
    require_known_sizes("onnxruntime", _with_output((None, 3), None))
    require_known_sizes("openvino", _with_output((None, 3), None))
    require_known_sizes("tensorrt", _with_output((None, 3), None))


def _case(backend: str = "onnxruntime", **plan: object) -> Case:
    source = resolve("lenet5", input_shape=None, weights=None)
    return Case(
        source=source,
        backend=backend,
        precision=Precision.FP32,
        plan=MeasurementPlan(**plan),  # type: ignore[arg-type]
    )


def test_sides_that_take_turns_time_equally_long_in_six_pairs_at_least() -> None:
    plan = plan_of_turns(_case(trials=4, max_trials=4, min_time_s=0.1, max_time_s=0.3))
    assert (plan.turn_s, plan.trials, plan.max_trials) == (0.2, 6, 6)
    assert plan.min_time_s == plan.max_time_s == pytest.approx(8 * 0.2)
    longer = plan_of_turns(_case(trials=20, max_trials=0, max_time_s=5.0))
    assert (longer.trials, longer.min_time_s, longer.max_time_s) == (20, 5.0, 5.0)
    assert plan_of_turns(_case(trials=4, max_trials=4, max_time_s=0.3)) == plan_of_turns(
        _case(**vars(plan_of_turns(_case(trials=4, max_trials=4, max_time_s=0.3))))
    ), "twice is as once"


@pytest.mark.parametrize(
    ("backend", "plan"),
    [
        ("onnxruntime", {"mode": Mode.SERVER}),
        ("onnxruntime", {"mode": Mode.OFFLINE}),
        ("tensorrt", {}),
        ("tensorrt", {"like": "trtexec-11"}),
    ],
)
def test_what_cannot_take_turns_is_sent_to_the_other_order(backend: str, plan: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="take turns") as caught:
        plan_of_turns(_case(backend, **plan))
    assert "--ab-order ABBA" in caught.value.remedy
