"""How many trainable parameters does each node of an ONNX graph stand for?

In a file that benchbox exported every node carries the number. In a file from elsewhere it must be read off. Weights
are initialisers of floating point, less what is no parameter (statistics of batch norms, scales of quantisation). But
the exporters of PyTorch change them: they fold batch norms into convolutions, share initialisers of equal values, and
drop biases that are all zero (as in a network that was never trained). They leave traces, and these are read:

* ``torch.onnx.export(dynamo=True)`` notes on every node the call of PyTorch that it came from, with the names of its
  parameters (``%p_layer1_0_conv1_weight``), and which rewriting rules were applied;
* the older TorchScript exporter gives a weight that it computed a number for a name (``onnx::Conv_193``) and shared
  initialisers an Identity node. Whether a folded convolution had a bias of its own it does not say: none is assumed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

_CALL, _RULES, _NOTED = "pkg.torch.onnx.fx_node", "pkg.onnxscript.rewriter.rule_name", "benchbox.params"
_PARAMETER = re.compile(r"%(p_\w+)")
_CALL_NAME = re.compile(r"%(\w+)")
# A parameter that the exporter reshaped ahead of time is an initialiser named after the call that reshaped it.
_RESHAPED = re.compile(r"(view|expand|reshape|permute|transpose|t|unsqueeze|squeeze|slice|select|index|clone)(_\d+)?")
_COMPUTED_BY_TORCHSCRIPT = re.compile(r"onnx::(Conv|ConvTranspose)_\d+")
# TensorProto.DataType: float, float16, double, bfloat16.
_FLOATS = frozenset({1, 10, 11, 16})
_FIXED_INPUTS = {
    "BatchNormalization": slice(3, 5),
    "QuantizeLinear": slice(1, None),
    "DequantizeLinear": slice(1, None),
    "Resize": slice(1, None),
    "Clip": slice(1, None),
    "Pad": slice(1, None),
}


def params_per_node(graph: onnx.GraphProto, names: Sequence[str], *, producer: str) -> dict[str, int]:
    """Trainable parameters per node name; a parameter that several nodes read is given to the first of them.

    Args:
        graph: with its initialisers (data is not needed).
        names: of the nodes, unique.
        producer: who wrote the file.
    """
    notes = [{entry.key: entry.value for entry in node.metadata_props} for node in graph.node]
    if any(_NOTED in note for note in notes):
        return {name: int(note.get(_NOTED, 0)) for name, note in zip(names, notes, strict=True)}
    weights = _weights(graph)
    if any(_CALL in note for note in notes):
        counts = _from_calls(graph, weights, notes)
    else:
        counts = _from_names(graph, weights, producer)
    return dict(zip(names, counts, strict=True))


def _weights(graph: onnx.GraphProto) -> dict[str, tuple[int, ...]]:
    """Shapes of what may be parameters, by the name under which nodes read them."""
    fixed = {
        value
        for node in graph.node
        if node.op_type in _FIXED_INPUTS
        for value in node.input[_FIXED_INPUTS[node.op_type]]
    }
    found = {
        tensor.name: tuple(tensor.dims)
        for tensor in graph.initializer
        if tensor.data_type in _FLOATS and tensor.dims and tensor.name not in fixed
    }
    for node in graph.node:
        if node.op_type == "Identity" and node.input and node.input[0] in found and node.output[0] not in fixed:
            found[node.output[0]] = found[node.input[0]]  # one of several equal parameters that share an initialiser
    return found


def _from_names(graph: onnx.GraphProto, weights: Mapping[str, tuple[int, ...]], producer: str) -> list[int]:
    left = dict(weights)
    counts = []
    for node in graph.node:
        if node.op_type == "Identity" and node.input and node.input[0] in weights:
            counts.append(0)
            continue
        own = [_parameters_in(node, value, left.pop(value)) for value in dict.fromkeys(node.input) if value in left]
        folded = producer == "pytorch" and len(own) == 2 and _COMPUTED_BY_TORCHSCRIPT.fullmatch(node.input[1])
        counts.append(sum(own) + (own[1] if folded else 0))  # the folded bias stands for a scale and a shift
    return counts


def _from_calls(
    graph: onnx.GraphProto, weights: Mapping[str, tuple[int, ...]], notes: Sequence[Mapping[str, str]]
) -> list[int]:
    """By the calls of PyTorch that the nodes came from; several nodes may have come from one call.

    Vectors are counted once per call, since equal ones share an initialiser; a shared matrix is one tied weight.
    """
    read: set[tuple[str, str]] = set()  # initialisers and the call that they were counted for
    seen: set[str] = set()  # parameters named by calls so far
    counts = []
    for node, note in zip(graph.node, notes, strict=True):
        text = note.get(_CALL, "")
        call = match.group(1) if (match := _CALL_NAME.search(text)) else ""
        parameters = frozenset(_PARAMETER.findall(text.partition("args =")[2]))
        rules = note.get(_RULES, "")
        total = 0
        for value in dict.fromkeys(node.input):
            if value not in weights or value.endswith(".weight_bias"):
                continue
            size = _parameters_in(node, value, weights[value])
            key = (call if math.prod(weights[value]) == max(weights[value]) else "", value)
            if key not in read and (parameters or "." in value or _RESHAPED.fullmatch(value)):
                read.add(key)
                total += size
        counts.append(total + _vanished(node, weights, parameters - seen, rules))
        seen |= parameters if counts[-1] else frozenset()
    return counts


def _parameters_in(node: onnx.NodeProto, value: str, shape: tuple[int, ...]) -> int:
    """Parameters behind an initialiser: its elements, but for a relative position bias that was looked up beforehand.

    Attention in windows of w x w positions reads a table of (2w-1)² rows (Liu et al. 2021, arXiv 2103.14030, section
    3.2), which exporters turn into the w⁴ biases of all pairs: a tensor (w⁴, heads) or (1, heads, w², w²).
    """
    if "." not in value and node.op_type in ("Add", "Reshape", "Unsqueeze", "Transpose"):
        pairs, heads = 0, 0
        if len(shape) == 2:
            pairs, heads = shape
        elif len(shape) == 4 and shape[0] == 1 and shape[2] == shape[3]:
            pairs, heads = shape[2] ** 2, shape[1]
        window = math.isqrt(math.isqrt(pairs))
        if window > 1 and window**4 == pairs:
            return (2 * window - 1) ** 2 * heads
    return math.prod(shape)


def _vanished(
    node: onnx.NodeProto, weights: Mapping[str, tuple[int, ...]], parameters: frozenset[str], rules: str
) -> int:
    """Parameters that are in the call but not in the file: a folded batch norm's, a bias of zeros."""
    weight = weights.get(node.input[1]) if len(node.input) > 1 else None
    if weight is None:
        return 0
    channels = _output_channels(node, weight)
    if "FuseBatchNorm" in rules:
        return len(parameters) * channels
    if "RemoveOptionalBias" in rules and len(parameters) > 1 and len(node.input) < 3:
        return channels
    return 0


def _output_channels(node: onnx.NodeProto, weight: tuple[int, ...]) -> int:
    attributes = {entry.name: entry.i for entry in node.attribute}
    if node.op_type == "ConvTranspose":
        return weight[1] * max(int(attributes.get("group", 1)), 1)
    if node.op_type == "Gemm":
        return weight[0 if attributes.get("transB", 0) else -1]
    return weight[0]
