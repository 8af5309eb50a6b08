"""How are the layers of a network summed up: each by itself, by module, by operator, as a tree of modules?"""

from __future__ import annotations

from collections.abc import Callable

from benchbox.registry import require_known
from benchbox.schema.cost import LayerCost, NetworkCost

_KEYS: dict[str, Callable[[LayerCost], str]] = {
    "layer": lambda layer: layer.name,
    "module": lambda layer: layer.name.rpartition(".")[0] or layer.name,
    "op": lambda layer: layer.op,
}
TREE = "tree"


def require_grouping(by: str) -> str:
    """The word if layers can be grouped by it, else a UsageError with the nearest."""
    return require_known("grouping", by, (*_KEYS, TREE))


def grouped_layers(cost: NetworkCost, *, by: str, depth: int | None = None) -> tuple[LayerCost, ...]:
    """Rows in the order of first appearance, which add up to the whole unless they are a tree.

    Args:
        cost: of a network.
        by: "layer"; "module", the module that holds the layer (``layer3.0``); "op"; or "tree", a row for every
            module down to the layers, which holds the sum of what is below it.
        depth: of the tree, by the dots in a name; None for all of it.
    """
    if by == "layer":
        return cost.layers
    groups: dict[str, list[LayerCost]] = {}
    for layer in cost.layers:
        for key in _paths(layer.name, depth) if by == TREE else (_KEYS[by](layer),):
            groups.setdefault(key, []).append(layer)
    return tuple(_sum(name, layers) for name, layers in groups.items())


def _paths(name: str, depth: int | None) -> list[str]:
    """layer1, layer1.0, layer1.0.conv1 of layer1.0.conv1."""
    parts = name.split(".")
    return [".".join(parts[:end]) for end in range(1, min(len(parts), depth or len(parts)) + 1)]


def _sum(name: str, layers: list[LayerCost]) -> LayerCost:
    if len(layers) == 1 and layers[0].name == name:
        return layers[0]
    ops = {layer.op for layer in layers}
    return LayerCost(
        name=name,
        op=ops.pop() if len(ops) == 1 else f"{len(layers)} layers",
        output_shape=layers[-1].output_shape,
        macs=sum(layer.macs for layer in layers),
        elementwise=sum(layer.elementwise for layer in layers),
        params=sum(layer.params for layer in layers),
        weight_bytes=sum(layer.weight_bytes for layer in layers),
        read_bytes=sum(layer.read_bytes for layer in layers),
        write_bytes=sum(layer.write_bytes for layer in layers),
        count=sum(layer.count for layer in layers),
    )
