"""What ONNX Runtime's profile says of the executed layers."""

from __future__ import annotations

from typing import Any

import pytest

from benchbox.backends.onnxruntime.profile import layers_from_profile, plain_name


def _event(name: str, *, index: int, duration: int = 5, operator: str = "Conv", kind: str = "float") -> dict[str, Any]:
    return {
        "cat": "Node",
        "name": f"{name}_kernel_time",
        "dur": duration,
        "args": {
            "op_name": operator,
            "node_index": str(index),
            "provider": "CPUExecutionProvider",
            "input_type_shape": [{kind: [1, 3]}, {"int64": [2]}],
            "output_type_shape": [{kind: [1, 3]}],
        },
    }


def test_runs_of_a_node_are_its_times_without_the_warm_up() -> None:
    events = [
        {"cat": "Session", "name": "model_run", "dur": 99},
        *(
            _event(name, index=number, duration=10 * run + number)
            for run in (9, 1, 2)
            for number, name in enumerate("ab")
        ),
        {"cat": "Node", "name": "a_fence_before", "dur": 7},
    ]
    first, second = layers_from_profile(events, skip=1)
    assert first.times_s == pytest.approx((10e-6, 20e-6))
    assert second.times_s == pytest.approx((11e-6, 21e-6))
    assert first.time_s == pytest.approx(15e-6)
    assert (first.inputs, first.outputs) == (("fp32", "int64"), ("fp32",))


def test_nodes_of_one_name_are_apart() -> None:
    layers = layers_from_profile([_event("a", index=1), _event("a", index=2)], skip=0)
    assert len(layers) == 2


def test_nothing_ran() -> None:
    assert layers_from_profile([], skip=3) == ()
    assert layers_from_profile([{"cat": "Node"}, {}], skip=0) == ()


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("relu1_nchwc", "relu1"),
        ("InsertedPrecisionFreeCast_relu1_nchwc", "relu1"),
        ("fused fc1", "fc1"),
        ("layer1.0.conv2", "layer1.0.conv2"),
        ("layer1.0.conv2_token_178", "layer1.0.conv2"),
    ],
)
def test_marks_of_the_runtime_are_taken_off(name: str, plain: str) -> None:
    assert plain_name(name) == plain


def test_what_the_runtime_inserts_moves_data() -> None:
    reorder, cast, own = layers_from_profile(
        [
            _event("ReorderOutput", index=1, operator="ReorderOutput"),
            _event("InsertedPrecisionFreeCast_x", index=2, operator="Cast"),
            _event("output.cast", index=3, operator="Cast"),
        ],
        skip=0,
    )
    assert (reorder.moves, cast.moves, own.moves) == (True, True, False), "a cast of the graph is the graph's"


@pytest.mark.parametrize("operator", ["If", "Loop", "Scan"])
def test_the_condition_of_control_flow_is_no_precision(operator: str) -> None:
    (layer,) = layers_from_profile([_event("choice", index=0, operator=operator, kind="bool")], skip=0)
    assert (layer.inputs, layer.executed) == ((), "")
