"""Did a network run in the precision that was asked for, and if not, which of its layers?

The layers that the runtime reports are joined with the analytical cost of the ONNX nodes that they stand for. The
shares count everything: work whose type is not reported and work that no layer covers have shares of their own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from benchbox.cost.executed.attribution import attribution
from benchbox.cost.inside import products_inside
from benchbox.graph.graph import Graph
from benchbox.graph.node import NodeView
from benchbox.schema.cost import NetworkCost
from benchbox.schema.layers import ExecutedLayer
from benchbox.schema.model import Precision
from benchbox.schema.proof import TF32_OPTION, UNCOVERED, UNREPORTED, OtherLayer, Proof, type_of
from benchbox.schema.trial import Trial

# Types that no precision asks for: indices, sizes, pixels before they are cast, conditions.
_WHOLE = frozenset({"bool", "int8", "int32", "int64", "uint16", "uint32", "uint64", "int16"})


# Kernels that read weights of four bits, by ONNX Runtime's name; it does not report the type of what it packed.
_PACKED_KERNELS = frozenset({"MatMulNBits"})


def prover(graph: Graph, cost: NetworkCost, *, precision: Precision, required: float) -> Callable[[Trial], Proof]:
    """What makes a proof of what a check brought back; see ``proof_from_layers``."""

    def prove(trial: Trial) -> Proof:
        return proof_from_layers(
            graph,
            cost,
            trial.layers,
            precision=precision,
            required=required,
            tf32=trial.evidence.options.get(TF32_OPTION, ""),
        )

    return prove


def proof_from_layers(
    graph: Graph,
    cost: NetworkCost,
    layers: Sequence[ExecutedLayer],
    *,
    precision: Precision,
    required: float,
    tf32: str = "",
) -> Proof:
    """The shares of a network by executed type.

    Args:
        graph: that the layers were made from.
        cost: of the graph.
        layers: in the order of execution, each once.
        precision: that was asked for. In int4 is what reads weights of four bits, whatever it computes in.
        required: share of the multiply-adds that must have run in it, 0 to 1.
        tf32: what the runtime says of its TF32 switch, "" where it says nothing.
    """
    joined = attribution(graph, cost, _with_nodes_of_modules(cost, layers))
    costs = {layer.name: layer for layer in cost.layers}
    macs: Counter[str] = Counter()
    moved: Counter[str] = Counter()
    others: list[OtherLayer] = []
    wanted = type_of(precision)
    packed, readers = _four_bits(graph)
    inside = _types_inside(graph, layers)
    for row in joined.rows:
        control = next((name for name in row.nodes if name in inside), "")
        kind = (inside[control] if control else row.layer.executed) or UNREPORTED
        if precision is Precision.INT4 and row.macs and not packed.isdisjoint(row.nodes):
            told = wanted in row.layer.inputs or row.layer.kind in _PACKED_KERNELS
            whole = all(name in readers for name in row.nodes if costs[name].macs)
            kind = wanted if told and whole else UNREPORTED
        macs[kind] += row.macs
        if kind == wanted or kind not in _WHOLE:  # what the graph has in whole numbers is in no precision
            moved[kind] += row.moved_bytes
        if row.macs and kind != wanted:
            others.append(OtherLayer(name=row.name, type=kind, macs=row.macs))
    for name in joined.uncovered:
        macs[UNCOVERED] += costs[name].macs
        moved[UNCOVERED] += costs[name].moved_bytes
        if costs[name].macs:
            others.append(OtherLayer(name=name, type=UNCOVERED, macs=costs[name].macs))
    shares, shares_of_bytes = _shares(macs, wanted), _shares(moved, wanted)
    judged = shares or shares_of_bytes
    proof = Proof(
        asked=precision,
        required=required,
        share=judged.get(wanted, 0.0),
        macs=shares,
        bytes=shares_of_bytes,
        passed=None,
        layers=tuple(others),
        tf32=tf32,
    )
    return replace(proof, passed=_passed(proof, judged))


def _types_inside(graph: Graph, layers: Sequence[ExecutedLayer]) -> dict[str, str]:
    """The type that every branch or loop computes in, by name: "" unless the runtime reports one type of its inside.

    What it reports of the branch or loop itself is the type of its condition, or of the number of its turns. Of a
    branch without products what else ran in it counts.
    """
    reported = {name: layer.executed for layer in layers if layer.executed for name in (layer.name, *layer.tensors)}
    found = {}
    for node in graph.nodes:
        if not node.bodies:
            continue
        kinds = {reported[view.name] for view in products_inside(node) if view.name in reported}
        kinds = kinds or {reported[name] for name in _names_inside(node) if name in reported} - _WHOLE
        found[node.name] = kinds.pop() if len(kinds) == 1 else ""
    return found


def _names_inside(node: NodeView) -> Iterator[str]:
    for view in (view for body in node.bodies for view in body.nodes):
        yield view.name
        yield from _names_inside(view)


def _four_bits(graph: Graph) -> tuple[frozenset[str], frozenset[str]]:
    """The nodes that widen weights of four bits, and those that read what these make.

    A layer that covers one of the first reads such weights as they are stored.
    """
    widening = [
        node
        for node in graph.nodes
        if node.op == "DequantizeLinear" and node.input(0).name in graph.constants and node.input(0).item_bytes == 0.5
    ]
    made = {node.outputs[0].name for node in widening}
    readers = (node.name for node in graph.nodes if any(tensor and tensor.name in made for tensor in node.inputs))
    return frozenset(node.name for node in widening), frozenset(readers)


def _passed(proof: Proof, shares: Mapping[str, float]) -> bool | None:
    if not proof.switch_fits:
        return False
    # Shares are quotients of integers: a share that is exactly the one required must not fail by its rounding.
    enough = proof.required - 1e-12
    if proof.share >= enough:
        return True
    hidden = shares.get(UNREPORTED, 0.0) + shares.get(UNCOVERED, 0.0)
    return None if hidden and proof.share + hidden >= enough else False


def _shares(amounts: Mapping[str, int], wanted: str) -> dict[str, float]:
    """Amounts as shares of their sum, largest first; the type asked for is always there. Empty where nothing is."""
    total = sum(amounts.values())
    if not total:
        return {}
    shares = {kind: amount / total for kind, amount in amounts.items() if amount or kind == wanted}
    return dict(sorted({wanted: 0.0, **shares}.items(), key=lambda entry: -entry[1]))


def _with_nodes_of_modules(cost: NetworkCost, layers: Sequence[ExecutedLayer]) -> tuple[ExecutedLayer, ...]:
    """Layers that are known by a module of PyTorch only, with the nodes of that module.

    A node is called after its module, or lies behind the module's name. A node with multiply-adds belongs to the
    innermost module that something was dispatched in.
    """
    matrices = [layer.name for layer in cost.layers if layer.macs]
    found: dict[str, list[str]] = {}
    for path in sorted({layer.module for layer in layers if layer.module is not None}, key=len, reverse=True):
        taken = {name for names in found.values() for name in names}
        found[path] = [name for name in _inside(path, matrices) if name not in taken]
    return tuple(
        layer if layer.module is None else replace(layer, nodes=tuple(found[layer.module]), tensors=())
        for layer in layers
    )


def _inside(path: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if not path or name == path or name.startswith(f"{path}.")]
