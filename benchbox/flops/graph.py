"""What is the structure of an ONNX file: nodes in order, with every shape concrete?

This is the only file of the cost model that knows ONNX. Weights are not needed: their data is dropped before shapes are
inferred, and external data is not opened at all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchbox.errors import ArtifactError, BenchboxError, UsageError
from benchbox.flops.rule import NodeView, Tensor

if TYPE_CHECKING:
    import onnx

# Integer constants up to this size may be shapes or axes and take part in shape inference; larger ones are weights.
SMALL = 1024
MAX_ELEMENTS = 2**48
_CONTROL_FLOW = frozenset({"If", "Loop", "Scan", "SequenceMap"})


@dataclass(frozen=True, kw_only=True)
class Graph:
    """A graph at one batch size.

    ``weights`` are initialisers by name; ``params_of`` the trainable parameters that our exporter noted per node name;
    ``params`` their total as noted in the file, None in a file from elsewhere.
    """

    nodes: tuple[NodeView, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[str, ...]
    weights: Mapping[str, Tensor]
    trainable: frozenset[str]
    params_of: Mapping[str, int]
    params: int | None


def graph_from_file(path: Path, *, batch: int, input_shape: tuple[int, ...] | None = None) -> Graph:
    """Reads an ONNX file's structure and binds its dimensions.

    Args:
        path: of the ONNX file.
        batch: size of the first dimension of every input.
        input_shape: the other dimensions of the only input, where the file leaves them open.

    Raises:
        UsageError: no such file; a dimension that is not known or contradicts the file.
        ArtifactError: not an ONNX file, an invalid graph, control flow, a shape that cannot be inferred.
    """
    proto = _loaded(path)
    _require_plain(proto, path)
    weights = _weights(proto.graph)
    _bind(proto.graph, weights, batch, input_shape, path)
    _drop_data(proto.graph)
    shapes = _inferred(proto, path)
    trainable = _trainable(proto.graph, weights)
    names = _node_names(proto.graph)
    constants = _small_constants(proto.graph)
    nodes = []
    for index, (node, name) in enumerate(zip(proto.graph.node, names, strict=True)):
        nodes.append(_view(index, name, node, {**shapes, **weights}, constants))
    return Graph(
        nodes=tuple(nodes),
        inputs=tuple(shapes[value.name] for value in proto.graph.input if value.name not in weights),
        outputs=tuple(value.name for value in proto.graph.output),
        weights=weights,
        trainable=trainable,
        params_of={
            name: int(entry.value)
            for node, name in zip(proto.graph.node, names, strict=True)
            for entry in node.metadata_props
            if entry.key == "benchbox.params"
        },
        params=next((int(entry.value) for entry in proto.metadata_props if entry.key == "benchbox.params"), None),
    )


def _loaded(path: Path) -> onnx.ModelProto:
    import onnx

    if not path.is_file():
        raise UsageError(f"there is no ONNX file {path}")
    try:
        proto = onnx.load(str(path), load_external_data=False)
    except Exception as error:  # protobuf's decoder has errors of its own
        raise ArtifactError(
            f"{path} is no ONNX file", values=f"{type(error).__name__}: {error}", remedy="it may be truncated"
        ) from error
    if not proto.graph.node or not proto.opset_import:
        raise ArtifactError(f"{path} holds no network", values=f"{path.stat().st_size} bytes without a node")
    return proto


def _require_plain(proto: onnx.ModelProto, path: Path) -> None:
    if proto.functions:
        raise ArtifactError(
            f"{path} has local functions", values=f"function {proto.functions[0].name}", remedy="inline them first"
        )
    made = {value.name for value in proto.graph.input} | {tensor.name for tensor in proto.graph.initializer}
    for node in proto.graph.node:
        if node.op_type in _CONTROL_FLOW:
            raise ArtifactError(
                "the cost of control flow depends on data", values=f"node {node.name} ({node.op_type}) in {path}"
            )
        missing = [value for value in node.input if value and value not in made]
        if missing:
            raise ArtifactError(
                f"{path} is no valid graph",
                values=f"node {node.name} ({node.op_type}) reads {missing[0]} before any node makes it",
            )
        made.update(node.output)


def _weights(graph: onnx.GraphProto) -> dict[str, Tensor]:
    return {
        tensor.name: Tensor(name=tensor.name, shape=tuple(tensor.dims), item_bytes=_item_bytes(tensor.data_type))
        for tensor in graph.initializer
    }


def _bind(
    graph: onnx.GraphProto,
    weights: Mapping[str, Tensor],
    batch: int,
    input_shape: tuple[int, ...] | None,
    path: Path,
) -> None:
    values = [value for value in graph.input if value.name not in weights]
    bound: dict[str, int] = {}
    for value in values:
        dims = value.type.tensor_type.shape.dim
        asked: Sequence[int | None] = [None] * len(dims)
        if dims:
            asked = [batch, *(input_shape if input_shape and len(values) == 1 else [None] * (len(dims) - 1))]
        if len(asked) != len(dims):
            raise UsageError(
                "--input has another number of dimensions than the file",
                values=f"got {input_shape}, input {value.name} of {path} has {len(dims) - 1} without the batch",
            )
        for dim, size in zip(dims, asked, strict=True):
            size = size if size is not None else bound.get(dim.dim_param)
            if dim.dim_value > 0 and size not in (None, dim.dim_value):
                raise UsageError(
                    "the file has another size there",
                    values=f"asked for {size}, input {value.name} of {path} is fixed at {dim.dim_value}",
                )
            if dim.dim_value <= 0 and size is None:
                raise UsageError(
                    f"the shape of input {value.name} of {path} is not known",
                    values=f"dimension '{dim.dim_param or '?'}' is free",
                    remedy="give it: --input 3x224x224",
                )
            if dim.dim_value <= 0 and size is not None:
                if dim.dim_param:
                    bound[dim.dim_param] = size
                dim.dim_value = size  # clears the symbolic name
    for output in graph.output:
        output.type.tensor_type.ClearField("shape")  # inferred again from the bound inputs


def _drop_data(graph: onnx.GraphProto) -> None:
    """Turns weights into inputs without data; shape inference does not need it and copies what it gets."""
    import onnx

    declared = {value.name for value in graph.input}
    kept = []
    for tensor in graph.initializer:
        integers = tensor.data_type in (onnx.TensorProto.INT64, onnx.TensorProto.INT32)
        if integers and math.prod(tensor.dims) <= SMALL:
            kept.append(tensor)
        elif tensor.name not in declared:
            graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    saved = [tensor.SerializeToString() for tensor in kept]
    del graph.initializer[:]
    for data in saved:
        graph.initializer.add().ParseFromString(data)
    del graph.value_info[:]


def _inferred(proto: onnx.ModelProto, path: Path) -> dict[str, Tensor]:
    import onnx

    try:
        graph = onnx.shape_inference.infer_shapes(proto, check_type=True, strict_mode=True, data_prop=True).graph
    except Exception as error:  # inference errors have no public class
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise ArtifactError(
            f"the shapes in {path} do not fit together",
            values=" ".join(lines[:2]) or type(error).__name__,
            remedy="check the input shape (--input) and the file",
        ) from error
    found = {}
    for value in (*graph.input, *graph.value_info, *graph.output):
        tensor = value.type.tensor_type
        shape = tuple(dim.dim_value if dim.HasField("dim_value") else -1 for dim in tensor.shape.dim)
        if not value.type.HasField("tensor_type") or not tensor.HasField("shape") or min(shape, default=0) < 0:
            continue
        if math.prod(shape) > MAX_ELEMENTS:
            raise ArtifactError(f"tensor {value.name} of {path} is absurdly large", values=f"shape {shape}")
        found[value.name] = Tensor(name=value.name, shape=shape, item_bytes=_item_bytes(tensor.elem_type))
    return found


def _trainable(graph: onnx.GraphProto, weights: Mapping[str, Tensor]) -> frozenset[str]:
    """Floating-point initialisers of at least one dimension, but for batch-norm statistics and quantisation scales."""
    import onnx

    fixed = set()
    for node in graph.node:
        if node.op_type == "BatchNormalization":
            fixed.update(node.input[3:5])
        elif node.op_type in {"QuantizeLinear", "DequantizeLinear", "Resize", "Clip"}:
            fixed.update(node.input[1:])
    floats = {onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16, onnx.TensorProto.DOUBLE}
    kinds = {value.name: value.type.tensor_type.elem_type for value in graph.input}
    return frozenset(
        name for name, tensor in weights.items() if kinds.get(name) in floats and tensor.shape and name not in fixed
    )


def _node_names(graph: onnx.GraphProto) -> list[str]:
    """Every node's own name; one without or with a repeated name gets its operator and place."""
    seen: set[str] = set()
    names = []
    for index, node in enumerate(graph.node):
        name = node.name if node.name and node.name not in seen else f"{node.op_type}_{index}"
        seen.add(name)
        names.append(name)
    return names


def _small_constants(graph: onnx.GraphProto) -> dict[str, tuple[int, ...]]:
    from onnx import numpy_helper

    return {
        tensor.name: tuple(int(number) for number in numpy_helper.to_array(tensor).ravel())
        for tensor in graph.initializer
    }


def _view(
    index: int,
    name: str,
    node: onnx.NodeProto,
    tensors: Mapping[str, Tensor],
    constants: Mapping[str, tuple[int, ...]],
) -> NodeView:
    import onnx

    def tensor(value: str) -> Tensor:
        if value not in tensors:
            raise _unknown_shape(name, node, value)
        return tensors[value]

    operator = node.op_type if node.domain in {"", "ai.onnx"} else f"{node.domain}::{node.op_type}"
    attributes = {}
    for attribute in node.attribute:
        value = onnx.helper.get_attribute_value(attribute)
        attributes[attribute.name] = tuple(value) if isinstance(value, list) else value
    return NodeView(
        index=index,
        name=name,
        op=operator,
        inputs=tuple(tensor(value) if value else None for value in node.input),
        outputs=tuple(tensor(value) for value in node.output if value),
        attributes=attributes,
        constants={place: constants[value] for place, value in enumerate(node.input) if value in constants},
    )


def _unknown_shape(name: str, node: onnx.NodeProto, value: str) -> BenchboxError:
    if node.domain not in {"", "ai.onnx"}:
        return ArtifactError(
            f"operator {node.domain}::{node.op_type} is not part of the ONNX standard",
            values=f"node {name}; the shape of {value} is not known",
        )
    return ArtifactError(
        f"the shape of tensor {value} cannot be inferred",
        values=f"node {name} ({node.op_type})",
        remedy="it may depend on data; fix the shape in the file",
    )


def _item_bytes(kind: int) -> float:
    import onnx

    if kind == onnx.TensorProto.STRING:
        return 0.0
    four_bit = {onnx.TensorProto.INT4, onnx.TensorProto.UINT4, getattr(onnx.TensorProto, "FLOAT4E2M1", -1)}
    return 0.5 if kind in four_bit else float(onnx.helper.tensor_dtype_to_np_dtype(kind).itemsize)
