"""Ranges of tensors against numpy on what onnx's evaluator computes; whole networks through every method."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from benchbox.errors import ArtifactError, UsageError
from benchbox.export.exporting import artifact_from_source
from benchbox.export.precision.calibration import PERCENTILE, ranges_from_data
from benchbox.export.precision.quantization import observed_tensors
from benchbox.export.precision.samples import data_from_choice
from benchbox.export.reuse import cached_artifact
from benchbox.models.sources import resolve
from benchbox.schema.artifact import OnnxArtifact
from benchbox.schema.derivation import CalibrationMethod, Derivation
from benchbox.schema.model import InputChoice, Precision
from benchbox.store.artifact_files import read_artifact

LENET = resolve("lenet5", input_shape=None, weights=None)


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    values = np.random.default_rng(5).standard_normal((6, 1, 28, 28)).astype(np.float32)
    np.save(tmp_path / "digits.npy", values)
    return tmp_path / "digits.npy"


def seen(lenet: OnnxArtifact, root: Path, digits: Path, tensors: list[str]) -> dict[str, np.ndarray]:
    proto = onnx.load(str(root / lenet.path))
    del proto.graph.output[:]
    inside = [name for name in tensors if name != "input"]
    proto.graph.output.extend(onnx.helper.make_tensor_value_info(name, 1, None) for name in inside)
    made = ReferenceEvaluator(proto).run(None, {"input": np.load(digits)})
    return {"input": np.load(digits), **dict(zip(inside, made, strict=True))}


@pytest.mark.parametrize("method", CalibrationMethod)
def test_ranges_are_numpys(method: CalibrationMethod, lenet: OnnxArtifact, export_root: Path, digits: Path) -> None:
    proto = onnx.load(str(export_root / lenet.path))
    tensors = observed_tensors(proto, precision=Precision.INT8)
    data = data_from_choice(str(digits), source=LENET, inputs=lenet.inputs, seed=0)
    ranges = ranges_from_data(proto, tensors, data, inputs=lenet.inputs, method=method)
    assert list(ranges) == list(tensors)
    for name, array in seen(lenet, export_root, digits, list(tensors)).items():
        if name not in ranges:
            continue
        top = float(np.abs(array).max())
        if method is CalibrationMethod.MINMAX:
            assert ranges[name] == pytest.approx(top, rel=1e-5)
        elif method is CalibrationMethod.PERCENTILE:
            assert ranges[name] == pytest.approx(np.quantile(np.abs(array), PERCENTILE), rel=0.05)
        else:
            assert 0.3 * top < ranges[name] <= top * 1.00001


def test_a_network_that_overflows_is_refused(lenet: OnnxArtifact, export_root: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "huge.npy", np.full((2, 1, 28, 28), 3e38, dtype=np.float32))
    proto = onnx.load(str(export_root / lenet.path))
    data = data_from_choice(str(tmp_path / "huge.npy"), source=LENET, inputs=lenet.inputs, seed=0)
    with pytest.raises(ArtifactError, match="not finite on the calibration data"):
        ranges_from_data(
            proto,
            observed_tensors(proto, precision=Precision.INT8),
            data,
            inputs=lenet.inputs,
            method=CalibrationMethod.MINMAX,
        )


@pytest.mark.parametrize("precision", [Precision.INT8, Precision.FP8])
def test_an_eight_bit_artifact_tells_how_it_came_about(
    precision: Precision, lenet: OnnxArtifact, export_root: Path
) -> None:
    made = artifact_from_source(LENET, precision=precision, root=export_root)
    assert [(hop.source, hop.target) for hop in made.hops][-1] == ("onnx-fp32", f"onnx-{precision}")
    assert all(hop.passed for hop in made.hops)
    assert made.hops[-1].rel_l2_error > 1e-3
    assert made.quantization is not None
    assert made.quantization.synthetic
    assert (made.quantization.quantized, made.quantization.quantizable) == (4, 4)
    assert any("SYNTHETIC" in warning for warning in made.warnings)
    assert made.size_bytes < 0.3 * lenet.size_bytes
    assert cached_artifact(LENET, precision=precision, root=export_root) == made
    card = (export_root / made.path).with_suffix(".json")
    assert read_artifact(card) == made
    (export_root / made.path).unlink()
    again = artifact_from_source(LENET, precision=precision, root=export_root)
    assert again.sha256 == made.sha256


def test_every_choice_is_an_artifact_of_its_own(lenet: OnnxArtifact, export_root: Path, digits: Path) -> None:
    usual = Derivation()
    choices = [
        usual,
        dataclasses.replace(usual, method=CalibrationMethod.PERCENTILE),
        dataclasses.replace(usual, exclude=("fc*",)),
        dataclasses.replace(usual, fallback=Precision.FP16),
        dataclasses.replace(usual, calibration=str(digits)),
    ]
    made = [
        artifact_from_source(LENET, precision=Precision.INT8, root=export_root, derivation=choice) for choice in choices
    ]
    assert len({artifact.sha256 for artifact in made}) == len({artifact.recipe for artifact in made}) == len(choices)
    assert len({artifact.variant for artifact in made}) == len(choices)
    for artifact, choice in zip(made, choices, strict=True):
        assert cached_artifact(LENET, precision=Precision.INT8, root=export_root, derivation=choice) == artifact
    assert not made[-1].quantization.synthetic  # type: ignore[union-attr]
    assert not any("SYNTHETIC" in warning for warning in made[-1].warnings)


def test_a_mixed_graph_computes_in_fp16_around_its_pairs(lenet: OnnxArtifact, export_root: Path) -> None:
    choice = Derivation(fallback=Precision.FP16)
    made = artifact_from_source(LENET, precision=Precision.INT8, root=export_root, derivation=choice)
    proto = onnx.load(str(export_root / made.path))
    onnx.checker.check_model(proto, full_check=True)
    kinds = {tensor.name: tensor.data_type for tensor in proto.graph.initializer}
    scales = {kinds[node.input[1]] for node in proto.graph.node if node.op_type == "QuantizeLinear"}
    assert scales == {onnx.TensorProto.FLOAT16}
    assert [value.type.tensor_type.elem_type for value in (*proto.graph.input, *proto.graph.output)] == [1, 1]


def test_fp16_takes_an_exclude_list_too(lenet: OnnxArtifact, export_root: Path) -> None:
    made = artifact_from_source(
        LENET, precision=Precision.FP16, root=export_root, derivation=Derivation(exclude=("fc*",))
    )
    assert made.variant == "exclude=fc*"
    assert made.recipe != artifact_from_source(LENET, precision=Precision.FP16, root=export_root).recipe


@pytest.mark.parametrize(
    ("precision", "choice"),
    [
        (Precision.FP16, Derivation(method=CalibrationMethod.ENTROPY)),
        (Precision.FP32, Derivation(exclude=("a",))),
        (Precision.INT8, Derivation(fallback=Precision.TF32)),
    ],
)
def test_choices_without_a_use_are_refused(precision: Precision, choice: Derivation, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        artifact_from_source(LENET, precision=precision, root=tmp_path, derivation=choice)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "lenet5",
        *(
            pytest.param(name, marks=pytest.mark.nightly)
            for name in ("squeezenet1_1", "resnet18", "mobilenet_v3_small")
        ),
    ],
)
def test_networks_of_the_zoo_in_eight_bits_become_engines(name: str, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    from benchbox.export.engines import builder_named, engine_from_artifact

    source = resolve(name, input_shape=None, weights=None)
    for precision, choice in (
        (Precision.INT8, Derivation()),
        (Precision.FP8, Derivation()),
        (Precision.INT8, Derivation(fallback=Precision.FP16)),
    ):
        artifact = artifact_from_source(source, precision=precision, root=tmp_path, derivation=choice)
        assert artifact.hops[-1].passed
        built = engine_from_artifact(
            artifact, compiler=builder_named("tensorrt-rtx"), precision=precision, root=tmp_path, targets=("sm89",)
        )
        assert built.engine.size_bytes > 100_000
        assert built.engine.precision is precision


@pytest.mark.parametrize("method", CalibrationMethod)
def test_a_tensor_without_elements_needs_no_range(method: CalibrationMethod, tmp_path: Path) -> None:
    """As the past of a decoder's first step: the least of no numbers is infinite."""
    node = onnx.helper.make_node
    nodes = [
        node("Concat", ["past", "x"], ["keys"], axis=1, name="keys"),
        node("MatMul", ["keys", "w"], ["y"], name="all"),
        node("MatMul", ["past", "w"], ["z"], name="old"),
    ]
    sizes = {"past": ["n", "p", 8], "x": ["n", "s", 8], "y": ["n", "t", 8], "z": ["n", "p", 8]}
    border = {name: onnx.helper.make_tensor_value_info(name, 1, shape) for name, shape in sizes.items()}
    weights = np.random.default_rng(0).standard_normal((8, 8)).astype(np.float32)
    graph = onnx.helper.make_graph(
        nodes,
        "net",
        [border["past"], border["x"]],
        [border["y"], border["z"]],
        [onnx.numpy_helper.from_array(weights, "w")],
    )
    path = tmp_path / "step.onnx"
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=8), str(path))
    choice = InputChoice(named=(("past", (0, 8)), ("x", (4, 8))))
    source = resolve(str(path), input_shape=None, weights=None, inputs=choice)
    derivation = Derivation(method=method)
    made = artifact_from_source(source, precision=Precision.INT8, root=tmp_path, derivation=derivation)
    assert made.hops[-1].passed
    assert made.quantization is not None
    assert (made.quantization.quantized, made.quantization.quantizable) == (2, 2)
    stored = {
        one.name: onnx.numpy_helper.to_array(one) for one in onnx.load(str(tmp_path / made.path)).graph.initializer
    }
    assert stored["past.scale"] == 1.0
    assert 0 < stored["keys.scale"] < 0.1


def test_what_onnx_runtime_cannot_run_is_named_without_our_own_files(tmp_path: Path) -> None:
    """onnx's evaluator takes a sine in bf16, where ONNX Runtime has none."""
    node, floats = onnx.helper.make_node, onnx.TensorProto.FLOAT
    nodes = [
        node("MatMul", ["x", "w"], ["a"], name="product"),
        node("Cast", ["a"], ["b"], to=onnx.TensorProto.BFLOAT16),
        node("Sin", ["b"], ["c"], name="sine"),
        node("Cast", ["c"], ["y"], to=floats),
    ]
    border = [onnx.helper.make_tensor_value_info(name, floats, ["n", 8]) for name in "xy"]
    weights = onnx.numpy_helper.from_array(np.eye(8, dtype=np.float32), "w")
    graph = onnx.helper.make_graph(nodes, "net", border[:1], border[1:], [weights])
    path = tmp_path / "net.onnx"
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=8), str(path))
    source = resolve(str(path), input_shape=None, weights=None)
    with pytest.raises(ArtifactError, match="ONNX Runtime does not run it") as caught:
        artifact_from_source(source, precision=Precision.INT8, root=tmp_path)
    assert "(sine)" in caught.value.values
    assert "observed.onnx" not in str(caught.value)
    assert list(tmp_path.rglob("*int8*.onnx")) == []


def test_what_nobody_can_check_is_not_calibrated_first(tmp_path: Path) -> None:
    nodes = [
        onnx.helper.make_node("MatMul", ["x", "w"], ["a"], name="product"),
        onnx.helper.make_node("Foo", ["a"], ["y"], name="foo", domain="com.example"),
    ]
    border = [onnx.helper.make_tensor_value_info(name, 1, ["n", 8]) for name in "xy"]
    weights = onnx.numpy_helper.from_array(np.eye(8, dtype=np.float32), "w")
    graph = onnx.helper.make_graph(nodes, "net", border[:1], border[1:], [weights])
    imports = [onnx.helper.make_opsetid("", 20), onnx.helper.make_opsetid("com.example", 1)]
    path = tmp_path / "net.onnx"
    onnx.save(onnx.helper.make_model(graph, opset_imports=imports, ir_version=8), str(path))
    source = resolve(str(path), input_shape=None, weights=None)
    said: list[str] = []
    with pytest.raises(ArtifactError, match="converted to int8: its outputs cannot be checked") as caught:
        artifact_from_source(source, precision=Precision.INT8, root=tmp_path, say=said.append)
    assert "Foo" in caught.value.values
    assert not [line for line in said if "calibrating" in line]
