"""Emulated bf16 against onnx's evaluator, which computes it, and against ONNX Runtime, which refuses it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import onnxruntime
import pytest
from branching import branching, in_half, outputs_of, sample_of_branching
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from operators import OPERATORS, model_of_operator, sample

from benchbox.backends.base import BACKENDS
from benchbox.errors import ArtifactError, UsageError
from benchbox.export import verification
from benchbox.export.exporting import artifact_from_source
from benchbox.export.precision.casting import cast_from_float
from benchbox.export.precision.emulation import emulated_from_graph, require_rounded
from benchbox.export.precision.sixteenbit_formats import FORMATS
from benchbox.models.sources import resolve
from benchbox.schema.artifact import OnnxArtifact
from benchbox.schema.model import Precision

BF16 = FORMATS[Precision.BF16]
ROUNDOFF = {Precision.FP16: 2.0**-11, Precision.BF16: 2.0**-8}


def run(proto: onnx.ModelProto) -> np.ndarray:
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    made: np.ndarray = session.run(["output"], sample())[0]
    return made


@pytest.mark.parametrize("precision", FORMATS)
@pytest.mark.parametrize("name", OPERATORS)
def test_every_operator_against_the_reference(name: str, precision: Precision) -> None:
    """The evaluator rounds inside some operators too, so that a last digit may differ."""
    proto, _ = cast_from_float(model_of_operator(name), precision)
    expected = ReferenceEvaluator(proto).run(["output"], sample())[0]
    wide = emulated_from_graph(proto, FORMATS[precision])
    onnx.checker.check_model(wide, full_check=True)
    made = run(wide)
    require_rounded(proto, FORMATS[precision], {"output": made})
    assert np.abs(made - expected).max() <= 6 * ROUNDOFF[precision] * max(1.0, float(np.abs(expected).max()))


@pytest.mark.parametrize("name", ["Conv", "MatMul", "Relu", "MaxPool", "Add"])
def test_onnx_runtime_has_no_kernels_as_the_refusal_says(name: str) -> None:
    proto, _ = cast_from_float(model_of_operator(name), Precision.BF16)
    with pytest.raises(Exception, match="Could not find an implementation for"):
        run(proto)
    assert BACKENDS.get("onnxruntime").refusal(Precision.BF16)


@pytest.mark.parametrize("precision", FORMATS)
def test_every_tensor_is_rounded_in_between(precision: Precision) -> None:
    nodes = [
        helper.make_node("Mul", ["input", "third"], ["a"], name="mul"),
        helper.make_node("Mul", ["a", "three"], ["output"], name="back"),
    ]
    shape = (1, 4, 6, 6)
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, shape)],
        [
            numpy_helper.from_array(np.array(1 / 3, np.float32), "third"),
            numpy_helper.from_array(np.array(3, np.float32), "three"),
        ],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    made, _ = cast_from_float(proto, precision)

    def rounded(array: np.ndarray) -> np.ndarray:
        return array.astype(FORMATS[precision].dtype).astype(np.float32)

    third = rounded(np.array(1 / 3, np.float32))
    expected = rounded(rounded(rounded(sample()["input"]) * third) * np.float32(3))
    assert np.array_equal(run(emulated_from_graph(made, FORMATS[precision])), expected)


@pytest.mark.parametrize("precision", FORMATS)
def test_branches_and_loops_are_computed_between_rounded_tensors(precision: Precision) -> None:
    proto, feed = branching(), sample_of_branching()
    made, _ = cast_from_float(proto, precision)
    wide = emulated_from_graph(made, FORMATS[precision])
    onnx.checker.check_model(wide, full_check=True)
    for ours, theirs in zip(outputs_of(wide, feed), outputs_of(proto, feed), strict=True):
        error = np.linalg.norm(ours - theirs) / np.linalg.norm(theirs)
        assert ROUNDOFF[precision] / 16 < error < 8 * ROUNDOFF[precision], "rounded, and no more than that"


def test_what_is_in_16_bits_inside_of_branches_and_loops_is_rounded_there(tmp_path: Path) -> None:
    """A user's own file: ONNX Runtime does not load it where only what is outside of them is in fp32."""
    path = tmp_path / "half.onnx"
    onnx.save(in_half(branching()), str(path))
    source = resolve(str(path), input_shape=None, weights=None)
    made = artifact_from_source(source, precision=Precision.FP16, root=tmp_path)
    assert [(hop.target, hop.passed) for hop in made.hops] == [("onnx-fp16-emulated", True)]
    wide = emulated_from_graph(in_half(branching()), FORMATS[Precision.FP16])
    bodies = [entry.g for node in wide.graph.node for entry in node.attribute if entry.HasField("g")]
    rounding = [node for body in bodies for node in body.node if node.op_type == "Cast"]
    assert len(rounding) == 2 * 6, "behind each of the six nodes that make a tensor in 16 bits"


@pytest.mark.parametrize("precision", FORMATS)
def test_a_kernel_that_the_emulation_lacks_is_told_with_the_precision(
    precision: Precision, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ONNX Runtime may have an operator in an old opset only, to which bf16 must be raised."""
    path = tmp_path / "net.onnx"
    onnx.save(model_of_operator("Conv"), str(path))
    run_graph = verification.evaluate_graph

    def without_kernel(file: Path, *others: Any, **choices: Any) -> Any:
        if file.name == "emulated.onnx":
            raise ArtifactError(f"ONNX Runtime cannot load {file}", values="no implementation for Conv(22)")
        return run_graph(file, *others, **choices)

    monkeypatch.setattr(verification, "evaluate_graph", without_kernel)
    source = resolve(str(path), input_shape=None, weights=None)
    with pytest.raises(ArtifactError, match=rf"^the {precision} graph cannot be checked") as caught:
        artifact_from_source(source, precision=precision, root=tmp_path)
    assert caught.value.values == "no implementation for Conv(22)"
    other = "fp16" if precision is Precision.BF16 else "bf16"
    assert f"take it in fp32 or {other}" in caught.value.remedy
    assert "emulated.onnx" not in str(caught.value)


def test_an_overflow_that_onnx_runtime_does_not_see_is_seen() -> None:
    """It drops the casts between nodes that it computes in fp32: the reason for emulating fp16 too."""
    shape = (1, 4, 6, 6)
    border = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("input", "output")]
    nodes = [
        helper.make_node("MatMul", ["input", "up"], ["a"], name="rise"),
        helper.make_node("MatMul", ["a", "down"], ["output"], name="fall"),
    ]
    weights = [
        numpy_helper.from_array(np.full((6, 6), size, np.float32), name) for name, size in (("up", 6e4), ("down", 1e-3))
    ]
    proto = helper.make_model(
        helper.make_graph(nodes, "net", border[:1], border[1:], weights),
        opset_imports=[helper.make_opsetid("", 20)],
        ir_version=10,
    )
    made, _ = cast_from_float(proto, Precision.FP16)
    assert not np.isfinite(ReferenceEvaluator(made).run(None, sample())[0]).all()
    assert not np.isfinite(run(emulated_from_graph(made, FORMATS[Precision.FP16]))).all()


def test_an_emulation_that_does_not_round_is_found() -> None:
    proto, _ = cast_from_float(model_of_operator("Sigmoid"), Precision.BF16)
    exact = run(model_of_operator("Sigmoid"))
    with pytest.raises(ArtifactError, match="removed the roundings"):
        require_rounded(proto, BF16, {"output": exact})
    require_rounded(proto, BF16, {"output": run(emulated_from_graph(proto, BF16))})


def test_an_exported_network_says_that_it_was_emulated(lenet: OnnxArtifact, export_root: Path) -> None:
    source = resolve("lenet5", input_shape=None, weights=None)
    made = artifact_from_source(source, precision=Precision.BF16, root=export_root)
    assert "emulated" in made.evaluator
    hop = made.hops[-1]
    assert (hop.source, hop.target) == ("onnx-fp32", "onnx-bf16-emulated")
    assert hop.passed
    assert 2.0**-11 < hop.rel_l2_error < 2.0**-5
    assert made.opset == 22
    assert made.size_bytes < 0.51 * lenet.size_bytes
    proto = onnx.load(str(export_root / made.path))
    onnx.checker.check_model(proto, full_check=True)


def test_a_cpu_with_bf16_makes_of_the_file_what_the_emulation_says(lenet: OnnxArtifact, export_root: Path) -> None:
    """OpenVINO multiplies bf16 numbers in hardware; it fuses, so that some roundings fall away."""
    openvino = pytest.importorskip("openvino")
    core = openvino.Core()
    if "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("runs on a CPU that computes in bf16 (AVX512-BF16)")
    source = resolve("lenet5", input_shape=None, weights=None)
    made = artifact_from_source(source, precision=Precision.BF16, root=export_root)
    feed = {"input": np.random.default_rng(0).normal(0, 1, (8, 1, 28, 28)).astype(np.float32)}
    path = export_root / made.path
    wide = emulated_from_graph(onnx.load(str(path)), BF16).SerializeToString()
    exact, emulated = (
        onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"]).run(None, feed)[0]
        for model in (str(export_root / lenet.path), wide)
    )
    executed = core.compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "bf16"})(feed)[0]
    size = np.linalg.norm(exact)
    assert np.linalg.norm(executed - exact) / size > 2.0**-11, "it did not run in fp32"
    assert np.linalg.norm(executed - emulated) / size < 2.0**-7


def test_a_users_own_bf16_file_is_checked_the_same_way(tmp_path: Path) -> None:
    proto, _ = cast_from_float(model_of_operator("Conv"), Precision.BF16)
    path = tmp_path / "net.onnx"
    onnx.save(proto, str(path))
    source = resolve(str(path), input_shape=None, weights=None)
    made = artifact_from_source(source, precision=Precision.BF16, root=tmp_path)
    assert [hop.target for hop in made.hops] == ["onnx-bf16-emulated"]
    with pytest.raises(UsageError, match="is in bf16, not in fp16"):
        artifact_from_source(source, precision=Precision.FP16, root=tmp_path)


def test_bf16_at_the_border_is_refused_with_a_reason(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["input", "w"], ["output"], name="product")],
        "net",
        [helper.make_tensor_value_info("input", TensorProto.BFLOAT16, [1, 4])],
        [helper.make_tensor_value_info("output", TensorProto.BFLOAT16, [1, 4])],
        [numpy_helper.from_array(np.ones((4, 4), ml_dtypes.bfloat16), "w")],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)
    path = tmp_path / "net.onnx"
    onnx.save(proto, str(path))
    source = resolve(str(path), input_shape=None, weights=None)
    with pytest.raises(UsageError, match="elements of type bfloat16"):
        artifact_from_source(source, precision=Precision.BF16, root=tmp_path)
    assert list(tmp_path.rglob("*.npz")) == []
