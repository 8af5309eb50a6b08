"""For which operators was another counter's number compared with what that counter itself prints?

The tests run the counters on every network of the zoo and demand the same integers; what else occurs in a network was
compared with none, and many counters ignore or weigh it in a way of their own (attention, LSTM, normalisations).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from benchbox.graph.graph import Graph
from benchbox.graph.node import NodeView

# Operators and PyTorch layers of the zoo, all of whose networks are compared.
_OPERATORS = frozenset(
    {
        *("Add", "AveragePool", "BatchNormalization", "Clip", "Concat", "Conv", "Div", "GatherND", "Gemm"),
        *(
            "HardSigmoid",
            "HardSwish",
            "MaxPool",
            "Mul",
            "PRelu",
            "Pad",
            "Pow",
            "ReduceMean",
            "Relu",
            "Reshape",
            "Slice",
        ),
        *("Split", "Squeeze", "Transpose"),
    }
)
_LAYERS = frozenset(
    {
        *("AdaptiveAvgPool2d", "AvgPool2d", "BatchNorm2d", "Conv2d", "Flatten", "Hardsigmoid", "Hardswish", "Linear"),
        *("LocalResponseNorm", "MaxPool2d", "PReLU", "ReLU", "ReLU6", "ZeroPadding", "adaptive_avg_pool2d"),
    }
)
# What only moves numbers; all else that belongs to no layer is a function: torch.relu(x) and F.relu(x) are one node and
# may be two numbers.
_MOVES = frozenset({"Concat", "GatherND", "Pad", "Reshape", "Slice", "Split", "Squeeze", "Transpose"})


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What a counter was compared on.

    ``operators`` of the graph; None where only those that do multiply-adds matter, and then ``products`` are they.
    ``layers`` are PyTorch's classes, None where it does not look at them. ``functions``: how a node that belongs to no
    layer is written in PyTorch makes no difference. ``in_layers``: operators that it sees inside layers alone.
    ``padding_by_name``: convolutions whose padding is "same" or "valid" are like others.
    """

    operators: frozenset[str] | None = _OPERATORS
    products: frozenset[str] = frozenset()
    layers: frozenset[str] | None = None
    functions: bool = True
    in_layers: frozenset[str] = frozenset()
    padding_by_name: bool = True


_NORMS = frozenset({"BatchNormalization"})
_WEIGHTED = _NORMS | {"Conv", "ConvTranspose", "Gemm"}
_TRANSPOSED = frozenset({"ConvTranspose"})
CHECKED: Mapping[str, Checked] = {
    "torchvision": Checked(operators=None, products=frozenset({"Conv", "Gemm"})),
    "flop-counter": Checked(operators=None, products=frozenset({"Conv", "Gemm"}) | _TRANSPOSED),
    "fvcore": Checked(
        operators=_OPERATORS | _TRANSPOSED,
        layers=_LAYERS | {"ConvTranspose2d"},
        in_layers=_NORMS,
        padding_by_name=False,
    ),
    "ptflops": Checked(
        operators=_OPERATORS | _TRANSPOSED,
        layers=_LAYERS | {"ConvTranspose2d"},
        functions=False,
        in_layers=_WEIGHTED,
    ),
    "torchinfo": Checked(layers=_LAYERS, in_layers=_WEIGHTED),
    "onnx-tool": Checked(),
}


def unchecked_operators(counter: str, graph: Graph, macs_of: Mapping[str, int]) -> tuple[str, ...]:
    """Operators and layers of a graph on which a counter was compared with nothing, each once, in the graph's order.

    Args:
        counter: its name.
        graph: of the network.
        macs_of: multiply-adds by name of the node.
    """
    checked = CHECKED[counter]
    found = (
        name
        for node in graph.nodes
        if not graph.is_constant(node)
        for name in _unchecked_in(node, checked, macs=macs_of[node.name])
    )
    return tuple(dict.fromkeys(found))


def _unchecked_in(node: NodeView, checked: Checked, *, macs: int) -> list[str]:
    if checked.operators is None:
        return [node.op] if macs and node.op not in checked.products else []
    layers = [layer.partition("+")[0] for layer in node.layers]
    if not layers and (node.op in checked.in_layers or not (checked.functions or node.op in _MOVES)):
        return [f"{node.op} outside of a layer"]
    if node.op not in checked.operators:
        return [node.op]
    if checked.layers is None:
        return []
    found = [layer for layer in layers if layer not in checked.layers]
    for layer, name in zip(node.layers, layers, strict=True):
        notes = layer.split("+")[1:]
        found += [f"{name} without scale and shift"] if "plain" in notes else []
        found += [f"{name} with padding by name"] if "named" in notes and not checked.padding_by_name else []
    return found
