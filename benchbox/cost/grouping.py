"""How are the layers of a network summed up: each by itself, by module, by operator, as a tree of modules?

Counted layers, layers in two precisions and executed layers are grouped by the same words.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import TypeVar

from benchbox.registry import require_known
from benchbox.schema.cost import LayerCost, NetworkCost

GROUPINGS = ("layer", "module", "op")
TREE = "tree"
_Part = TypeVar("_Part")


def group_of(by: str, *, name: str, op: str) -> str:
    """The group that a layer is in.

    Args:
        by: one of ``GROUPINGS``: each layer by itself; the module that holds it (``layer3.0`` of ``layer3.0.conv2``);
            its operator.
        name: of the layer.
        op: of the layer.
    """
    if by == "op":
        return op
    return name.rpartition(".")[0] or name if by == "module" else name


def grouped(parts: Iterable[_Part], key: Callable[[_Part], str]) -> dict[str, list[_Part]]:
    """Parts by their key, in the order of first appearance."""
    groups: dict[str, list[_Part]] = {}
    for part in parts:
        groups.setdefault(key(part), []).append(part)
    return groups


def kind_of(kinds: Collection[str]) -> str:
    """The operator of a group: the one that all its layers have, else how many layers it holds."""
    return next(iter(kinds)) if len(set(kinds)) == 1 else f"{len(kinds)} layers"


def require_grouping(by: str) -> str:
    """The word if layers can be grouped by it, else a UsageError with the nearest."""
    return require_known("grouping", by, (*GROUPINGS, TREE))


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
    if by == TREE:
        groups: dict[str, list[LayerCost]] = {}
        for layer in cost.layers:
            for path in _paths(layer.name, depth):
                groups.setdefault(path, []).append(layer)
    else:
        groups = grouped(cost.layers, lambda layer: group_of(by, name=layer.name, op=layer.op))
    return tuple(_sum(name, layers) for name, layers in groups.items())


def _paths(name: str, depth: int | None) -> list[str]:
    """layer1, layer1.0, layer1.0.conv1 of layer1.0.conv1."""
    parts = name.split(".")
    return [".".join(parts[:end]) for end in range(1, min(len(parts), depth or len(parts)) + 1)]


def _sum(name: str, layers: list[LayerCost]) -> LayerCost:
    if len(layers) == 1 and layers[0].name == name:
        return layers[0]
    return LayerCost(
        name=name,
        op=kind_of([layer.op for layer in layers]),
        output_shape=layers[-1].output_shape,
        macs=sum(layer.macs for layer in layers),
        elementwise=sum(layer.elementwise for layer in layers),
        params=sum(layer.params for layer in layers),
        weight_bytes=sum(layer.weight_bytes for layer in layers),
        read_bytes=sum(layer.read_bytes for layer in layers),
        write_bytes=sum(layer.write_bytes for layer in layers),
        count=sum(layer.count for layer in layers),
    )
