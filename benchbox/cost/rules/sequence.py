"""What do attention, recurrent layers and Einstein sums cost?"""

from __future__ import annotations

import math

from benchbox.cost.rule import OpCost, cost_rule
from benchbox.errors import ArtifactError
from benchbox.graph.node import MisfitError, NodeView, Tensor


@cost_rule("Attention")
def attention(node: NodeView) -> OpCost:
    """Scores Q·Kᵀ and the weighted sum of V; scaling and softmax are 6 operations per score.

    Per sample and head Lq·Lk·d_k + Lq·Lk·d_v multiply-adds (Vaswani et al. 2017, arXiv 1706.03762, eq. 1). Q, K, V are
    (N, heads, L, d) or (N, L, heads·d); past keys lengthen Lk. A causal mask does not lower the count.
    """
    query, key, value = (node.input(place) for place in range(3))
    heads, query_length, width = _heads(query, node.integer("q_num_heads", 1))
    kv_heads, length, value_width = _heads(value, node.integer("kv_num_heads", 1))
    past = node.inputs[4] if len(node.inputs) > 4 else None
    length += past.size(2) if past is not None else 0
    del key, kv_heads  # grouped queries share keys and values; every query head still does its own products
    scores = query.size(0) * heads * query_length * length
    return OpCost(macs=scores * (width + value_width), elementwise=6 * scores)


def _heads(tensor: Tensor, heads: int) -> tuple[int, int, int]:
    """(heads, length, width of a head)."""
    if len(tensor.shape) == 4:
        return tensor.shape[1], tensor.shape[2], tensor.shape[3]
    if heads < 1 or tensor.size(2) % heads:
        raise MisfitError(f"{heads} heads do not divide {tensor.name} of shape {tensor.shape}")
    return heads, tensor.size(1), tensor.size(2) // heads


@cost_rule("RotaryEmbedding")
def rotary_embedding(node: NodeView) -> OpCost:
    """Two products and a sum per element (Su et al. 2021, arXiv 2104.09864, eq. 34)."""
    return OpCost(elementwise=3 * node.outputs[0].elements)


# Operations per hidden unit and step besides the matrix products, from the formulas of the ONNX operators.
UNIT_WORK = {
    "RNN": 2,  # sum of both products, tanh
    "GRU": 3 + 2 * 4 + 1 + 5,  # sums, two sigmoids, tanh; reset product, (1-z)·h + z·H
    "LSTM": 4 + 3 * 4 + 2 + 4,  # sums, three sigmoids, two tanh; f·C + i·c, o·h
}


@cost_rule("RNN", "GRU", "LSTM")
def recurrent(node: NodeView) -> OpCost:
    """Every step multiplies the input by W (directions, gates·hidden, input) and the state by R, for each sample.

    Peepholes of an LSTM are a product and a sum for each of three gates.
    """
    data, weight, state = node.input(0), node.input(1), node.input(2)
    steps = data.size(0) * data.size(1)  # length times batch, in whichever order
    if data.size(2) != weight.size(2) or weight.shape[:2] != state.shape[:2]:
        raise ArtifactError(
            f"the shapes of node {node.name} ({node.op}) do not fit together",
            values=f"X is {data.shape}, W is {weight.shape}, R is {state.shape}",
        )
    units = state.size(0) * state.size(2)
    peepholes = 6 if node.op == "LSTM" and len(node.inputs) > 7 and node.inputs[7] is not None else 0
    return OpCost(
        macs=steps * (weight.elements + state.elements), elementwise=steps * units * (UNIT_WORK[node.op] + peepholes)
    )


@cost_rule("Einsum")
def einstein_sum(node: NodeView) -> OpCost:
    """Operands are joined from left to right, each index summed as soon as nothing later needs it.

    A join that sums over an index is a matrix product: one multiply-add per combination of the indices involved. One
    that sums over none is an elementwise product; a sum over a single operand is a reduction.
    """
    equation = node.attributes.get("equation", b"")
    text = (equation.decode(errors="replace") if isinstance(equation, bytes) else str(equation)).replace(" ", "")
    left, arrow, right = text.partition("->")
    shapes = [tensor.shape for tensor in node.inputs if tensor is not None]
    named = left.split(",")
    if len(named) != len(shapes):
        raise MisfitError(f"equation {text} has {len(named)} terms for {len(shapes)} inputs")
    terms = [_indices(term, len(shape)) for term, shape in zip(named, shapes, strict=True)]
    if wrong := [shape for term, shape in zip(terms, shapes, strict=True) if len(term) != len(shape)]:
        raise MisfitError(f"equation {text} does not fit an input of shape {wrong[0]}")
    sizes: dict[str, int] = {}
    for term, shape in zip(terms, shapes, strict=True):
        for index, size in zip(term, shape, strict=True):
            sizes[index] = max(size, sizes.get(index, 1))
    counts = {index: sum(term.count(index) for term in terms) for index in sizes}
    wide = [index for index in sizes if index.isdigit()]
    result = (
        set(_indices(right, len(right.replace("...", "")) + (len(wide) if "..." in right else 0)))
        if arrow
        else {index for index, count in counts.items() if count == 1} | set(wide)
    )
    macs = elementwise = 0
    current = set(terms[0])
    for place, term in enumerate(terms[1:], start=2):
        joined = current | set(term)
        needed = result.union(*terms[place:])
        work = math.prod(sizes[index] for index in joined)
        if joined - needed:
            macs += work
        else:
            elementwise += work
        current = joined & needed
    if len(terms) == 1 and current - result:
        elementwise = math.prod(shapes[0])
    return OpCost(macs=macs, elementwise=elementwise)


def _indices(term: str, rank: int) -> list[str]:
    """The indices of a term; the dimensions of an ellipsis are numbered from the right, for broadcasting."""
    head, dots, tail = term.partition("...")
    if not dots:
        return list(head)
    return [*head, *(str(number) for number in reversed(range(rank - len(head) - len(tail)))), *tail]
