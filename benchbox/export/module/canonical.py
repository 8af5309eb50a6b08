"""How does an exported graph get stable names and stable bytes?

The exporter's graph carries absolute paths, stack traces and names like ``node_Conv_292``. The canonical graph is
the same computation with names from the PyTorch module tree and nothing of the machine that made it: the same
network gives the same bytes, hence the same sha256, every time, and layer tables read ``layer3.0.conv2``.

Kept as metadata: on each node ``benchbox.module`` (path of its module), ``benchbox.layers`` (classes of the PyTorch
layers that the node stands for, ``Conv2d+bias BatchNorm2d``, with ``+plain`` for a batch norm without scale and shift,
``+named`` where padding is a word, and its module's name for somebody else's class of such a name; functions only where
no operator has theirs) and
``benchbox.params`` (trainable parameters that the node stands for, also those of a folded batch norm); on the model
``benchbox.model`` and ``benchbox.params`` (all of them). Shapes of intermediate tensors are dropped: they are
inferred for the batch size in question where needed.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx
    from torch import nn

# A node's note with the modules that it lies in, outermost first, and its own name.
SCOPES = "pkg.torch.onnx.name_scopes"
_STACK = "pkg.torch.onnx.stack_trace"
# A node's note with the rules by which the exporter rewrote it.
_RULES = "pkg.onnxscript.rewriter.rule_name"
# Functions that the exporter takes apart, so that no node has their name.
_DISSOLVED = ("adaptive_avg_pool2d",)
_ROLES = {
    "Conv": ("input", "weight", "bias"),
    "ConvTranspose": ("input", "weight", "bias"),
    "Gemm": ("a", "weight", "bias"),
}


def canonicalise(proto: onnx.ModelProto, module: nn.Module, *, name: str) -> None:
    """Renames and strips the exporter's graph in place.

    Args:
        proto: what ``proto_from_module`` returned.
        module: the module it was made from.
        name: the model's name.
    """
    graph = proto.graph
    tree = _ModuleTree(module)
    modules = [tree.module_of(node) for node in graph.node]
    params = _params_per_node(graph, modules, tree)
    names = _node_names(graph, modules, tree)
    layers = _layers_per_node(graph, modules, tree)
    _rename_values(graph, names, set(tree.state_names))
    for node, node_name, path, count, stands_for in zip(graph.node, names, modules, params, layers, strict=True):
        node.name = node_name
        node.doc_string = ""
        notes = {"benchbox.module": path.owner, "benchbox.layers": stands_for, "benchbox.params": str(count)}
        _replace_metadata(node.metadata_props, notes)
    _strip(proto)
    graph.name = name
    _replace_metadata(
        proto.metadata_props, {"benchbox.model": name, "benchbox.params": str(sum(tree.param_sizes.values()))}
    )


class _Place:
    """Where a node comes from: ``owner`` is the module whose weights it uses, ``scope`` the one whose code made it."""

    def __init__(self, owner: str, scope: str, *, weighted: bool) -> None:
        self.owner = owner
        self.scope = scope
        self.weighted = weighted


class _ModuleTree:
    """What the module tree says about names in the graph."""

    def __init__(self, module: nn.Module) -> None:
        self.param_sizes = {name: parameter.numel() for name, parameter in module.named_parameters()}
        self.state_names = tuple(dict.fromkeys([*self.param_sizes, *dict(module.named_buffers())]))
        self.leaves = {path: layer for path, layer in module.named_modules() if path and not any(layer.children())}

    def module_of(self, node: onnx.NodeProto) -> _Place:
        """By weight first: a convolution with a folded batch norm carries the batch norm's scope."""
        scope = ""
        for entry in node.metadata_props:
            if entry.key == SCOPES:
                scopes = ast.literal_eval(entry.value)
                scope = str(scopes[-2]) if len(scopes) > 1 else ""
        for value in node.input:
            if value in self.param_sizes:
                return _Place(value.rpartition(".")[0], scope, weighted=True)
        return _Place(scope, scope, weighted=False)

    def folded_into(self, path: str) -> str:
        """The layer that took in a batch norm without a node of its own: that before it, of as many channels, or ""."""
        features = getattr(self.leaves[path], "num_features", None)
        paths = list(self.leaves)
        before = paths[paths.index(path) - 1] if path != paths[0] else ""
        layer = self.leaves.get(before)
        channels = getattr(layer, "out_channels", getattr(layer, "out_features", None))
        return before if features is not None and features == channels else ""

    def layer_title(self, path: str) -> str:
        """The class of a layer, with ``+bias`` where it adds one; empty for what is no layer."""
        from torch import nn

        layer = self.leaves.get(path)
        if layer is None:
            return ""
        normalises = hasattr(layer, "running_mean")
        biased = getattr(layer, "bias", None) is not None and not normalises
        plain = normalises and getattr(layer, "weight", None) is None
        name = type(layer).__name__
        if getattr(nn, name, type(layer)) is not type(layer):
            name = f"{type(layer).__module__}.{name}"
        notes = {"+named": isinstance(getattr(layer, "padding", None), str), "+bias": biased, "+plain": plain}
        return name + "".join(note for note, holds in notes.items() if holds)


def _layers_per_node(graph: onnx.GraphProto, places: list[_Place], tree: _ModuleTree) -> list[str]:
    """One node stands for each call of a layer: the one that reads its weights, else the first one."""
    weighted = {place.owner for place in places if place.weighted}
    made_in: dict[str, str] = {}
    found = []
    for node, place in zip(graph.node, places, strict=True):
        titles = []
        for path in dict.fromkeys((place.owner, place.scope)):
            first = all(made_in.get(value) != path for value in node.input)
            if place.weighted if path in weighted and path == place.owner else first:
                titles.append(tree.layer_title(path))
        if not any(path in tree.leaves for path in (place.owner, place.scope)):
            titles += _functions(node)
        if _took_in_batch_norm(node) and not any("BatchNorm" in title for title in titles):
            titles.append("batch_norm")
        found.append(" ".join(title for title in titles if title))
        made_in.update(dict.fromkeys(node.output, place.scope))
    return found


def _functions(node: onnx.NodeProto) -> list[str]:
    """Functions of PyTorch that a network's own code calls in the line that the node came from."""
    traces = [entry.value for entry in node.metadata_props if entry.key == _STACK]
    return [name for name in _DISSOLVED if node.op_type == "ReduceMean" and any(f"{name}(" in text for text in traces)]


def _took_in_batch_norm(node: onnx.NodeProto) -> bool:
    """Whether the exporter folded a batch norm into it, which may have been a function of the network's own code."""
    return any(entry.key == _RULES and "FuseBatchNorm" in entry.value for entry in node.metadata_props)


def _params_per_node(graph: onnx.GraphProto, places: list[_Place], tree: _ModuleTree) -> list[int]:
    """Parameters that each node stands for; each parameter is given to one node at most."""
    left = dict(tree.param_sizes)
    counts = [sum(left.pop(value, 0) for value in node.input) for node in graph.node]
    first_in_scope: dict[str, int] = {}
    for index, place in enumerate(places):
        first_in_scope.setdefault(place.scope, index)
    for name, size in left.items():
        # Only a layer's own parameters can have been folded into what its code made; others were never used.
        owner = name.rpartition(".")[0]
        if owner in tree.leaves and owner not in first_in_scope:
            owner = tree.folded_into(owner)
        if owner in tree.leaves and owner in first_in_scope:
            counts[first_in_scope[owner]] += size
    return counts


def _node_names(graph: onnx.GraphProto, places: list[_Place], tree: _ModuleTree) -> list[str]:
    """The module's path where the node is the module; else the path with the operator's name behind it."""
    seen: Counter[str] = Counter()
    main_op: dict[str, str] = {}
    names = []
    for node, place in zip(graph.node, places, strict=True):
        op = node.op_type.lower()
        path = place.owner
        is_module = path != "" and path in tree.leaves and main_op.setdefault(path, op) == op
        base = path if is_module else ".".join(part for part in (path, op) if part)
        seen[base] += 1
        names.append(base if seen[base] == 1 else f"{base}_{seen[base] - 1}")
    return names


def _rename_values(graph: onnx.GraphProto, names: list[str], state_names: set[str]) -> None:
    """Tensors get the name of the node that makes them, constants of the node that first reads them."""
    new: dict[str, str] = {value.name: value.name for value in graph.input}
    outputs = [value.name for value in graph.output]
    for index, value in enumerate(outputs):
        new[value] = "output" if len(outputs) == 1 else f"output_{index}"
    constants = {initializer.name for initializer in graph.initializer}
    taken = {*new.values(), *(constants & state_names)}
    new.update({value: value for value in constants & state_names})
    for node, name in zip(graph.node, names, strict=True):
        roles = _ROLES.get(node.op_type, ())
        for position, value in enumerate(node.input):
            if value in constants and value not in new:
                role = roles[position] if position < len(roles) else f"constant{position}"
                new[value] = _free(f"{name}.{role}", taken)
        for position, value in enumerate(node.output):
            if value and value not in new:
                new[value] = _free(name if position == 0 else f"{name}.{position}", taken)
    for initializer in graph.initializer:
        initializer.name = new.setdefault(initializer.name, initializer.name)
        initializer.doc_string = ""
        del initializer.metadata_props[:]
    for value_info in (*graph.input, *graph.output):
        value_info.name = new[value_info.name]
        value_info.doc_string = ""
        del value_info.metadata_props[:]
    _rename_in_nodes(graph, new)


def _rename_in_nodes(graph: onnx.GraphProto, new: Mapping[str, str]) -> None:
    for node in graph.node:
        node.input[:] = [new.get(value, value) for value in node.input]
        node.output[:] = [new.get(value, value) for value in node.output]
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _rename_in_nodes(attribute.g, new)  # a subgraph sees the values of the graph around it


def _free(wanted: str, taken: set[str]) -> str:
    name, number = wanted, 0
    while name in taken:
        number += 1
        name = f"{wanted}_{number}"
    taken.add(name)
    return name


def _strip(proto: onnx.ModelProto) -> None:
    proto.producer_name = "benchbox"
    proto.producer_version = ""
    proto.doc_string = ""
    proto.graph.doc_string = ""
    del proto.graph.metadata_props[:]
    del proto.graph.value_info[:]
    for function in proto.functions:
        del function.metadata_props[:]
        del function.value_info[:]
        for node in function.node:
            del node.metadata_props[:]
            node.doc_string = ""


def _replace_metadata(
    props: onnx.onnx_cpp2py_export.RepeatedCompositeContainer,  # type: ignore[name-defined]
    entries: Mapping[str, str],
) -> None:
    del props[:]
    for key, value in entries.items():
        if value:
            props.add(key=key, value=value)
