"""The engine inspector's two dialects, read without a GPU.

The shape of the JSON is that of the inspector's documentation and of third-party readers of it (keys Name, LayerType,
Inputs, Outputs, TacticName, StreamId, Metadata); the texts are made up in it.
"""

from __future__ import annotations

import json

import pytest

from benchbox.backends.tensorrt.inspector import executed_precisions, layers_from_inspection, with_times
from benchbox.errors import ArtifactError
from benchbox.schema.layers import ExecutedLayer

TEN = {
    "Layers": [
        {
            "Name": "Reformatting CopyNode for Input Tensor 0 to conv1 + relu",
            "LayerType": "Reformat",
            "Inputs": [{"Name": "input", "Dimensions": [1, 3, 8, 8], "Format/Datatype": "Row major linear FP32"}],
            "Outputs": [{"Name": "r", "Format/Datatype": "Channel major FP16 format where channel % 8 == 0"}],
            "TacticName": "",
            "StreamId": 0,
            "Metadata": "",
        },
        {
            "Name": "conv1 + relu",
            "LayerType": "CaskConvolution",
            "Inputs": [{"Name": "r", "Format/Datatype": "Channel major FP16 format where channel % 8 == 0"}],
            "Outputs": [{"Name": "s", "Format/Datatype": "Half"}],
            "TacticName": "sm80_xmma_fprop_implicit_gemm_f16f16",
            "StreamId": 1,
            "Metadata": "[ONNX Layer: conv1]\x1e[ONNX Layer: relu]",
        },
        {"Name": "PWN(sigmoid, mul)", "LayerType": "PointWiseV2", "Inputs": [], "Outputs": [], "Metadata": ""},
    ],
    "Bindings": ["input", "output"],
}
ELEVEN = {
    "Layers": [
        {
            "Name": "__myl_ConvAdd_0",
            "LayerType": "kgen",
            "Inputs": [{"Name": "x", "Format": "Row-Major", "Datatype": "Int8"}],
            "Outputs": [{"Name": "y", "Format": "Row-Major", "Datatype": "BFloat16"}],
            "TacticName": "tactic",
            "StreamId": 0,
            "Metadata": "[ONNX Layer: layer1.0.conv2]\x1f[ONNX Layer: layer1.0.add]\x1f[ONNX Layer: layer1.0.conv2]",
        }
    ],
    "I/O Tensors": [{"Name": "x"}],
}


def test_the_dialect_of_ten() -> None:
    reformat, conv, pointwise = layers_from_inspection(json.dumps(TEN))
    assert (reformat.moves, reformat.inputs, reformat.outputs) == (True, ("fp32",), ("fp16",))
    assert (conv.moves, conv.nodes, conv.inputs, conv.outputs) == (False, ("conv1", "relu"), ("fp16",), ("fp16",))
    assert (conv.tactic, conv.stream) == ("sm80_xmma_fprop_implicit_gemm_f16f16", 1)
    assert (pointwise.nodes, pointwise.tensors, pointwise.stream) == ((), ("sigmoid", "mul"), None)


def test_the_dialect_of_eleven() -> None:
    (layer,) = layers_from_inspection(json.dumps(ELEVEN))
    assert layer.nodes == ("layer1.0.conv2", "layer1.0.add"), "each once"
    assert (layer.inputs, layer.outputs) == (("int8",), ("bf16",))


def test_names_alone() -> None:
    layers = layers_from_inspection(
        json.dumps({"Layers": ["conv1 + relu1", "Reformatting CopyNode for x", "{ForeignNode[a...b]}"]})
    )
    assert [layer.tensors for layer in layers][::2] == [("conv1", "relu1"), ("a...b",)]
    assert [layer.moves for layer in layers] == [False, True, False]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"Bindings": []}', "null"])
def test_what_cannot_be_read_is_said(text: str) -> None:
    with pytest.raises(ArtifactError, match="inspector's answer cannot be read"):
        layers_from_inspection(text)


@pytest.mark.parametrize(
    ("told", "word"),
    [
        ("Row major linear FP32", "fp32"),
        ("Float", "fp32"),
        ("Two wide channel vectorized row major FP16 format", "fp16"),
        ("Thirty-two wide channel vectorized row major Int8 format", "int8"),
        ("BF16", "bf16"),
        ("FP8", "fp8"),
        ("Row major linear Int4", "int4"),
        ("FP4", "fp4"),
        ("E8M0", "e8m0"),
        ("Row major linear INT32", "int32"),
        ("Bool", "bool"),
        ("something new", ""),
    ],
)
def test_types(told: str, word: str) -> None:
    layer = {"Name": "l", "LayerType": "k", "Inputs": [{"Format/Datatype": told}], "Outputs": None}
    assert layers_from_inspection(json.dumps({"Layers": [layer]}))[0].inputs == (word,)


def test_times_are_joined_by_name_and_none_is_lost() -> None:
    layers = [ExecutedLayer(name=name, kind="k") for name in ("a", "b", "b")]
    joined = with_times(layers, {"a": (1.0, 2.0), "b": (4.0, 6.0), "c": (8.0, 8.0)})
    assert [layer.times_s for layer in joined] == [(1.0, 2.0), (2.0, 3.0), (2.0, 3.0), (8.0, 8.0)]
    assert joined[-1].name == "c"
    assert sum(layer.time_s or 0 for layer in joined) == pytest.approx(1.5 + 5 + 8)


def test_executed_precisions_count_matrix_layers() -> None:
    assert executed_precisions(layers_from_inspection(json.dumps(TEN))) == {"fp16": 1}
    assert executed_precisions(layers_from_inspection(json.dumps(ELEVEN))) == {"int8": 1}
