"""What layers does an engine have, as TensorRT's inspector reports them?

Two dialects of JSON: TensorRT 10 gives each tensor one text for layout and type ("Format/Datatype": "Row-Major Linear
FP16"), TensorRT 11 two fields. Engines that were built without detailed profiling give names only. The ONNX nodes of a
layer stand in its metadata, "[ONNX Layer: name]" for each, with separators that differ between fused kernels.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from benchbox.errors import ArtifactError
from benchbox.schema.layers import ExecutedLayer
from benchbox.schema.proof import UNREPORTED

_NODE = re.compile(r"\[ONNX Layer: ([^\]]*)\]")
_MOVING = re.compile(r"reformat|shuffle_copy|^copy", re.IGNORECASE)
_MATRIX = re.compile(r"conv|gemm|matmul|matrix|fully", re.IGNORECASE)
# A whole region of the network as one layer: it reports the types at its border, not inside.
_OPAQUE = "{ForeignNode["
# The vendor's words for types, as they occur somewhere in a text about layout and type.
_TYPES = (
    ("fp32", re.compile(r"\bFP32\b|\bFloat\b", re.IGNORECASE)),
    ("fp16", re.compile(r"\bFP16\b|\bHalf\b", re.IGNORECASE)),
    ("bf16", re.compile(r"\bBF16\b|\bBFloat16\b", re.IGNORECASE)),
    ("fp8", re.compile(r"\bFP8\b", re.IGNORECASE)),
    ("int8", re.compile(r"\bU?Int8\b", re.IGNORECASE)),
    ("int4", re.compile(r"\bU?Int4\b", re.IGNORECASE)),
    ("fp4", re.compile(r"\bFP4\b|\bE2M1\b", re.IGNORECASE)),
    ("e8m0", re.compile(r"\bE8M0\b", re.IGNORECASE)),
    ("int32", re.compile(r"\bInt32\b", re.IGNORECASE)),
    ("int64", re.compile(r"\bInt64\b", re.IGNORECASE)),
    ("bool", re.compile(r"\bBool\b", re.IGNORECASE)),
)


def layers_from_inspection(text: str) -> tuple[ExecutedLayer, ...]:
    """The layers in what ``EngineInspector.get_engine_information`` gives as JSON, in the order of execution.

    Raises:
        ArtifactError: not JSON, or without layers.
    """
    try:
        document = json.loads(text)
        entries = document["Layers"]
    except (ValueError, LookupError, TypeError) as error:
        raise ArtifactError(
            "the engine inspector's answer cannot be read",
            values=f"{type(error).__name__}: {error}; it begins with {text[:80]!r}",
            remedy="build the engine again with 'benchbox build'",
        ) from error
    return tuple(_layer(entry) for entry in entries)


def with_times(layers: Sequence[ExecutedLayer], times: Mapping[str, Sequence[float]]) -> tuple[ExecutedLayer, ...]:
    """Adds the profiler's times by name.

    Layers of one name share its time in equal parts, as the profiler sums them. A time whose name no layer has becomes
    a layer of its own, so that no time is lost.
    """
    names = Counter(layer.name for layer in layers)
    joined = [
        replace(layer, times_s=tuple(time / names[layer.name] for time in times.get(layer.name, ())))
        for layer in layers
    ]
    rest = [
        ExecutedLayer(name=name, kind="unknown", times_s=tuple(taken))
        for name, taken in times.items()
        if name not in names
    ]
    return (*joined, *rest)


def executed_precisions(layers: Sequence[ExecutedLayer]) -> dict[str, int]:
    """How many layers with matrix work compute in which type; those whose type is not reported are left out."""
    working = (layer for layer in layers if not layer.moves)
    matrix = (layer for layer in working if _MATRIX.search(f"{layer.kind} {layer.tactic} {layer.name}"))
    return dict(Counter(layer.executed for layer in matrix if layer.executed))


def _layer(entry: str | Mapping[str, Any]) -> ExecutedLayer:
    if isinstance(entry, str):
        return ExecutedLayer(name=entry, kind="unknown", tensors=_named(entry), moves=bool(_MOVING.search(entry)))
    name, kind = str(entry.get("Name", "")), str(entry.get("LayerType", "unknown"))
    nodes = tuple(dict.fromkeys(_NODE.findall(str(entry.get("Metadata", "")))))
    stream = entry.get("StreamId")
    return ExecutedLayer(
        name=name,
        kind=kind,
        nodes=nodes,
        tensors=() if nodes else _named(name),
        inputs=_types(entry.get("Inputs")),
        outputs=_types(entry.get("Outputs")),
        computes=UNREPORTED if _OPAQUE in name else "",
        tactic=str(entry.get("TacticName", "")),
        stream=stream if isinstance(stream, int) else None,
        moves=not nodes and bool(_MOVING.search(kind) or _MOVING.search(name)),
    )


def _named(name: str) -> tuple[str, ...]:
    """Node names in a layer's name: "conv1 + relu1", "PWN(relu1)"; "{ForeignNode[a...b]}" gives the span "a...b"."""
    inner = re.sub(r"\{ForeignNode\[|\]\}|PWN\(|\)", " ", name)
    return tuple(dict.fromkeys(part for part in re.split(r"\s*\+\s*|,\s*|\s+", inner) if part))


def _types(tensors: object) -> tuple[str, ...]:
    """The types of a layer's inputs or outputs, in the field's words; "" for one that is not reported."""
    if not isinstance(tensors, list):
        return ()
    return tuple(_type(tensor) for tensor in tensors)


def _type(tensor: object) -> str:
    if not isinstance(tensor, Mapping):
        return ""
    reported = tensor.get("Datatype") or tensor.get("Format/Datatype") or tensor.get("Format") or ""
    return next((word for word, pattern in _TYPES if pattern.search(str(reported))), "")
