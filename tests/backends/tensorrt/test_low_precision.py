"""TensorRT-RTX takes the graphs of every precision: six networks of the zoo, really built."""

from __future__ import annotations

from pathlib import Path

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
from benchbox.export.exporting import artifact_from_source
from benchbox.export.precision.casting import cast_from_float
from benchbox.export.precision.deriving import calibration_of, derived_from_float
from benchbox.export.precision.request import DerivingRequest
from benchbox.models.sources import resolve
from benchbox.schema.artifact import BatchRange, OnnxArtifact
from benchbox.schema.derivation import Derivation
from benchbox.schema.model import Precision
from benchbox.store.artifact_files import sha256_of

# Plain, fire modules, residuals, inverted residuals, hard swish with squeeze-and-excitation, channel shuffle.
NETWORKS = ("lenet5", "squeezenet1_1", "resnet18", "mobilenet_v2", "mobilenet_v3_small", "shufflenet_v2_x1_0")
PRECISIONS = (Precision.FP16, Precision.BF16, Precision.INT8, Precision.FP8)
TYPES = {
    Precision.FP16: TensorProto.FLOAT16,
    Precision.BF16: TensorProto.BFLOAT16,
    Precision.INT8: TensorProto.INT8,
    Precision.FP8: TensorProto.FLOAT8E4M3FN,
}


@pytest.fixture(scope="module")
def originals(root: Path) -> dict[str, OnnxArtifact]:
    return {
        name: artifact_from_source(resolve(name, input_shape=None, weights=None), precision=Precision.FP32, root=root)
        for name in NETWORKS
    }


def derived(original: OnnxArtifact, precision: Precision, root: Path) -> onnx.ModelProto:
    """The graph that an export would write; its outputs are checked elsewhere."""
    source = resolve(original.model, input_shape=None, weights=None)
    choice = Derivation()
    request = DerivingRequest(
        proto=onnx.load(str(root / original.path)),
        precision=precision,
        derivation=choice,
        inputs=original.inputs,
        data=calibration_of(source, precision=precision, derivation=choice, inputs=original.inputs, seed=0),
    )
    return derived_from_float(request).proto


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
@pytest.mark.parametrize("name", NETWORKS)
def test_engines_are_built(
    name: str, precision: Precision, originals: dict[str, OnnxArtifact], rtx: Bindings, root: Path, tmp_path: Path
) -> None:
    original = originals[name]
    proto = derived(original, precision, root)
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
    rtx: Bindings, originals: dict[str, OnnxArtifact], tmp_path: Path
) -> None:
    """TensorRT-RTX 1.7 parses a bf16 transposed convolution, but has no kernel for it."""
    graph = helper.make_graph(
        [helper.make_node("ConvTranspose", ["x", "w"], ["y"], name="grow")],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 6, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4, 8, 8])],
        [numpy_helper.from_array(np.full((4, 4, 3, 3), 0.1, np.float32), "w")],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    path = tmp_path / "net.onnx"
    onnx.save(cast_from_float(proto, Precision.BF16)[0], str(path))
    with pytest.raises(ArtifactError, match=r"(?s)cannot build an engine from net\.onnx.*grow"):
        build(rtx, path, Precision.BF16, originals["lenet5"])
    onnx.save(cast_from_float(proto, Precision.BF16, exclude=["grow"])[0], str(path))
    assert build(rtx, path, Precision.BF16, originals["lenet5"]).engine


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
    originals: dict[str, OnnxArtifact],
    root: Path,
    tmp_path: Path,
) -> None:
    """Turing has no bf16, Ampere no fp8."""
    original = originals["lenet5"]
    path = tmp_path / "lenet5.onnx"
    path.write_bytes(derived(original, precision, root).SerializeToString())
    if taken:
        assert build(rtx, path, precision, original, targets=(target,)).engine
        return
    with pytest.raises(ArtifactError, match=rf"(?is)cannot build an engine from lenet5\.onnx.*{target}"):
        build(rtx, path, precision, original, targets=(target,))
