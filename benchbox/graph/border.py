"""Which axis of each input counts samples, and what is the size of every other one?

The batch is a size, not a place: where the file names a free size batch or N, every input that carries it follows it,
a recurrent state [2, batch, 128] as well as a sequence-first input. Without such a name it is the axis that a recurrent
layer takes for its batch, else the free first axis that inputs share, else the first size of a file whose sizes are all
fixed. What the file fixes stays as the file says.
"""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from benchbox.errors import ArtifactError, InputsError, UsageError
from benchbox.graph.recurrence import recurrent_batch_axes

if TYPE_CHECKING:
    import onnx

MAX_ELEMENTS = 2**48
_FREE = -1  # as PaddlePaddle writes a free size
_BATCH = re.compile(r"(?i:batch)|^N$|^(?i:bsz?)$")
_BATCH_IF_FIRST = re.compile(r"^[nb]$", re.IGNORECASE)
_NOT_BATCH = re.compile(r"seq|time|len|frame|step|token|past|height|width|^[tlshw]$", re.IGNORECASE)
# Names that exporters make up, one for each axis: they say nothing about which sizes are equal.
_MADE_UP = re.compile(r"^(\?|unk__\d+|dyn\w*|dim_?\d+|d\d+|none|s\d+|\w+_dynamic_axes_\d+)?$", re.IGNORECASE)
_EXAMPLE = 128

Dim = int | str
"""A fixed size, or the name of a free one, "" without a name."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What the user says about sizes that a file leaves open.

    ``batch`` is the number of samples, None for 1 where it is open and else as it is in the file. ``shape`` is that of
    the first input without the batch; its named dimensions get the same size wherever they appear. ``named`` are the
    shapes of inputs by name, without the batch, and the sizes of named dimensions. ``axes`` say which axis of an input
    counts samples, None for none.
    """

    batch: int | None = None
    shape: tuple[int, ...] | None = None
    named: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    axes: Mapping[str, int | None] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class InputShape:
    """An input with all its sizes; None stands for a batch that is still free, at ``batch_axis``."""

    name: str
    element_type: int
    shape: tuple[int | None, ...]
    batch_axis: int | None


@dataclass(frozen=True, kw_only=True)
class Border:
    """The inputs of a network; ``symbols`` are the sizes of named dimensions, but for a batch that is still free."""

    inputs: tuple[InputShape, ...]
    symbols: Mapping[str, int]
    batch_symbols: frozenset[str]

    @property
    def batch(self) -> int | None:
        """The number of samples of one inference: None where it is free, 1 where no axis counts them."""
        sizes = [given.shape[given.batch_axis] for given in self.inputs if given.batch_axis is not None]
        return sizes[0] if sizes else 1


def border_of(graph: onnx.GraphProto, sizes: Sizes, path: Path) -> Border:
    """The inputs of a graph with the sizes that the file fixes and the user says.

    Raises:
        UsageError: a size that is not known, is said twice, or contradicts the file.
        ArtifactError: an input without a type, or of an impossible size.
    """
    weights = {tensor.name for tensor in graph.initializer}
    weights |= {sparse.values.name for sparse in graph.sparse_initializer}
    values = [value for value in graph.input if value.name not in weights]
    if not values:
        _require_nothing_said(sizes, path)
        return Border(inputs=(), symbols={}, batch_symbols=frozenset())
    dims = {value.name: _dims_of(value, sizes, place, path) for place, value in enumerate(values)}
    axes, symbols = _axes(graph, dims, sizes.axes, path)
    asked = _shapes_by_name(dims, sizes, path)
    bound = _sizes_by_symbol(dims, sizes, path)
    for name, shape in asked.items():
        _bind_shape(name, dims[name], axes[name], shape, bound, path)
    batch = _batch_size(dims, axes, symbols, bound, sizes.batch, path)
    if batch is not None:
        bound.update(dict.fromkeys(symbols, batch))
    inputs = []
    for value in values:
        name, axis = value.name, axes[value.name]
        concrete = _concrete(name, dims, axis, asked.get(name), batch, bound, path)
        inputs.append(
            InputShape(name=name, element_type=value.type.tensor_type.elem_type, shape=concrete, batch_axis=axis)
        )
    return Border(inputs=tuple(inputs), symbols=bound, batch_symbols=symbols)


def _require_nothing_said(sizes: Sizes, path: Path) -> None:
    """Raises UsageError for sizes of a network without inputs, which computes from constants or random numbers."""
    said = [*sizes.named, *sizes.axes, *(["--input"] if sizes.shape is not None else [])]
    if said or sizes.batch not in (None, 1):
        raise InputsError(
            f"{path} has no inputs",
            values=f"asked for {', '.join(said) or f'a batch of {sizes.batch}'}; one inference is one sample",
            remedy="leave --batch, --input and --inputs out",
        )


def _dims_of(value: onnx.ValueInfoProto, sizes: Sizes, place: int, path: Path) -> list[Dim]:
    """The sizes of an input; one whose rank the file leaves open takes it from what was asked for."""
    tensor = value.type.tensor_type
    if not value.type.HasField("tensor_type") or tensor.elem_type == 0:
        raise ArtifactError(
            f"input {value.name} of {path} is not a tensor", remedy="benchbox counts networks of tensors"
        )
    if not tensor.HasField("shape"):
        asked = sizes.named.get(value.name, sizes.shape if place == 0 else None)
        if asked is None:
            raise ArtifactError(
                f"input {value.name} of {path} has no shape at all",
                remedy=f"give it without the batch: --input {shlex.quote(value.name)}=3x224x224",
            )
        return [""] * (len(asked) + 1)
    found: list[Dim] = []
    for dim in tensor.shape.dim:
        if not dim.HasField("dim_value") or dim.dim_value == _FREE:
            found.append(_text_of(dim, value.name, path))
        elif 0 <= dim.dim_value <= MAX_ELEMENTS:
            found.append(dim.dim_value)
        else:
            raise ArtifactError(f"input {value.name} of {path} has a size of {dim.dim_value}")
    return found


def _text_of(dim: onnx.TensorShapeProto.Dimension, name: str, path: Path) -> str:
    symbol = dim.dim_param if dim.HasField("dim_param") else ""
    if not isinstance(symbol, str):  # what is not UTF-8 comes as bytes from the decoder
        raise ArtifactError(
            f"{path} is not a valid graph",
            values=f"a size of input {name} is called {symbol!r:.60}, which is not UTF-8",
            remedy="the file is damaged",
        )
    return symbol


def _axes(
    graph: onnx.GraphProto, dims: Mapping[str, Sequence[Dim]], said: Mapping[str, int | None], path: Path
) -> tuple[dict[str, int | None], frozenset[str]]:
    """The axis of each input that counts samples, and the names of that size."""
    if said:
        _require_axes(dims, said, path)
        places = [(name, axis) for name, axis in said.items() if axis is not None]
        symbols = frozenset(str(dims[name][axis]) for name, axis in places if isinstance(dims[name][axis], str))
        return {name: said[name] if name in said else _place(dims[name], symbols) for name in dims}, symbols - {""}
    if named := _named_batch(dims):
        return {name: _place(sizes, named) for name, sizes in dims.items()}, named
    if seen := recurrent_batch_axes(graph, dims):
        size = dims[(first := next(iter(seen)))][seen[first]]
        if isinstance(size, str):
            symbols = frozenset({size} - {""})
            return {name: seen.get(name, _place(dims[name], symbols)) for name in dims}, symbols
        return {name: seen.get(name, _fixed_place(dims[name], size)) for name in dims}, frozenset()
    if shared := _shared_first(dims):
        return {name: 0 if sizes and sizes[0] in shared else _place(sizes, shared - {""}) for name, sizes in
                dims.items()}, shared - {""}  # fmt: skip
    fixed = _fixed_batch(dims)
    return {name: None if fixed is None else _fixed_place(sizes, fixed) for name, sizes in dims.items()}, frozenset()


def _first_with_axes(dims: Mapping[str, Sequence[Dim]]) -> str:
    return next((name for name, sizes in dims.items() if sizes), next(iter(dims)))


def _require_axes(dims: Mapping[str, Sequence[Dim]], said: Mapping[str, int | None], path: Path) -> None:
    for name, axis in said.items():
        if name not in dims:
            raise InputsError(
                f"{path} has no input '{name}'",
                values=f"inputs {', '.join(dims)}",
                remedy=f"for example --batch-axis {shlex.quote(_first_with_axes(dims))}=0",
            )
        if axis is not None and axis >= len(dims[name]):
            raise InputsError(
                f"input {name} of {path} has no axis {axis}", values=f"it is {_text(dims[name]) or 'a scalar'}"
            )
    sizes = {size for name, axis in said.items() if axis is not None and isinstance(size := dims[name][axis], int)}
    if len(sizes) > 1:
        raise InputsError(
            "--batch-axis names axes of different sizes", values=", ".join(map(str, sorted(sizes))) + f" in {path}"
        )


def _named_batch(dims: Mapping[str, Sequence[Dim]]) -> frozenset[str]:
    """The free size that is called batch, N or the like."""
    twice = _twice_in_one(dims)
    names = [size for sizes in dims.values() for size in sizes if isinstance(size, str) and size not in twice]
    firsts = {sizes[0] for sizes in dims.values() if sizes}
    plain = [name for name in names if _BATCH.search(name) or (_BATCH_IF_FIRST.match(name) and name in firsts)]
    first = [name for name in plain if name in firsts]
    return frozenset((first or plain)[:1])


def _twice_in_one(dims: Mapping[str, Sequence[Dim]]) -> set[Dim]:
    """Names of sizes that an input has twice, as a matrix of all pairs has: nodes of a graph, steps of a sequence."""
    return {size for sizes in dims.values() for size, times in Counter(sizes).items() if times > 1 and size != ""}


def _shared_first(dims: Mapping[str, Sequence[Dim]]) -> frozenset[str]:
    """The names of the free first axis that inputs share, "" among them where it has none."""
    firsts = [sizes[0] for sizes in dims.values() if sizes and isinstance(sizes[0], str)]
    twice = _twice_in_one(dims)
    names = [str(name) for name in firsts if not _NOT_BATCH.search(str(name)) and name not in twice]
    made_up = frozenset(name for name in names if _MADE_UP.match(name))
    proper = Counter(name for name in names if name not in made_up)
    if not proper:
        return made_up
    (best, count), *others = proper.most_common()
    if others and others[0][1] == count:
        return made_up  # several, and none is shared by more inputs than another: the user has to say
    return made_up | {best}


def _fixed_batch(dims: Mapping[str, Sequence[Dim]]) -> int | None:
    """The first size that every input of at least two axes carries first or second, where no free size is the batch."""
    wide = [sizes for sizes in dims.values() if len(sizes) > 1]
    for sizes in wide or [sizes for sizes in dims.values() if sizes]:
        first = sizes[0]
        if isinstance(first, int) and first > 0 and all(_fixed_place(other, first) is not None for other in wide):
            return first
    return None


def _fixed_place(sizes: Sequence[Dim], batch: int) -> int | None:
    if len(sizes) == 1 and batch == 1:
        return None  # a threshold or a scale of one element
    return next((axis for axis in range(min(2 if len(sizes) > 2 else 1, len(sizes))) if sizes[axis] == batch), None)


def _place(sizes: Sequence[Dim], symbols: frozenset[str]) -> int | None:
    return next((axis for axis, size in enumerate(sizes) if isinstance(size, str) and size in symbols), None)


def _shapes_by_name(dims: Mapping[str, Sequence[Dim]], sizes: Sizes, path: Path) -> dict[str, tuple[int, ...]]:
    symbols = {str(size) for each in dims.values() for size in each if isinstance(size, str)}
    terms = {term.strip() for size in symbols for term in size.split("+")}  # "past + sequence" has two
    known = {size for size in symbols | terms if not size.isdigit()} - {""}
    if unknown := [name for name in sizes.named if name not in known and name not in dims]:
        raise InputsError(
            f"{path} has no input and no dimension '{unknown[0]}'",
            values=f"inputs {', '.join(dims)}; dimensions {', '.join(sorted(known)) or 'none are named'}",
        )
    asked = {name: shape for name, shape in sizes.named.items() if name in dims}
    first = next(iter(dims))
    if sizes.shape is not None:
        if first in asked:
            raise InputsError(
                "--input is given twice for the same input",
                values=f"{_text(sizes.shape)} and {first}={_text(asked[first])}; {first} is the first input of {path}",
            )
        asked[first] = sizes.shape
    return asked


def _sizes_by_symbol(dims: Mapping[str, Sequence[Dim]], sizes: Sizes, path: Path) -> dict[str, int]:
    bound = {}
    for name, shape in sizes.named.items():
        if name in dims:
            continue
        if len(shape) != 1:
            raise InputsError(
                f"'{name}' is one size of {path}",
                values=f"got {_text(shape)}",
                remedy=f"for example --input {shlex.quote(name)}={_EXAMPLE}",
            )
        bound[name] = shape[0]
    return bound


def _bind_shape(
    name: str, dims: Sequence[Dim], axis: int | None, shape: tuple[int, ...], bound: dict[str, int], path: Path
) -> None:
    """Notes the sizes of named dimensions that a shape says."""
    rest = [size for place, size in enumerate(dims) if place != axis]
    if len(rest) != len(shape):
        batch = "" if axis is None else " without the batch"
        raise InputsError(
            "--input has another number of dimensions than the file",
            values=f"got {_text(shape)}, input {name} of {path} is {_text(rest) or 'a scalar'}{batch}",
        )
    for size, want in zip(rest, shape, strict=True):
        if isinstance(size, int):
            if size != want:
                raise InputsError(
                    "the file has another size there",
                    values=f"asked for {want}, input {name} of {path} is fixed at {_text(dims)}",
                )
        elif size and bound.setdefault(size, want) != want:
            raise InputsError(
                "--input gives a size twice", values=f"'{size}' of {path} is {bound[size]} and, in {name}, {want}"
            )


def _batch_size(
    dims: Mapping[str, Sequence[Dim]],
    axes: Mapping[str, int | None],
    symbols: frozenset[str],
    bound: Mapping[str, int],
    asked: int | None,
    path: Path,
) -> int | None:
    """The number of samples: what the file fixes or the user says, None where it is free."""
    if all(axis is None for axis in axes.values()):
        if asked not in (None, 1):
            name = _first_with_axes(dims)
            raise UsageError(
                f"no axis of {path} is known to count samples",
                values=f"asked for a batch of {asked}; inputs "
                + ", ".join(f"{name} {_text(sizes) or 'scalar'}" for name, sizes in dims.items()),
                remedy="leave --batch out: one inference is one sample"
                + (f"; or name the axis, as in --batch-axis {shlex.quote(name)}=0" if dims[name] else ""),
            )
        return None
    fixed = {str(bound[name]): bound[name] for name in symbols if name in bound}
    for name, axis in axes.items():
        if axis is not None and isinstance(size := dims[name][axis], int):
            fixed[f"{size}"] = size
    if not fixed:
        return asked
    size = next(iter(fixed.values()))
    if asked not in (None, size):
        raise UsageError(
            "the file has another size there",
            values=f"asked for a batch of {asked}, {path} is fixed at {size}",
            remedy=f"leave --batch out, or give --batch {size}",
        )
    return size


def _concrete(
    name: str,
    dims: Mapping[str, Sequence[Dim]],
    axis: int | None,
    asked: tuple[int, ...] | None,
    batch: int | None,
    bound: Mapping[str, int],
    path: Path,
) -> tuple[int | None, ...]:
    given = list(asked or ())
    if asked is not None and axis is not None:
        given.insert(axis, 0)
    found: list[int | None] = []
    for place, size in enumerate(dims[name]):
        if isinstance(size, int):
            found.append(size)
        elif place == axis:
            found.append(batch)
        elif asked is not None:
            found.append(given[place])
        else:
            known = _sum_of(size, bound)
            if known is None:
                raise _unknown(name, dims, axis, size, path)
            found.append(known)
    return tuple(found)


def _sum_of(symbol: str, bound: Mapping[str, int]) -> int | None:
    """The size of a symbol, or of a sum of them, as exporters write the length of past and present."""
    if symbol in bound:
        return bound[symbol]
    terms = [term.strip() for term in symbol.split("+")]
    sizes = [int(term) if term.isdigit() else bound.get(term) for term in terms]
    return sum(size or 0 for size in sizes) if len(terms) > 1 and None not in sizes else None


def _unknown(name: str, dims: Mapping[str, Sequence[Dim]], axis: int | None, symbol: str, path: Path) -> UsageError:
    example = "x".join(
        str(size) if isinstance(size, int) else str(_EXAMPLE) for place, size in enumerate(dims[name]) if place != axis
    )
    remedy = f"--input {shlex.quote(name)}={example}"
    if symbol and symbol not in dims and "=" not in symbol:  # what is an input's name is taken for the input
        remedy = f"--input {shlex.quote(symbol)}={_EXAMPLE}, or all sizes of the input: {remedy}"
    return UsageError(
        f"the shape of input {name} of {path} is not known",
        values=f"it is {_text(dims[name])}, where '{symbol or '?'}' is free",
        remedy=f"give it, for example {remedy}" + ("" if axis is None else " (without the batch)"),
    )


def _text(dims: Sequence[Dim]) -> str:
    return "x".join(str(size) if isinstance(size, int) else size or "?" for size in dims)
