"""Which layers did ONNX Runtime execute, and how long did each take? Read from its profile.

The profile is a list of events; each run of a node is one, "<node>_kernel_time". After fusion a node is named by one of
the nodes it was made of, or by the tensor that it writes, with marks before and behind that are taken off here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchbox.schema.layers import ExecutedLayer

US = 1e-6
_SUFFIX = "_kernel_time"
# What the runtime puts around the names of nodes and tensors when it fuses, reorders and casts.
_MARKS = re.compile(r"^(?:InsertedPrecisionFreeCast_|fused )|(?:_nchwc|_nhwc|_token_\d+|/duplicated|/\w*Fusion\w*/?)$")
# What the runtime inserts where neighbouring nodes run on different devices.
COPIES = frozenset({"MemcpyFromHost", "MemcpyToHost"})
MOVING = frozenset({"ReorderInput", "ReorderOutput"}) | COPIES
# Inserted by the runtime rather than by the graph if they have such a name.
_INSERTED = re.compile(r"^InsertedPrecisionFreeCast|^InsertedCast")
_CONTROL = frozenset({"If", "Loop", "Scan"})
TYPES = {
    "float": "fp32",
    "float16": "fp16",
    "bfloat16": "bf16",
    "double": "fp64",
    "int8": "int8",
    "uint8": "int8",
    "int32": "int32",
    "int64": "int64",
    "bool": "bool",
}


def layers_from_profile(events: Iterable[Mapping[str, Any]], *, skip: int) -> tuple[ExecutedLayer, ...]:
    """The executed layers in the order of their first run.

    Args:
        events: of the profile's JSON.
        skip: runs of each node at the beginning that are warm-up.
    """
    runs: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for event in events:
        name = str(event.get("name", ""))
        if event.get("cat") == "Node" and name.endswith(_SUFFIX):
            key = (name.removesuffix(_SUFFIX), str(event.get("args", {}).get("node_index", "")))
            runs.setdefault(key, []).append(event)
    return tuple(_layer(name, taken, skip) for (name, _), taken in runs.items())


def _layer(name: str, runs: Sequence[Mapping[str, Any]], skip: int) -> ExecutedLayer:
    arguments = runs[0].get("args", {})
    kind = str(arguments.get("op_name", "unknown"))
    return ExecutedLayer(
        name=name,
        kind=kind,
        tensors=(plain_name(name),),
        # A branch or a loop reads its condition first, which says nothing of what it computes in.
        inputs=() if kind in _CONTROL else _types(arguments.get("input_type_shape")),
        outputs=_types(arguments.get("output_type_shape")),
        tactic=str(arguments.get("provider", "")),
        moves=kind in MOVING or (kind == "Cast" and bool(_INSERTED.search(name))),
        times_s=tuple(float(event["dur"]) * US for event in runs[skip:]),
    )


def plain_name(name: str) -> str:
    """The name of the node or tensor inside a name of the runtime's."""
    stripped = _MARKS.sub("", name)
    return stripped if stripped == name else plain_name(stripped)


def _types(shapes: object) -> tuple[str, ...]:
    """Type names of tensors, from a list of {type: shape}."""
    if not isinstance(shapes, list):
        return ()
    kinds = (kind for entry in shapes if isinstance(entry, Mapping) for kind in entry)
    return tuple(TYPES.get(kind, kind) for kind in kinds)
