"""What would another counter print for this network, and why is that another number?

Each counter is described as a sum of terms over the nodes of the graph, so that its total can be taken apart and set
beside ours. The terms follow the sources of the released versions named below; the tests run the packages themselves
on every network of the zoo and demand the same integers. A network with operators that were compared with none of them
(``checked_operators.py``) gets no number.

Counters that hook PyTorch's layers see layers which are no longer in the deployed graph: a batch norm that was folded
into its convolution, a bias that came from it. Our exporter notes the layers that each node stands for
(``export/module/canonical.py``). A file from elsewhere says nothing of the kind, and such counters refuse it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from benchbox.cost.checked_operators import unchecked_operators
from benchbox.cost.rule import RULES, cost_of
from benchbox.errors import UsageError
from benchbox.graph.graph import Graph
from benchbox.graph.node import NodeView

# Operators that a refusal names.
_SHOWN = 6
Term = Callable[[NodeView], int]


@dataclass(frozen=True, kw_only=True)
class OtherCounter:
    """A counter of operations that people quote.

    ``unit`` is what its number is called there; ``terms`` add up to the number; ``source`` says where it is published.
    """

    name: str
    unit: str
    source: str
    terms: Mapping[str, Term]
    needs_layers: bool = False


@dataclass(frozen=True, kw_only=True)
class Count:
    """A counter's number for one network, and its parts by term; parts of 0 are left out."""

    counter: OtherCounter
    total: int
    parts: Mapping[str, int]


def count_of(counter: OtherCounter, graph: Graph, *, compared: bool = False) -> Count:
    """What a counter prints for a graph.

    Args:
        counter: which.
        graph: of the network.
        compared: this very network is one that the counter's number was compared on, as those of the zoo are.

    Raises:
        UsageError: as ``require_countable``.
    """
    require_countable(counter, graph, compared=compared)
    parts = {title: sum(term(node) for node in graph.nodes) for title, term in counter.terms.items()}
    return Count(
        counter=counter,
        total=sum(parts.values()),
        parts={title: amount for title, amount in parts.items() if amount},
    )


def require_countable(counter: OtherCounter, graph: Graph, *, compared: bool = False) -> None:
    """Raises UsageError where it is not known what a counter prints.

    It looks at PyTorch's layers and the graph does not say which there were, or the network has operators on which our
    number was not compared with the counter's own.
    """
    if counter.needs_layers and not any(node.layers for node in graph.nodes):
        raise UsageError(
            f"{counter.name} counts PyTorch's layers, which this file does not name",
            remedy="name the network as package.module:factory, or export it with benchbox",
        )
    if compared:
        return
    macs = {node.name: cost_of(node).macs if node.op in RULES else 0 for node in graph.nodes}
    if unknown := unchecked_operators(counter.name, graph, macs):
        more = f" and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else ""
        raise UsageError(
            f"what {counter.name} prints for this network is not known",
            values=f"not compared with it: {', '.join(unknown[:_SHOWN])}{more}",
            remedy="run the counter itself, or use --convention mac or flop",
        )


def _has(node: NodeView, *layers: str) -> bool:
    return any(layer.partition("+")[0] in layers for layer in node.layers)


def _macs(node: NodeView) -> int:
    return cost_of(node).macs


def _twice_macs(node: NodeView) -> int:
    return 2 * cost_of(node).macs


def _bias(node: NodeView) -> int:
    """One addition per output of a convolution or linear layer that adds a bias in PyTorch."""
    return node.outputs[0].elements if any(layer.endswith("+bias") for layer in node.layers) else 0


def _batch_norm(node: NodeView) -> int:
    return 2 * node.outputs[0].elements if _has(node, "BatchNorm2d") else 0


def _per_channel_batch_norm(node: NodeView) -> int:
    """What torchinfo does: it multiplies a layer's parameters by the batch size alone, unless it is a convolution."""
    return 2 * node.outputs[0].shape[0] * node.outputs[0].shape[1] if _has(node, "BatchNorm2d") else 0


def _slopes(node: NodeView) -> int:
    """Torchinfo again: the parameters of a PReLU, once per sample."""
    return node.input(1).elements * node.outputs[0].shape[0] if _has(node, "PReLU") else 0


def _adaptive_pool(node: NodeView) -> int:
    return node.input(0).elements if _has(node, "AdaptiveAvgPool2d", "adaptive_avg_pool2d") else 0


def _activation(node: NodeView) -> int:
    return node.outputs[0].elements if _has(node, *_ACTIVATIONS) else 0


def _activation_call(node: NodeView) -> int:
    function = _has(node, *(_ACTIVATIONS & _CALLED_ACTIVATIONS)) or (node.op == "Relu" and not node.layers)
    return node.outputs[0].elements if function else 0


def _pool(node: NodeView) -> int:
    return node.input(0).elements if _has(node, *_POOLS) else 0


def _pool_call(node: NodeView) -> int:
    function = _has(node, "adaptive_avg_pool2d", *_POOLS) or (node.op in {"MaxPool", "AveragePool"} and not node.layers)
    return node.input(0).elements if function else 0


def _response_norm_calls(node: NodeView) -> int:
    """Local response normalisation squares (a node that reads one tensor twice), scales and shifts."""
    squares = _has(node, "LocalResponseNorm") and node.op == "Mul" and node.inputs[0] == node.inputs[1]
    return 3 * node.outputs[0].elements if squares else 0


_ACTIVATIONS = frozenset({"ReLU", "ReLU6", "PReLU", "ELU", "LeakyReLU", "GELU"})
_CALLED_ACTIVATIONS = frozenset({"ReLU", "PReLU", "ELU", "GELU"})
_POOLS = frozenset({"MaxPool2d", "AvgPool2d", "AdaptiveAvgPool2d", "AdaptiveMaxPool2d"})

# onnx-tool's own weights of operations, in its unit (one x86 vector instruction).
_DIV, _EXP, _SQRT = 4, 32, 24
_PER_OUTPUT = {
    **dict.fromkeys(("Add", "Sub", "Mul", "Relu", "Max", "Min", "Sign", "Neg", "Abs", "Less", "Equal", "Greater"), 1),
    "Div": _DIV,
    "Pow": _EXP,
    "Exp": _EXP,
    "Sqrt": _SQRT,
    "Clip": 2,
    "Softmax": _EXP + _DIV,
    "HardSigmoid": 4,
    "HardSwish": 5,
    "LeakyRelu": 2,
    "PRelu": 2,
    "BatchNormalization": 1 + _SQRT + _DIV + 1 + 1,
}


def _onnx_tool_macs(node: NodeView) -> int:
    if node.op == "ConvTranspose":  # weighs every output, where the products are per input
        kernel = node.input(1).shape[1:]
        size = 1
        for length in kernel:
            size *= length
        return node.outputs[0].elements * size
    return cost_of(node).macs


def _onnx_tool_bias(node: NodeView) -> int:
    biased = node.op in {"Conv", "ConvTranspose", "Gemm"} and len(node.inputs) > 2 and node.inputs[2] is not None
    return node.outputs[0].elements if biased else 0


def _onnx_tool_pool(node: NodeView) -> int:
    if node.op in {"MaxPool", "AveragePool"}:
        return cost_of(node).elementwise
    if node.op == "GlobalAveragePool":
        return node.input(0).elements + _DIV * node.outputs[0].elements
    return node.input(0).elements if node.op == "ReduceMean" else 0


def _onnx_tool_elementwise(node: NodeView) -> int:
    if node.op == "LRN":
        return node.outputs[0].elements * (_DIV + _EXP + 1 + node.integer("size", 1))
    operands = 1 if node.op in {"Clip", "Softmax", "LeakyRelu", "PRelu", "BatchNormalization"} else len(node.inputs) - 1
    return _PER_OUTPUT.get(node.op, 0) * max(operands, 1) * node.outputs[0].elements


_PRODUCTS = "multiply-adds of convolutions and matrix products"
COUNTERS: dict[str, OtherCounter] = {
    counter.name: counter
    for counter in (
        OtherCounter(
            name="torchvision",
            unit="GFLOPS",
            source="torchvision.models, _ops of a network's weights",
            terms={_PRODUCTS: _macs},
        ),
        OtherCounter(
            name="flop-counter",
            unit="FLOPs",
            source="torch.utils.flop_counter.FlopCounterMode",
            terms={f"{_PRODUCTS}, each as 2": _twice_macs},
        ),
        OtherCounter(
            name="fvcore",
            unit="FLOPs",
            source="fvcore.nn.FlopCountAnalysis 0.1.5",
            terms={
                _PRODUCTS: _macs,
                "batch norms, 2 per element": _batch_norm,
                "adaptive average pools, 1 per input element": _adaptive_pool,
            },
            needs_layers=True,
        ),
        OtherCounter(
            name="ptflops",
            unit="MACs",
            source="ptflops.get_model_complexity_info 0.7.5, backend pytorch",
            terms={
                _PRODUCTS: _macs,
                "biases, 1 per output element": _bias,
                "batch norms, 2 per element": _batch_norm,
                "activation layers, 1 per element": _activation,
                "activation functions, 1 per element, also inside layers": _activation_call,
                "pooling layers, 1 per input element": _pool,
                "pooling functions, 1 per input element, also inside layers": _pool_call,
                "products and sums inside local response norms, 3 per element": _response_norm_calls,
            },
            needs_layers=True,
        ),
        OtherCounter(
            name="torchinfo",
            unit="mult-adds",
            source="torchinfo.summary 1.8.0, total_mult_adds",
            terms={
                _PRODUCTS: _macs,
                "biases, 1 per output element": _bias,
                "batch norms, 2 per channel": _per_channel_batch_norm,
                "PReLU slopes, 1 each": _slopes,
            },
            needs_layers=True,
        ),
        OtherCounter(
            name="onnx-tool",
            unit="MACs",
            source="onnx_tool.model_profile 1.0.1, on the deployed file",
            terms={
                _PRODUCTS: _onnx_tool_macs,
                "biases, 1 per output element": _onnx_tool_bias,
                "pools and means, 1 per element looked at": _onnx_tool_pool,
                "elementwise operators by a weight of their own": _onnx_tool_elementwise,
            },
        ),
    )
}
