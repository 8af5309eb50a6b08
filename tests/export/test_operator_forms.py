"""Every usual form of an operator that ONNX Runtime runs is accepted: its border, its feeding, its judge, its check."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from node_cases import MEASURED, measurable_model
from operator_forms import Form, forms

from benchbox.cost.counting import cost_from_graph
from benchbox.errors import ArtifactError
from benchbox.export.opsets import raised_to
from benchbox.graph.graph import graph_from_file

# Their sizes follow from data, or their cost has no rule of its own.
UNCOUNTED = {"NonMaxSuppression-11"}
# Conversions raise a file to the first opset of what they need: int8 and fp8 to 19, bf16 to 22. ONNX Runtime has no
# kernels for these at that one.
NO_KERNEL = {("GlobalLpPool", 22), ("RoiAlign", 22)}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("half", ["even", pytest.param("odd", marks=pytest.mark.nightly)])
def test_what_onnx_runtime_runs_is_accepted_and_counted(half: str, tmp_path: Path) -> None:
    every = list(forms())
    assert len({form.name for form in every}) == len(every) >= 150
    wrong = {}
    for form in every[half == "odd" :: 2]:
        shapes = _shapes_in_runtime(form)
        if (outcome := measurable_model(form.model, tmp_path / form.name)) != MEASURED:
            wrong[form.name] = outcome
        elif form.name not in UNCOUNTED and (counted := _counted(tmp_path / form.name / "case.onnx")) != shapes:
            wrong[form.name] = f"counted as {counted}, is {shapes}"
    assert not wrong


@pytest.mark.parametrize("opset", [19, 22])
def test_a_form_means_the_same_when_it_is_raised(opset: int) -> None:
    """onnx's converter gives Resize and Upsample other points to sample, and Hardmax another axis."""
    wrong = {}
    for form in forms():
        if form.opset >= opset or (form.nodes[0].op_type, opset) in NO_KERNEL:
            continue
        try:
            raised = raised_to(form.model, opset)
        except ArtifactError as error:
            wrong[form.name] = str(error)
            continue
        before, after = _made_in_runtime(form.model, form), _made_in_runtime(raised, form)
        if not all(np.allclose(one, after[name], rtol=1e-4, atol=1e-5) for name, one in before.items()):
            wrong[form.name] = "other numbers"
    assert not wrong


def _shapes_in_runtime(form: Form) -> dict[str, tuple[int, ...]]:
    return {name: np.shape(array) for name, array in _made_in_runtime(form.model, form).items()}


def _made_in_runtime(model: onnx.ModelProto, form: Form) -> dict[str, np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, form.feeds), strict=True))


def _counted(path: Path) -> dict[str, tuple[int, ...]]:
    graph = graph_from_file(path)
    cost_from_graph(graph, model="form", sha256="")
    shapes = {tensor.name: tensor.shape for node in graph.nodes for tensor in node.outputs}
    return {name: shapes[name] for name in graph.outputs}
