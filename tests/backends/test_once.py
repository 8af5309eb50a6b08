"""A graph is run once, by a session that is always closed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from benchbox.backends.base import BACKENDS, Availability, OpenRequest
from benchbox.backends.once import EVALUATOR, evaluate_graph, infer_once, opened_session
from benchbox.errors import EnvironmentLackError
from benchbox.limits import effective_cpus
from benchbox.schema.artifact import TensorSpec
from benchbox.schema.model import Precision

INPUT, OUTPUT = (TensorSpec(name=name, dtype="float32", shape=(2, 3)) for name in "xy")


@pytest.fixture
def doubling(tmp_path: Path) -> Path:
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "x"], ["y"])],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])],
    )
    path = tmp_path / "net.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return path


def test_every_feed_gives_its_outputs(doubling: Path) -> None:
    feeds = [{"x": np.full((2, 3), value, np.float32)} for value in (1.0, -2.5)]
    made = list(evaluate_graph(doubling, feeds, inputs=[INPUT], outputs=[OUTPUT], precision=Precision.FP32))
    assert [outputs["y"].tolist() for outputs in made] == [(2 * feed["x"]).tolist() for feed in feeds]


def test_the_session_is_exact_and_uses_the_cpus_of_this_process(
    doubling: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend, asked = BACKENDS.get(EVALUATOR), []
    real = backend.open
    monkeypatch.setattr(backend, "open", lambda request: (asked.append(request), real(request))[1])
    feeds = [{"x": np.zeros((2, 3), np.float32)}]
    list(evaluate_graph(doubling, feeds, inputs=[INPUT], outputs=[OUTPUT], precision=Precision.FP32))
    assert [(request.exact, request.threads) for request in asked] == [(True, effective_cpus())]


def test_a_session_is_closed_when_an_inference_fails(doubling: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = BACKENDS.get(EVALUATOR)
    request = OpenRequest(
        precision=Precision.FP32, threads=1, inputs=(INPUT,), outputs=(OUTPUT,), onnx_path=doubling, exact=True
    )
    closed: list[bool] = []

    def fail() -> None:
        with opened_session(backend, request) as session:
            monkeypatch.setattr(session, "close", lambda: closed.append(True))
            infer_once(session, {"wrong": np.zeros((2, 3), np.float32)})

    with pytest.raises(KeyError):
        fail()
    assert closed == [True]


def test_without_the_runtime_the_remedy_is_named(doubling: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = Availability(usable=False, reason="not installed", remedy="install it")
    monkeypatch.setattr(BACKENDS.get(EVALUATOR), "probe", lambda: gone)
    with pytest.raises(EnvironmentLackError, match="install it"):
        list(evaluate_graph(doubling, [], inputs=[INPUT], outputs=[OUTPUT], precision=Precision.FP32))
