"""How are the layers of a network summed up: each by itself, by module, by operator?"""

from __future__ import annotations

from collections.abc import Callable

from benchbox.registry import require_known
from benchbox.schema.cost import LayerCost, NetworkCost

_KEYS: dict[str, Callable[[LayerCost], str]] = {
    "layer": lambda layer: layer.name,
    "module": lambda layer: layer.name.rpartition(".")[0] or layer.name,
    "op": lambda layer: layer.op,
}


def require_grouping(by: str) -> str:
    """The word if layers can be grouped by it, else a UsageError with the nearest."""
    return require_known("grouping", by, _KEYS)


def grouped_layers(cost: NetworkCost, *, by: str) -> tuple[LayerCost, ...]:
    """Rows that add up to the whole, in the order of first appearance.

    Args:
        cost: of a network.
        by: "layer"; "module", the module that holds the layer (``layer3.0``); or "op".
    """
    if by == "layer":
        return cost.layers
    groups: dict[str, list[LayerCost]] = {}
    for layer in cost.layers:
        groups.setdefault(_KEYS[by](layer), []).append(layer)
    return tuple(_sum(name, layers) for name, layers in groups.items())


def _sum(name: str, layers: list[LayerCost]) -> LayerCost:
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
    )
