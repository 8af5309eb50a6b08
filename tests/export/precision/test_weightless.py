"""A precision's structure without weights is that of the really derived file."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from benchbox.errors import ArtifactError, UsageError
from benchbox.export.precision.contents import contents_of
from benchbox.export.precision.deriving import calibration_of, derived_from_float
from benchbox.export.precision.quantization import observed_tensors
from benchbox.export.precision.request import DerivingRequest
from benchbox.export.precision.weightless import structure_in_precision
from benchbox.graph.border import Sizes
from benchbox.graph.graph import Graph, graph_from_file, graph_from_proto
from benchbox.graph.structure import proto_from_file
from benchbox.models.sources import resolve
from benchbox.schema.artifact import TensorSpec
from benchbox.schema.derivation import CalibrationMethod, Derivation
from benchbox.schema.model import Precision

NETWORKS = ("lenet5", "resnet18", "mobilenet_v2", "shufflenet_v2_x1_0", "mobilenet_v3_small")
EXCLUDING = Derivation(exclude=("*.0.conv1", "conv1", "features.0.*"))
CHOICES = {
    "fp16": (Precision.FP16, Derivation()),
    "fp16 exclude": (Precision.FP16, EXCLUDING),
    "bf16": (Precision.BF16, Derivation()),
    "int8": (Precision.INT8, Derivation()),
    "int8 exclude": (Precision.INT8, EXCLUDING),
    "int8 fallback": (Precision.INT8, Derivation(fallback=Precision.FP16)),
    "fp8": (Precision.FP8, Derivation()),
    "fp8 fallback": (Precision.FP8, Derivation(fallback=Precision.FP16)),
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("weightless")


def _with_weights(structure: onnx.ModelProto) -> onnx.ModelProto:
    """The structure with random weights in place of those that are missing."""
    random = np.random.default_rng(0)
    full = onnx.ModelProto()
    full.CopyFrom(structure)
    for tensor in full.graph.initializer:
        if not tensor.raw_data and tensor.data_type == onnx.TensorProto.FLOAT and not tensor.float_data:
            array = random.standard_normal(tuple(tensor.dims), dtype=np.float32)
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    return full


def _shape_of(graph: Graph) -> object:
    """Everything about a graph but the values of small constants, which calibration decides."""
    nodes = [dataclasses.replace(node, constants={}) for node in graph.nodes]
    return nodes, graph.inputs, graph.outputs, dict(graph.weights), graph.params


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("name", NETWORKS)
def test_it_is_the_structure_of_the_derived_file(name: str, choice: str, root: Path, exports: Any) -> None:
    precision, derivation = CHOICES[choice]
    source = resolve(name, input_shape=None, weights=None)
    path = exports.counted(name)
    structure = proto_from_file(path)
    full = _with_weights(structure)
    spec = TensorSpec(name=full.graph.input[0].name, dtype="float32", shape=(None, *(source.input_shape or ())))
    ranges = None
    if precision in {Precision.INT8, Precision.FP8}:
        ranges = dict.fromkeys(observed_tensors(full, precision=precision, exclude=derivation.exclude), 3.0)
    data = calibration_of(source, precision=precision, derivation=derivation, inputs=(spec,), seed=0)
    request = DerivingRequest(
        proto=full, precision=precision, derivation=derivation, inputs=(spec,), data=data, ranges=ranges
    )
    made = root / f"{name}-{choice}.onnx"
    made.write_bytes(derived_from_float(request).proto.SerializeToString())
    derived = graph_from_file(made, batch=2)
    onpaper = graph_from_proto(structure_in_precision(structure, precision, derivation), path, Sizes(batch=2))
    made.unlink()
    assert _shape_of(onpaper) == _shape_of(derived)


def test_fp32_tf32_and_a_file_in_the_precision_stay_as_they_are(exports: Any) -> None:
    path = exports.counted("lenet5")
    structure = proto_from_file(path)
    before = structure.SerializeToString()
    assert structure_in_precision(structure, Precision.FP32, Derivation()) is structure
    assert structure_in_precision(structure, Precision.TF32, Derivation()) is structure
    half = structure_in_precision(structure, Precision.FP16, Derivation())
    assert contents_of(half).precision is Precision.FP16
    assert structure_in_precision(half, Precision.FP16, Derivation()) is half
    assert structure.SerializeToString() == before, "the structure is not changed"


def test_bad_input(exports: Any) -> None:
    structure = proto_from_file(exports.counted("lenet5"))
    half = structure_in_precision(structure, Precision.FP16, Derivation())
    with pytest.raises(UsageError, match="is in fp16, not in int8"):
        structure_in_precision(half, Precision.INT8, Derivation())
    with pytest.raises(ArtifactError, match="nothing to quantise"):
        structure_in_precision(structure, Precision.INT8, Derivation(exclude=("*",)))
    with pytest.raises(UsageError, match="applies to int8, fp8 and int4 only"):
        structure_in_precision(structure, Precision.FP16, Derivation(method=CalibrationMethod.ENTROPY))
