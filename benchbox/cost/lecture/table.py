"""What does the table of the lecture on CNN architectures say of a network?

Its conventions (DeepRob, lecture 8): a row for every convolution, pool, flattening and fully connected layer; ReLUs,
batch norms, sums, concatenations and response norms have none. A multiply-add is one flop, a pool does C·H·W·K² of
them. Memory is what the layer writes, 4 bytes an element, in KB of 1024 bytes; parameters are weights and biases, and
the scale and shift of a batch norm behind a convolution.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from benchbox.cost.rule import cost_of
from benchbox.graph.graph import Graph
from benchbox.graph.node import NodeView

BYTES_PER_ELEMENT = 4
_POOLS = frozenset({"MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "ReduceMean"})


class RowKind(StrEnum):
    """What a row of the table is about."""

    CONV = "conv"
    POOL = "pool"
    FLATTEN = "flatten"
    FC = "fc"


@dataclass(frozen=True, kw_only=True)
class LectureRow:
    """A row of the lecture's table, for one sample.

    ``in_hw``, ``out_hw``, ``kernel``, ``stride`` are per spatial dimension, empty for vectors; ``pad`` is what is
    added before and after each of them.
    """

    name: str
    kind: RowKind
    in_c: int
    in_hw: tuple[int, ...]
    out_c: int
    out_hw: tuple[int, ...]
    filters: int | None = None
    kernel: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    pad: tuple[int, ...] = ()
    params: int = 0
    flops: int = 0

    @property
    def elements(self) -> int:
        """Elements that the layer writes."""
        return self.out_c * math.prod(self.out_hw)

    @property
    def memory_bytes(self) -> int:
        """Bytes that the layer writes, at 4 an element."""
        return BYTES_PER_ELEMENT * self.elements


def lecture_rows(graph: Graph) -> tuple[LectureRow, ...]:
    """The table of a network; counts are per sample whatever the batch size of the graph."""
    rows = []
    for node in graph.nodes:
        if node.op == "Conv":
            rows.append(_conv(node, graph))
        elif node.op in _POOLS and _is_pool(node):
            rows.append(_pool(node))
        elif node.op in {"Reshape", "Flatten"} and len(node.input(0).shape) > len(node.outputs[0].shape) == 2:
            rows.append(_flatten(node))
        elif node.op in {"Gemm", "MatMul"} and node.input(1).name in graph.constants:
            rows.append(_fully_connected(node, graph))
    return tuple(rows)


def _is_pool(node: NodeView) -> bool:
    """Not an adaptive pool that has nothing to do, nor the window over channels of a response norm."""
    source, kernel = node.input(0).shape, node.attributes.get("kernel_shape")
    over_channels = len(source) == 5 and source[1] == 1
    return len(source) > 2 and not over_channels and (not isinstance(kernel, tuple) or math.prod(kernel) > 1)


def _conv(node: NodeView, graph: Graph) -> LectureRow:
    weight = node.input(1).shape
    spatial = len(weight) - 2
    return LectureRow(
        name=node.name,
        kind=RowKind.CONV,
        in_c=node.input(0).shape[1],
        in_hw=node.input(0).shape[2:],
        out_c=weight[0],
        out_hw=node.outputs[0].shape[2:],
        filters=weight[0],
        kernel=weight[2:],
        stride=node.integers("strides") or (1,) * spatial,
        pad=node.integers("pads") or (0,) * (2 * spatial),
        params=graph.params_of.get(node.name, 0),
        flops=cost_of(node).macs // node.input(0).shape[0],
    )


def _pool(node: NodeView) -> LectureRow:
    source, target = node.input(0), node.outputs[0]
    spatial = source.shape[2:]
    whole = node.op not in {"MaxPool", "AveragePool"}  # a global pool is one window
    kernel = spatial if whole else node.integers("kernel_shape")
    out_hw = (1,) * len(spatial) if whole else target.shape[2:]
    return LectureRow(
        name=node.name,
        kind=RowKind.POOL,
        in_c=source.shape[1],
        in_hw=spatial,
        out_c=target.shape[1],
        out_hw=out_hw,
        kernel=kernel,
        stride=(1,) * len(spatial) if whole else node.integers("strides") or (1,) * len(spatial),
        pad=(0,) * (2 * len(spatial)) if whole else node.integers("pads") or (0,) * (2 * len(spatial)),
        flops=target.shape[1] * math.prod(out_hw) * math.prod(kernel),
    )


def _flatten(node: NodeView) -> LectureRow:
    source = node.input(0).shape
    return LectureRow(
        name=node.name,
        kind=RowKind.FLATTEN,
        in_c=source[1],
        in_hw=source[2:],
        out_c=node.outputs[0].shape[1],
        out_hw=(),
    )


def _fully_connected(node: NodeView, graph: Graph) -> LectureRow:
    in_c, out_c = node.input(0).shape[-1], node.outputs[0].shape[-1]
    return LectureRow(
        name=node.name,
        kind=RowKind.FC,
        in_c=in_c,
        in_hw=(),
        out_c=out_c,
        out_hw=(),
        filters=out_c,
        params=graph.params_of.get(node.name, 0),
        flops=in_c * out_c,
    )


def pool_flops(node: NodeView) -> int:
    """The flops of a pool for the whole batch, 0 for any other node."""
    if node.op not in _POOLS or not _is_pool(node):
        return 0
    return _pool(node).flops * node.input(0).shape[0]
