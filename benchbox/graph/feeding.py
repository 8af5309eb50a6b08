"""What may an input be fed: the rows of a table that it indexes, the ones of a mask, or any number?

Integers are followed from the border of the graph to the tables that they index, through casts, reshapes and additions
of constants. Ids of 0 and 1 would be right everywhere, and make a recommender several times too fast: two rows of each
table are always in the cache.
"""

from __future__ import annotations

import itertools
import math
import types
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
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
# Of these, what keeps every number in its place.
_SAME_LAYOUT = frozenset({"Cast", "Identity", "Floor", "Ceil", "Round", "Where"})
_FROM_ALL = frozenset({"Concat", "Where", "Max", "Min"})
# What brings any number into a range: none is out of the table then.
_INTO_RANGE = frozenset({"Clip", "Mod"})
_TABLES_NAMED, _PLACES_NAMED = 4, 32
_MASK_NAMES = ("mask",)
# Numbers that NonMaxSuppression takes, by the place of its input, and what usual detectors give.
_NMS = {2: 100.0, 3: 0.5, 4: 0.25}
_LABELS = frozenset({"NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss"})
_MOST_OFFSETS = 1 << 20


@dataclass(frozen=True, kw_only=True)
class _Reach:
    """The range of an input's numbers that stays inside a table, and the table.

    ``axis`` and ``places`` are the part of the input that indexes it, None and () for all of it. ``by`` is the operator
    that brings any other number inside, "" where there is none.
    """

    low: int
    high: int
    table: str
    axis: int | None = None
    places: tuple[int, ...] = ()
    by: str = ""


@dataclass(frozen=True, kw_only=True)
class _Carried:
    """A tensor that is scale * input + least .. most, of a part of the input; ``whole`` while it has its layout."""

    tensor: str
    scale: int = 1
    least: int = 0
    most: int = 0
    axis: int | None = None
    places: tuple[int, ...] = ()
    whole: bool = True
    by: str = ""


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
    reaches = [_of_type(reach, dtype) for reach in uses.tables(name, sizes)]
    if (rows := _rows_of(reaches, sizes, of_floats=dtype.kind == "f")) is not None:
        return rows
    if dtype.kind not in "iu":
        return None
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


def _rows_of(reaches: Sequence[_Reach], sizes: Sequence[int], *, of_floats: bool) -> Values | None:
    """Rows of the tables that an input indexes, by its places where they index different ones."""
    axes = {reach.axis for reach in reaches} - {None}
    whole = _common(reaches)
    if len(axes) != 1 or (axis := axes.pop()) is None:
        return None if whole is None else _values_in(whole, reaches)
    found = [
        _common([one for one in reaches if one.axis is None or place in one.places]) for place in range(sizes[axis])
    ]
    if not of_floats:  # whole numbers that index nothing may be those that every table has
        found = [span or whole for span in found]
    spans = [span for span in found if span is not None]
    if not spans or (whole is not None and all(span == whole for span in found)):
        return None if whole is None else _values_in(whole, reaches)
    low, high = min(span[0] for span in spans), max(span[1] for span in spans)
    tables = sorted({reach.table for reach in reaches})
    text = f"rows of {', '.join(tables)}" if len(tables) <= _TABLES_NAMED else f"rows of {len(tables)} tables"
    ends = ", ".join("-" if span is None else str(span[1] - 1) for span in found)
    if len(found) > _PLACES_NAMED:
        ends = f"{min(span[1] for span in spans) - 1} to {high - 1}"
    text += f", by place along axis {axis}: up to {ends}"
    assumed = any(reach.by for reach in reaches) or (None in found and not of_floats)
    drawn, text = (Drawn.ASSUMED, f"assumed: {text}") if assumed else (Drawn.ROWS, text)
    return Values(drawn=drawn, low=low, high=high, axis=axis, ranges=tuple(found), text=text)


def _of_type(reach: _Reach, dtype: np.dtype[np.generic]) -> _Reach:
    """The same, without the rows whose numbers an input's type does not have."""
    if dtype.kind not in "iu":
        return reach
    span = np.iinfo(dtype)  # type: ignore[type-var]
    return replace(reach, low=max(reach.low, int(span.min)), high=min(reach.high, int(span.max) + 1))


def _last_row(span: tuple[int, int] | None) -> str:
    return "-" if span is None else str(span[1] - 1)


def _common(reaches: Sequence[_Reach]) -> tuple[int, int] | None:
    """The numbers that stay inside of all these tables, None where there are none."""
    if not reaches:
        return None
    low, high = max(reach.low for reach in reaches), min(reach.high for reach in reaches)
    return (low, high) if low < high else None


def _values_in(span: tuple[int, int], reaches: Sequence[_Reach]) -> Values:
    low, high = span
    least = min(reaches, key=lambda reach: reach.high)
    text = f"{low} to {high - 1} of {least.table}"
    if least.by:
        return Values(drawn=Drawn.ASSUMED, low=low, high=high, text=f"assumed: rows {text}, behind {least.by}")
    return Values(drawn=Drawn.ROWS, low=low, high=high, text=f"rows {text}")


def _list(given: Sequence[np.ndarray | None], place: int) -> list[int]:
    """The whole numbers of an optional input, none where it is not there or no constant."""
    found = given[place] if place < len(given) else None
    return [] if found is None else found.tolist()


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

    def tables(self, name: str, sizes: Sequence[int]) -> Iterator[_Reach]:
        """The tables that an input of these sizes indexes, each with the numbers that stay inside."""
        seen: set[_Carried] = set()
        waiting = [_Carried(tensor=name)]
        while waiting:
            one = waiting.pop()
            if one in seen or len(seen) > 4096:
                continue
            seen.add(one)
            for node, place in self._readers[one.tensor]:
                rows = self._rows(node, place)
                if rows is not None:
                    size, table = rows
                    low, high = -(one.least // one.scale), (size - 1 - one.most) // one.scale + 1
                    yield _Reach(low=low, high=high, table=table, axis=one.axis, places=one.places, by=one.by)
                else:
                    waiting += self._moved(node, place, one, sizes)

    def _moved(self, node: onnx.NodeProto, place: int, one: _Carried, sizes: Sequence[int]) -> list[_Carried]:
        """What a node makes of a tensor whose numbers it hands on; nothing where it does not."""
        outputs = [output for output in node.output if output]
        if one.whole and place == 0 and (parts := self._parts(node, sizes)):
            return [
                replace(one, tensor=output, axis=axis, places=places, whole=False) for output, axis, places in parts
            ]
        if node.op_type in _FROM_ALL or (place == 0 and node.op_type in {*_SAME, "Gather", "GatherElements"}):
            whole = one.whole and node.op_type in _SAME_LAYOUT
            return [replace(one, tensor=output, whole=whole) for output in outputs]
        if place == 0 and node.op_type in _INTO_RANGE and self._is_into_range(node):
            return [replace(one, tensor=output, by=node.op_type) for output in outputs]
        if len(node.input) != 2 or node.op_type not in {"Add", "Sub", "Mul"}:
            return []
        numbers = self._integers(node.input[1 - place])
        if numbers is None or (node.op_type == "Sub" and place == 1):
            return []
        low, high = int(numbers.min()), int(numbers.max())
        scale, least, most = one.scale, one.least, one.most
        if node.op_type == "Mul":
            if low != high or high <= 0:
                return []
            scale, least, most = scale * high, least * high, most * high
        elif node.op_type == "Add":
            least, most = least + low, most + high
        else:
            least, most = least - high, most - low
        return [replace(one, tensor=output, scale=scale, least=least, most=most) for output in outputs]

    def _is_into_range(self, node: onnx.NodeProto) -> bool:
        """Whether a Clip, Mod, Min or Max goes by constants, as what keeps any number inside of a table does."""
        attributes = {entry.name for entry in node.attribute} & {"min", "max"}
        given = [self._integers(name) is not None for name in node.input[1:] if name]
        return all(given) and bool(given or attributes)

    def _parts(self, node: onnx.NodeProto, sizes: Sequence[int]) -> list[tuple[str, int, tuple[int, ...]]]:
        """The outputs of a node that takes places along an axis of an input: name, axis and places; else nothing."""
        if node.op_type not in {"Gather", "Slice", "Split"}:
            return []
        numbers = {entry.name: list(entry.ints) or [entry.i] for entry in node.attribute}
        given = [self._integers(name) if name else None for name in node.input[1:]]
        axes = numbers.get("axes") or numbers.get("axis") or [0]
        if node.op_type == "Slice" and len(given) > 2:
            axes = [] if given[2] is None else given[2].tolist()
        if len(axes) != 1 or not -len(sizes) <= axes[0] < len(sizes) or (size := sizes[axes[0]]) < 1:
            return []
        axis = axes[0] % len(sizes)
        if node.op_type == "Gather":
            chosen = [] if not given or given[0] is None else [given[0].tolist()]
        elif node.op_type == "Slice":
            starts, ends = (numbers.get(key) or _list(given, at) for key, at in (("starts", 0), ("ends", 1)))
            steps = _list(given, 3) if len(given) > 3 else [1]
            alone = all(len(entries) == 1 for entries in (starts, ends, steps))
            chosen = [list(range(size))[starts[0] : ends[0] : steps[0]]] if alone else []
        else:
            lengths = numbers.get("split") or _list(given, 0) or [-(-size // len(node.output))] * len(node.output)
            ends = list(itertools.accumulate(lengths))
            chosen = [list(range(size))[end - length : end] for length, end in zip(lengths, ends, strict=True)]
        outputs = node.output if len(chosen) == len(node.output) else ()
        return [
            (output, axis, tuple(place % size for place in places))
            for output, places in zip(outputs, chosen, strict=False)
            if output
        ]

    def _integers(self, name: str) -> np.ndarray | None:
        """A constant of whole numbers."""
        from onnx import TensorProto, numpy_helper

        tensor = self._stored.get(name)
        if tensor is None or tensor.data_location == TensorProto.EXTERNAL or math.prod(tensor.dims) > _MOST_OFFSETS:
            return None
        if tensor.data_type in (TensorProto.STRING, TensorProto.BFLOAT16):
            return None
        values = numpy_helper.to_array(tensor).ravel()
        if values.dtype.kind not in "iu":  # of a float the end of a range would be rounded beyond that of int64
            values = values.astype(np.float64)
            values = values if (values == np.floor(values)).all() and (np.abs(values) < 2.0**62).all() else values[:0]
        return values.astype(np.int64) if values.size else None

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
        if operator in _LABELS and place == 1:
            return self._size(node.input[0], 1)
        if operator == "GatherBlockQuantized" and place == 1:
            return self._size(
                node.input[0], next((entry.i for entry in node.attribute if entry.name == "gather_axis"), 0)
            )
        if operator == "RotaryEmbedding":
            positions, cosines = (1, 2) if node.domain == _MICROSOFT else (3, 1)
            return self._size(node.input[cosines], 0) if place == positions else None
        if operator == "OneHot" and place == 0:
            depth = self._integers(node.input[1])
            return (int(depth[0]), f"the depth of {node.name or operator}") if depth is not None else None
        if operator in {"EmbedLayerNormalization", "QEmbedLayerNormalization"}:
            # Word ids and segment ids come first; the tables of words, positions and segments follow.
            table = ({0: 2, 1: 4, 8: 3} if operator[0] == "E" else {0: 2, 1: 4}).get(place)
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
