"""Which layers did OpenVINO compile and run, in which types, and how long did each take?

Read from the runtime model: the graph that the plugin executes, whose nodes name their kernel ("brgconv_avx512_bf16"),
the type that they compute in, and which operations of the network they were made of. The network's weights are nodes
too, and so are their conversions, done once when the network is compiled; those have no time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchbox.schema.layers import ExecutedLayer
from benchbox.schema.proof import UNREPORTED

PRECISIONS = {"f32": "fp32", "f16": "fp16", "bf16": "bf16", "f64": "fp64", "i8": "int8", "u8": "int8", "i4": "int4",
              "u4": "int4", "i32": "int32", "i64": "int64", "boolean": "bool"}  # fmt: skip
# What counts as a matrix operation in evidence: names of layers after fusion, then of operations before it.
MATRIX_LAYERS = frozenset(
    {"Convolution", "Deconvolution", "DeformableConvolution", "BinaryConvolution", "FullyConnected", "MatMul",
     "RNNCell", "RNNSeq", "ScaledDotProductAttention", "PagedAttention", "LLMMLP", "QKVProjection"}
)  # fmt: skip
MATRIX_OPERATIONS = frozenset(
    {"Convolution", "GroupConvolution", "ConvolutionBackpropData", "GroupConvolutionBackpropData", "MatMul", "Einsum"}
)
# A layer generated for a part of the network. Attention becomes one, its matrix products inside. It reports the type of
# its inputs: at bf16 it was seen to say f32 and to compute in bf16.
GENERATED = "Subgraph"
_NOT_WORK = frozenset({"Const", "Input", "Output"})
_MOVING = "Reorder"


@dataclass(frozen=True, kw_only=True)
class RuntimeNode:
    """One node of the graph that the plugin executes.

    ``kind``, ``precision`` and ``kernel`` are OpenVINO's own words, ``operations`` the names of the network's
    operations that it was made of, ``inputs`` and ``outputs`` the types of its tensors.
    """

    name: str
    kind: str
    precision: str
    kernel: str
    operations: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def nodes_from_runtime_model(model: Any) -> tuple[RuntimeNode, ...]:
    """The nodes of ``CompiledModel.get_runtime_model()`` in the order of execution."""
    return tuple(_node(operation) for operation in model.get_ordered_ops())


def matrix_operations(model: Any) -> frozenset[str]:
    """Names of the convolutions and matrix products of a network as it was read, before it is compiled."""
    return frozenset(
        operation.get_friendly_name()
        for operation in model.get_ordered_ops()
        if operation.get_type_name() in MATRIX_OPERATIONS
    )


def executed_precisions(layers: Iterable[ExecutedLayer], matrices: frozenset[str]) -> dict[str, int]:
    """Layers that are matrix operations, by the type that they compute in.

    Args:
        layers: of the runtime model.
        matrices: names of the network's matrix operations: a generated layer that contains some counts as one.
    """
    counts: Counter[str] = Counter()
    for layer in layers:
        if layer.kind in MATRIX_LAYERS or (layer.kind == GENERATED and not matrices.isdisjoint(layer.tensors)):
            counts[layer.executed] += 1
    return dict(counts)


def layers_from_runtime(
    nodes: Sequence[RuntimeNode],
    times_s: Mapping[str, Sequence[float]] | None = None,
    *,
    matrices: frozenset[str],
    hint: str,
) -> tuple[ExecutedLayer, ...]:
    """The layers of a network as they are executed.

    Args:
        nodes: of the runtime model.
        times_s: seconds of each profiled inference, by the node's name: only layers that took time. None for all.
        matrices: names of the network's matrix operations.
        hint: the precision that the network was compiled with ("bf16"). What a generated layer with matrix operations
            computes in is known only where its inputs are of that type too.
    """

    def computes(node: RuntimeNode) -> str:
        hidden = node.kind == GENERATED and node.precision != hint and not matrices.isdisjoint(node.operations)
        if hidden:
            return UNREPORTED
        # The type of its weights is what it reports there; they are made as wide as its other input.
        packed = _precision(node.precision) == "int4"
        return _precision(node.inputs[0] if packed and node.inputs else node.precision)

    return tuple(
        ExecutedLayer(
            name=node.name,
            kind=node.kind,
            tensors=node.operations,
            inputs=tuple(map(_precision, node.inputs)),
            outputs=tuple(map(_precision, node.outputs)),
            computes=computes(node),
            tactic=node.kernel,
            moves=node.kind == _MOVING,
            times_s=tuple(times_s[node.name]) if times_s is not None else (),
        )
        for node in nodes
        if node.kind not in _NOT_WORK and (times_s is None or times_s.get(node.name))
    )


def _node(operation: Any) -> RuntimeNode:
    facts = operation.get_rt_info()

    def fact(name: str) -> str:
        return str(facts[name].value) if name in facts else ""

    return RuntimeNode(
        name=operation.get_friendly_name(),
        kind=fact("layerType"),
        precision=fact("runtimePrecision"),
        kernel=fact("primitiveType"),
        operations=tuple(filter(None, fact("originalLayersNames").split(","))),
        inputs=tuple(port.get_element_type().to_string() for port in operation.inputs()),
        outputs=tuple(port.get_element_type().to_string() for port in operation.outputs()),
    )


def _precision(kind: str) -> str:
    return PRECISIONS.get(kind, kind)
