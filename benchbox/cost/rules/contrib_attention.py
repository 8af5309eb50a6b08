"""What do the attention operators of com.microsoft cost? As ONNX's own Attention, with what is fused into them.

Per sample and query head Lq·Lk·d_k + Lq·Lk·d_v multiply-adds, and 6 operations per score for scaling and softmax, as in
``sequence.py``. Masks, windows and grouped keys lower nothing: kernels compute every score. What is fused comes on top:
the projections of Q, K and V (a product whose bias costs nothing extra), the sum with a bias (one operation per
element), rotary embeddings (three).
"""

from __future__ import annotations

from benchbox.cost.rule import OpCost, cost_rule
from benchbox.graph.node import MisfitError, NodeView

DOMAIN = "com.microsoft"
_PER_SCORE = 6
_ROTARY = 3


@cost_rule(f"{DOMAIN}::Attention", f"{DOMAIN}::QAttention")
def projected_attention(node: NodeView) -> OpCost:
    """The input (N, L, width) times the weights of Q, K and V side by side, then attention with itself and the past."""
    data, weight, heads = node.input(0), node.input(1), _heads(node, "num_heads")
    samples, length = data.size(0), data.size(1)
    sizes = node.integers("qkv_hidden_sizes")
    width, value_width = (sizes[0], sizes[2]) if len(sizes) == 3 else (weight.size(1) // 3, weight.size(1) // 3)
    place = 4 if node.op.endswith("::Attention") else 8
    past = node.inputs[place] if place < len(node.inputs) else None
    total = length + (past.size(3) if past is not None else 0)
    made = _attended(samples, heads, length, total, _share(width, heads) + _share(value_width, heads))
    rotated = _ROTARY * samples * length * 2 * width if node.integer("do_rotary", 0) else 0
    return OpCost(macs=samples * length * weight.elements + made.macs, elementwise=made.elementwise + rotated)


@cost_rule(f"{DOMAIN}::MultiHeadAttention")
def many_headed_attention(node: NodeView) -> OpCost:
    """Q (N, L, width); K and V alike, split by heads (N, heads, L, d), or packed with Q or with one another."""
    query, heads = node.input(0), _heads(node, "num_heads")
    key = node.inputs[1] if len(node.inputs) > 1 else None
    value = node.inputs[2] if len(node.inputs) > 2 else None
    past = node.inputs[6] if len(node.inputs) > 6 else None
    if len(query.shape) == 5:
        length, size, value_size = query.size(1), query.size(4), query.size(4)
    elif key is None:
        raise MisfitError(f"{query.name} of shape {query.shape} is not packed, and there is no key")
    elif len(key.shape) == 5:
        length, size, value_size = key.size(1), key.size(4), key.size(4)
    elif len(key.shape) == 4:
        length, size = key.size(2), key.size(3)
        value_size = value.size(3) if value is not None and len(value.shape) == 4 else size
    else:
        length, size = key.size(1), _share(key.size(2), heads)
        value_size = _share(value.size(2), heads) if value is not None else size
    total = length + (past.size(2) if past is not None else 0)
    made = _attended(query.size(0), heads, query.size(1), total, size + value_size)
    biased = len(node.inputs) > 3 and node.inputs[3] is not None
    added = query.size(0) * heads * (query.size(1) * size + length * (size + value_size)) if biased else 0
    return OpCost(macs=made.macs, elementwise=made.elementwise + added)


@cost_rule(f"{DOMAIN}::GroupQueryAttention")
def grouped_query_attention(node: NodeView) -> OpCost:
    """Every query head does its own products with keys that several share; Q, K and V may be packed in one input.

    A cache that is allocated for the longest sequence counts as long as the total length says, where that is constant.
    """
    query, heads, kept = node.input(0), _heads(node, "num_heads"), _heads(node, "kv_num_heads")
    packed = len(node.inputs) < 2 or node.inputs[1] is None
    size = _share(query.size(2), heads + 2 * kept if packed else heads)
    past = node.inputs[3] if len(node.inputs) > 3 else None
    total = query.size(1) + (past.size(2) if past is not None else 0)
    if said := node.constants.get(6):
        total = int(said[0])
    made = _attended(query.size(0), heads, query.size(1), total, 2 * size)
    rotated = _ROTARY * query.size(0) * query.size(1) * (heads + kept) * size if node.integer("do_rotary", 0) else 0
    return OpCost(macs=made.macs, elementwise=made.elementwise + rotated)


def _attended(samples: int, heads: int, length: int, total: int, sizes: int) -> OpCost:
    """Scores of each query and key, each a product over the size of a key and one over that of a value."""
    scores = samples * heads * length * max(total, 0)
    return OpCost(macs=scores * sizes, elementwise=_PER_SCORE * scores)


def _heads(node: NodeView, name: str) -> int:
    heads = node.integer(name, 1)
    if heads < 1:
        raise MisfitError(f"{name} is {heads}")
    return heads


def _share(width: int, heads: int) -> int:
    if width % heads:
        raise MisfitError(f"{heads} heads do not divide a width of {width}")
    return width // heads
