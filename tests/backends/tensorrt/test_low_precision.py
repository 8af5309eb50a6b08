"""TensorRT-RTX takes the graphs of every precision: six networks of the zoo, really built."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchbox.backends.base import BACKENDS, CompiledEngine, CompileRequest
from benchbox.backends.tensorrt.builder import engine_from_onnx, recipe_from_request
from benchbox.backends.tensorrt.validity import verdict_on
from benchbox.backends.tensorrt.vendor import Bindings
from benchbox.errors import ArtifactError
from benchbox.export.engines import profiles_from_inputs
from benchbox.export.precision.calibration import ranges_from_data
from benchbox.export.precision.casting import cast_from_float
from benchbox.export.precision.deriving import CALIBRATED, calibration_of, derived_from_float
from benchbox.export.precision.quantization import observed_tensors
from benchbox.export.precision.request import DerivingRequest
from benchbox.export.precision.samples import CalibrationData
from benchbox.models.sources import resolve
from benchbox.schema.artifact import BatchRange, OnnxArtifact
from benchbox.schema.derivation import Derivation
from benchbox.schema.model import Precision
from benchbox.store.artifact_files import sha256_of

# Plain, residuals, fire modules, inverted residuals, hard swish with squeeze-and-excitation, channel shuffle.
NETWORKS = ("lenet5",)
FURTHER = ("resnet18", "squeezenet1_1", "mobilenet_v2", "mobilenet_v3_small", "shufflenet_v2_x1_0")
PRECISIONS = (Precision.FP16, Precision.BF16, Precision.INT8, Precision.FP8)
TYPES = {
    Precision.FP16: TensorProto.FLOAT16,
    Precision.BF16: TensorProto.BFLOAT16,
    Precision.INT8: TensorProto.INT8,
    Precision.FP8: TensorProto.FLOAT8E4M3FN,
}

DerivedGraph = Callable[[str, Precision], tuple[OnnxArtifact, onnx.ModelProto]]


@pytest.fixture(scope="session")
def derived(exports: Any) -> DerivedGraph:
    """A network's fp32 artifact, and the graph that an export would write; its outputs are checked elsewhere.

    The ranges of int8 serve fp8 as well.
    """

    @functools.cache
    def original(name: str) -> tuple[OnnxArtifact, onnx.ModelProto]:
        artifact = exports.artifact(name)
        return artifact, onnx.load(str(exports.root / artifact.path))

    def data(name: str) -> CalibrationData:
        artifact, _ = original(name)
        source = resolve(name, input_shape=None, weights=None)
        found = calibration_of(
            source, precision=Precision.INT8, derivation=Derivation(), inputs=artifact.inputs, seed=0
        )
        assert found is not None
        return found

    @functools.cache
    def ranges(name: str) -> Mapping[str, float]:
        artifact, proto = original(name)
        tensors = observed_tensors(proto, precision=Precision.INT8)
        assert set(observed_tensors(proto, precision=Precision.FP8)) <= set(tensors)
        return ranges_from_data(proto, tensors, data(name), inputs=artifact.inputs, method=Derivation().method)

    @functools.cache
    def graph(name: str, precision: Precision) -> tuple[OnnxArtifact, onnx.ModelProto]:
        artifact, proto = original(name)
        calibrated = precision in CALIBRATED
        request = DerivingRequest(
            proto=proto,
            precision=precision,
            derivation=Derivation(),
            inputs=artifact.inputs,
            data=data(name) if calibrated else None,
            ranges=ranges(name) if calibrated else None,
        )
        return artifact, derived_from_float(request).proto

    return graph


def build(
    rtx: Bindings, path: Path, precision: Precision, original: OnnxArtifact, *, targets: tuple[str, ...] = ()
) -> CompiledEngine:
    request = CompileRequest(
        onnx_path=path,
        onnx_sha256=sha256_of(path),
        weights_sha256=None,
        precision=precision,
        profiles=profiles_from_inputs(original.inputs, BatchRange(minimum=1, optimum=1, maximum=2)),
        targets=targets,
    )
    return engine_from_onnx(rtx, path, recipe_from_request(rtx, request))


@pytest.mark.slow
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", [*NETWORKS, *(pytest.param(name, marks=pytest.mark.nightly) for name in FURTHER)])
def test_engines_are_built(
    name: str, precision: Precision, derived: DerivedGraph, rtx: Bindings, tmp_path: Path
) -> None:
    original, proto = derived(name, precision)
    onnx.checker.check_model(proto)
    stored = sum(len(tensor.raw_data) for tensor in proto.graph.initializer if tensor.data_type == TYPES[precision])
    everything = sum(len(tensor.raw_data) for tensor in proto.graph.initializer)
    assert stored > 0.85 * everything, "the weights are in the type that was asked for"
    path = tmp_path / f"{name}.onnx"
    path.write_bytes(proto.SerializeToString())
    made = build(rtx, path, precision, original)
    assert not verdict_on(rtx, made.engine).of_the_file
    # Engines hold the weights as they are in the graph: not twice as wide again.
    assert made.memory.weight_bytes is not None
    assert stored * 0.9 < made.memory.weight_bytes < 1.3 * everything
    assert BACKENDS.get("tensorrt-rtx").refusal(precision) is None


def test_what_the_builder_cannot_do_in_bf16_is_told_by_node(
    rtx: Bindings, derived: DerivedGraph, tmp_path: Path
) -> None:
    """TensorRT-RTX 1.7 parses a bf16 transposed convolution, but has no kernel for it."""
    graph = helper.make_graph(
        [helper.make_node("ConvTranspose", ["x", "w"], ["y"], name="grow")],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 6, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4, 8, 8])],
        [numpy_helper.from_array(np.full((4, 4, 3, 3), 0.1, np.float32), "w")],
    )
    original, _ = derived("lenet5", Precision.BF16)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    path = tmp_path / "net.onnx"
    onnx.save(cast_from_float(proto, Precision.BF16)[0], str(path))
    with pytest.raises(ArtifactError, match=r"(?s)cannot build an engine from net\.onnx.*grow"):
        build(rtx, path, Precision.BF16, original)
    onnx.save(cast_from_float(proto, Precision.BF16, exclude=["grow"])[0], str(path))
    assert build(rtx, path, Precision.BF16, original).engine


@pytest.mark.parametrize(
    ("precision", "target", "taken"),
    [
        (Precision.FP16, "sm75", True),
        (Precision.BF16, "sm75", False),
        (Precision.BF16, "sm80", True),
        (Precision.INT8, "sm80", True),
        (Precision.FP8, "sm86", False),
        (Precision.FP8, "sm89", True),
    ],
)
def test_a_target_without_the_type_is_refused_with_the_reason(
    precision: Precision,
    target: str,
    taken: bool,
    rtx: Bindings,
    derived: DerivedGraph,
    tmp_path: Path,
) -> None:
    """Turing has no bf16, Ampere no fp8."""
    original, proto = derived("lenet5", precision)
    path = tmp_path / "lenet5.onnx"
    path.write_bytes(proto.SerializeToString())
    if taken:
        assert build(rtx, path, precision, original, targets=(target,)).engine
        return
    with pytest.raises(ArtifactError, match=rf"(?is)cannot build an engine from lenet5\.onnx.*{target}"):
        build(rtx, path, precision, original, targets=(target,))
