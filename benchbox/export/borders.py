"""Which values at the border of an ONNX file can be fed, compared and counted? The others are refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from benchbox.errors import UsageError

if TYPE_CHECKING:
    import onnx

# Element types of ONNX that numpy has itself: arrays of them can be drawn, stored and handed to every runtime.
_TYPES = frozenset(
    {
        *("FLOAT", "DOUBLE", "FLOAT16", "BOOL"),
        *("INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"),
    }
)
_KINDS = {
    "sequence_type": "a sequence",
    "optional_type": "optional",
    "map_type": "a map",
    "sparse_tensor_type": "a sparse tensor",
    "opaque_type": "of an opaque type",
}
_REMEDIES = {
    "STRING": "measure the part of the network behind it, with the numbers that the strings become",
    "BFLOAT16": "give it a border in fp32, with a Cast to bf16 behind it; inside the network bf16 is supported",
}


def require_tensors(graph: onnx.GraphProto, path: Path) -> None:
    """Raises UsageError for an input or output that is not a tensor, or one of a type that numpy does not have."""
    import onnx

    weights = {tensor.name for tensor in graph.initializer}
    weights |= {sparse.values.name for sparse in graph.sparse_initializer}
    inputs = [("input", value) for value in graph.input if value.name not in weights]
    for side, value in (*inputs, *(("output", value) for value in graph.output)):
        kind = value.type.WhichOneof("value")
        if kind not in ("tensor_type", None):
            raise UsageError(
                f"{side} {value.name} of {path} is {_KINDS.get(kind, kind)}",
                values="benchbox measures networks whose inputs and outputs are tensors",
                remedy=_WITHOUT_ZIPMAP if any(node.op_type == "ZipMap" for node in graph.node) else _CUT,
            )
        number = value.type.tensor_type.elem_type
        if side == "output" and number == onnx.TensorProto.UNDEFINED:
            continue  # the file does not say; its judge shows it
        known = number in onnx.TensorProto.DataType.values()
        name = onnx.TensorProto.DataType.Name(number) if known else f"number {number}"
        if name not in _TYPES:
            raise UsageError(
                f"{side} {value.name} of {path} holds elements of type {name.lower()}",
                values=f"inputs and outputs may be {', '.join(sorted(kind.lower() for kind in _TYPES))}",
                remedy=_REMEDIES.get(name, _CUT),
            )


_WITHOUT_ZIPMAP = "convert it with a tensor of probabilities: skl2onnx takes options={'zipmap': False}"
_CUT = "cut the network before or behind it (onnx.utils.extract_model), so that tensors of numbers remain at the border"
