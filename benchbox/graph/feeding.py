"""What may an input be fed: the rows of a table that it indexes, the ones of a mask, or any number?

Integers are followed from the border of the graph to the tables that they index, through casts, reshapes and additions
of constants. Ids of 0 and 1 would be right everywhere, and make a recommender several times too fast: two rows of each
table are always in the cache.
"""

from __future__ import annotations

import math
import types
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchbox.graph.bodies import bodies_of, passed_on
from benchbox.graph.opset import STANDARD_DOMAINS
from benchbox.graph.stored import stored_tensors
from benchbox.schema.artifact import Drawn, Values

if TYPE_CHECKING:
    import onnx

_MICROSOFT = "com.microsoft"
_DOMAINS = (*STANDARD_DOMAINS, _MICROSOFT)
# What hands the numbers of its first input on, as far as a table that they index can see.
_SAME = frozenset(
    {
        *("Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Transpose", "Expand", "Tile", "Slice"),
        *("Split", "Pad", "DepthToSpace", "SpaceToDepth", "ReverseSequence"),
        *("ReduceMax", "ReduceMin", "Floor", "Ceil", "Round"),
    }
)
_FROM_ALL = frozenset({"Concat", "Where", "Max", "Min"})
_MASK_NAMES = ("mask",)
# Numbers that NonMaxSuppression takes, by the place of its input, and what usual detectors give.
_NMS = {2: 100.0, 3: 0.5, 4: 0.25}
_MOST_OFFSETS = 1 << 20


@dataclass(frozen=True, kw_only=True)
class _Reach:
    """The range of an input's numbers that stays inside a table, and the table."""

    low: int
    high: int
    table: str


def values_of_inputs(
    graph: onnx.GraphProto, names: Sequence[str], sizes: Mapping[str, int] = types.MappingProxyType({})
) -> dict[str, Values | None]:
    """What each of these inputs is fed; None for what its type alone decides: normal numbers, fair coins.

    Args:
        graph: with the shapes of its weights; their numbers are read only where they are added to an index. Local
            functions are put in place.
        names: of inputs.
        sizes: of named dimensions, as far as they are known; 1 for one that counts samples.
    """
    uses = _Uses(graph, sizes)
    kinds = {value.name: value.type.tensor_type.elem_type for value in graph.input}
    shapes = {value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in graph.input}
    return {name: _values(name, kinds[name], shapes[name], uses) for name in names}


def _values(name: str, kind: int, sizes: Sequence[int], uses: _Uses) -> Values | None:
    import onnx

    dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind))
    if (threshold := uses.threshold(name)) is not None:
        return Values(drawn=Drawn.ASSUMED, constant=threshold, text=f"{threshold:g}, usual for NonMaxSuppression")
    if any(word in name.lower() for word in _MASK_NAMES):
        return Values(drawn=Drawn.ONES, constant=1.0, text="ones: it is called a mask")
    if dtype.kind not in "iu":
        return None
    if reaches := list(uses.tables(name)):
        low, high = max(reach.low for reach in reaches), min(reach.high for reach in reaches)
        table = min(reaches, key=lambda reach: reach.high).table
        if low < high:
            return Values(drawn=Drawn.ROWS, low=low, high=high, text=f"rows {low} to {high - 1} of {table}")
    if (length := uses.length(name)) is not None:
        return Values(drawn=Drawn.ASSUMED, constant=length, text=f"assumed: {length}, the whole length of the sequence")
    if uses.is_mask(name):
        return Values(drawn=Drawn.ONES, constant=1.0, text="ones: it is used as a mask")
    if dtype.itemsize == 1:
        span = np.iinfo(dtype)
        return Values(
            drawn=Drawn.ASSUMED,
            low=int(span.min),
            high=int(span.max) + 1,
            text=f"assumed: {span.min} to {span.max}, all numbers of {dtype.name}",
        )
    if not sizes or sizes == [1]:
        return Values(drawn=Drawn.ASSUMED, constant=1.0, text="assumed: 1")
    return Values(drawn=Drawn.ASSUMED, text="assumed: 0 or 1")


class _Uses:
    """Who reads which tensor."""

    def __init__(self, graph: onnx.GraphProto, sizes: Mapping[str, int]) -> None:
        self._readers: dict[str, list[tuple[onnx.NodeProto, int]]] = defaultdict(list)
        self._makers: dict[str, onnx.NodeProto] = {}
        self._stored = stored_tensors(graph)
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._note(graph)
        self._shapes |= {name: tuple(tensor.dims) for name, tensor in self._stored.items()}
        for value in (*graph.input, *graph.value_info, *graph.output):
            dims = value.type.tensor_type.shape.dim
            self._shapes.setdefault(
                value.name,
                tuple(dim.dim_value if dim.HasField("dim_value") else sizes.get(dim.dim_param, -1) for dim in dims),
            )
        self._through_constants(graph)

    def _note(self, graph: onnx.GraphProto) -> None:
        """Notes who reads what, in branches and loops too, which read what is outside under its own name."""
        import onnx

        for node in graph.node:
            for body in bodies_of(node):
                self._stored |= stored_tensors(body)
                self._note(body)
                for outer, inner in passed_on(node, body):
                    handed = onnx.NodeProto(op_type="Identity", input=[outer], output=[inner])
                    self._readers[outer].append((handed, 0))
            if node.domain in _DOMAINS:
                for place, name in enumerate(node.input):
                    self._readers[name].append((node, place))
                self._makers.update((name, node) for name in node.output)

    def _through_constants(self, graph: onnx.GraphProto) -> None:
        """Tables may be stored in 8 or 16 bits and be made fp32 before they are read."""
        for node in graph.node:
            if node.op_type in {"Cast", "DequantizeLinear", "Identity", "QuantizeLinear"} and node.input:
                shape = self._shapes.get(node.input[0])
                if shape is not None and node.output[0] not in self._shapes:
                    self._shapes[node.output[0]] = shape

    def length(self, name: str) -> int | None:
        """The length of the sequences whose lengths an input holds, None where it holds none or that is not known.

        Lengths of 0 or 1 would let a recurrent layer skip nearly all of its steps.
        """
        waiting, seen = [name], {name}
        while waiting:
            for node, place in self._readers[waiting.pop()]:
                numbers = {entry.name: entry.i for entry in node.attribute}
                if node.op_type in {"LSTM", "GRU", "RNN"} and place == 4:
                    return self._size_behind(node.input[0], 1 if numbers.get("layout") else 0)
                if node.op_type == "ReverseSequence" and place == 1:
                    return self._size_behind(node.input[0], numbers.get("time_axis", 0))
                if node.op_type == "GroupQueryAttention" and place in {5, 6} and len(node.input) > 3:
                    past, new = self._size_behind(node.input[3], 2), self._size_behind(node.input[0], 1)
                    # One less than all keys for each sample; all keys.
                    return None if past is None or new is None else past + new - (place == 5)
                if place == 0 and node.op_type in _SAME:
                    waiting += [output for output in node.output if output and output not in seen]
                    seen.update(node.output)
        return None

    def _size_behind(self, tensor: str, axis: int) -> int | None:
        """The size along an axis of a tensor, as far back as it is only cast or transposed; None if not known."""
        while tensor not in self._shapes or self._shapes[tensor][axis : axis + 1] in ((), (-1,)):
            node = self._makers.get(tensor)
            if node is None or node.op_type not in {"Cast", "Dropout", "Identity", "Relu", "Tanh", "Transpose"}:
                return None
            if node.op_type == "Transpose":
                perm = next((list(entry.ints) for entry in node.attribute if entry.name == "perm"), [])
                if not 0 <= axis < len(perm):
                    return None
                axis = perm[axis]
            tensor = node.input[0]
        return self._shapes[tensor][axis]

    def threshold(self, name: str) -> float | None:
        """The usual number where an input is one of NonMaxSuppression's own."""
        places = [place for node, place in self._readers[name] if node.op_type == "NonMaxSuppression"]
        return next((_NMS[place] for place in places if place in _NMS), None)

    def tables(self, name: str) -> Iterator[_Reach]:
        """The tables that an input's numbers index, each with the numbers that stay inside."""
        seen: set[tuple[str, int, int, int]] = set()
        waiting = [(name, 1, 0, 0)]  # a tensor is scale * input + low .. high
        while waiting:
            state = waiting.pop()
            if state in seen or len(seen) > 4096:
                continue
            seen.add(state)
            tensor, scale, least, most = state
            for node, place in self._readers[tensor]:
                rows = self._rows(node, place)
                if rows is not None:
                    size, table = rows
                    yield _Reach(low=-(least // scale), high=(size - 1 - most) // scale + 1, table=table)
                    continue
                if moved := self._moved(node, place, scale, least, most):
                    waiting += [(output, *moved) for output in node.output if output]

    def _moved(
        self, node: onnx.NodeProto, place: int, scale: int, least: int, most: int
    ) -> tuple[int, int, int] | None:
        """Scale and offsets behind a node that hands numbers on; None where it does not."""
        if node.op_type in _FROM_ALL or (place == 0 and node.op_type in {*_SAME, "Gather", "GatherElements"}):
            return scale, least, most
        if len(node.input) != 2 or node.op_type not in {"Add", "Sub", "Mul"}:
            return None
        numbers = self._integers(node.input[1 - place])
        if numbers is None or (node.op_type == "Sub" and place == 1):
            return None
        low, high = int(numbers.min()), int(numbers.max())
        if node.op_type == "Mul":
            return (scale * high, least * high, most * high) if low == high and high > 0 else None
        return (scale, least + low, most + high) if node.op_type == "Add" else (scale, least - high, most - low)

    def _integers(self, name: str) -> np.ndarray | None:
        """A constant of whole numbers."""
        from onnx import TensorProto, numpy_helper

        tensor = self._stored.get(name)
        if tensor is None or tensor.data_location == TensorProto.EXTERNAL or math.prod(tensor.dims) > _MOST_OFFSETS:
            return None
        if tensor.data_type in (TensorProto.STRING, TensorProto.BFLOAT16):
            return None
        values = numpy_helper.to_array(tensor).astype(np.float64).ravel()
        return values.astype(np.int64) if values.size and (values == np.floor(values)).all() else None

    def _rows(self, node: onnx.NodeProto, place: int) -> tuple[int, str] | None:
        """How many rows there are where a node's input is an index, and in what."""
        operator = node.op_type
        if operator in {"Gather", "GatherElements"} and place == 1:
            axis = next((entry.i for entry in node.attribute if entry.name == "axis"), 0)
            return self._size(node.input[0], axis)
        if operator in {"GatherND", "ScatterND"} and place == 1:
            return self._rows_of_places(node)
        if operator in {"Scatter", "ScatterElements"} and place == 1:
            return self._size(node.input[0], next((entry.i for entry in node.attribute if entry.name == "axis"), 0))
        if operator == "RoiAlign" and place == 2:  # which picture of the batch
            return self._size(node.input[0], 0) or (1, node.input[0])
        if operator == "OneHot" and place == 0:
            depth = self._integers(node.input[1])
            return (int(depth[0]), f"the depth of {node.name or operator}") if depth is not None else None
        if operator in {"EmbedLayerNormalization", "QEmbedLayerNormalization"}:
            # Word ids and segment ids come first; the tables of words, positions and segments follow.
            table = {0: 2, 1: 4}.get(place)
            return self._size(node.input[table], 0) if table is not None and table < len(node.input) else None
        return None

    def _rows_of_places(self, node: onnx.NodeProto) -> tuple[int, str] | None:
        """The smallest of the axes that GatherND or ScatterND index; 1 for one of a size that is not known."""
        shape, places = self._shapes.get(node.input[0], ()), self._shapes.get(node.input[1], ())
        first = next((entry.i for entry in node.attribute if entry.name == "batch_dims"), 0)
        indexed = shape[first : first + places[-1]] if places and places[-1] > 0 else shape[first:]
        return (max(1, min(indexed)), node.input[0]) if indexed else None

    def _size(self, table: str, axis: int) -> tuple[int, str] | None:
        shape = self._shapes.get(table)
        if not shape or not -len(shape) <= axis < len(shape) or shape[axis] < 1:
            return None
        return shape[axis], table

    def is_mask(self, name: str) -> bool:
        """Whether an input is subtracted from one, compared, or made a truth value, and never looked up."""
        waiting, seen = [name], set()
        while waiting:
            tensor = waiting.pop()
            if tensor in seen:
                continue
            seen.add(tensor)
            for node, place in self._readers[tensor]:
                if self._masks(node, place):
                    return True
                if place == 0 and node.op_type in _SAME:
                    waiting += [output for output in node.output if output]
        return False

    def _masks(self, node: onnx.NodeProto, place: int) -> bool:
        from onnx import TensorProto

        if node.op_type == "Cast":
            return any(entry.name == "to" and entry.i == TensorProto.BOOL for entry in node.attribute)
        if node.op_type in {"Sub", "Equal"} and len(node.input) == 2:
            numbers = self._integers(node.input[1 - place])
            wanted = {1} if node.op_type == "Sub" and place == 1 else {0, 1} if node.op_type == "Equal" else set()
            return numbers is not None and set(numbers.tolist()) <= wanted and bool(wanted)
        places: Mapping[str, tuple[int, ...]] = {
            "EmbedLayerNormalization": (7,), "Attention": (3,), "MultiHeadAttention": (4,),
        }  # fmt: skip
        return place in places.get(node.op_type, ())
