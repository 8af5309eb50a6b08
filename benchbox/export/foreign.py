"""What is in an ONNX file that somebody else made, and can it be measured as it is?"""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from benchbox.errors import ArtifactError
from benchbox.export.borders import require_tensors
from benchbox.export.feeds import sample_shapes_in
from benchbox.export.judging import is_loadable
from benchbox.export.opsets import opset_of
from benchbox.export.precision.contents import Contents, contents_of
from benchbox.graph.border import Border, InputShape, Sizes, border_of
from benchbox.graph.external import is_linked, model_from_file
from benchbox.graph.feeding import values_of_inputs
from benchbox.graph.onnx_shapes import require_finite
from benchbox.graph.structure import with_functions_in_place
from benchbox.schema.artifact import TensorSpec, Values, fixed_batch
from benchbox.schema.model import ModelSource, SourceKind

if TYPE_CHECKING:
    import onnx

# Operators whose outputs are as long as the data say.
_SELECTING = frozenset({"NonZero", "NonMaxSuppression", "Compress", "Unique", "If", "Loop", "Scan", "SequenceAt"})


# The form of files that runtimes in use all read.
_READABLE_IR = 10


@dataclasses.dataclass(frozen=True, kw_only=True)
class ForeignGraph:
    """A checked file: its graph, its border with a free batch as None, and what it computes in.

    ``data_dependent`` are axes of outputs whose sizes are known only after an inference.
    """

    proto: onnx.ModelProto
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    contents: Contents
    opset: int
    data_dependent: Mapping[str, tuple[int, ...]]

    @property
    def fixed_batch(self) -> int | None:
        """The batch size that the file was made for, None if it takes any."""
        return fixed_batch(self.inputs)


def sizes_of_source(source: ModelSource, batch: int | None = None) -> Sizes:
    """What the user says of the sizes of a network's inputs, and the batch size; that of the source where None."""
    choice = source.inputs
    if source.kind is not SourceKind.ONNX:  # what is exported has the sizes that were said; the batch alone is free
        return Sizes(batch=batch if batch is not None else choice.batch)
    named = dict(choice.named)
    if choice.samples is not None:
        named = {**sample_shapes_in(Path(choice.samples)), **named}
    return Sizes(
        batch=batch if batch is not None else choice.batch,
        shape=source.input_shape,
        named=named,
        axes=dict(choice.batch_axes),
    )


def graph_from_file(path: Path, *, sizes: Sizes) -> ForeignGraph:
    """Reads and checks an ONNX file.

    Args:
        path: of the file; external data must lie beside it.
        sizes: what the user says of sizes that the file leaves open.

    Raises:
        ArtifactError: empty, truncated, not ONNX, refused by onnx's checker, external data missing.
        UsageError: unknown dimensions, an input shape that contradicts the file, or a precision that benchbox does not
            support.
    """
    import onnx

    if path.stat().st_size == 0:
        raise ArtifactError(f"{path} is empty", remedy="export the network again")
    try:
        proto = model_from_file(path)
    except Exception as error:  # protobuf and external data each have errors of their own
        raise _invalid(path, error) from error
    require_finite(proto, path)
    warnings: tuple[str, ...] = ()
    try:
        onnx.checker.check_model(str(path))
    except Exception as error:  # the checker has errors of its own
        if not is_loadable(path):
            raise (_too_new(path, proto) or _invalid(path, error)) from error
        if not is_linked(path):
            warnings = (f"onnx.checker refuses the file, and ONNX Runtime loads it: {_first_line(error)}",)
    require_tensors(proto.graph, path)
    if not proto.graph.output:
        raise ArtifactError(f"{path} has no outputs", remedy="export the network again")
    border = border_of(proto.graph, sizes, path)
    contents = contents_of(proto)
    whole = with_functions_in_place(proto).graph
    sizes_known = {**border.symbols, **dict.fromkeys(border.batch_symbols, border.batch or 1)}
    fed = values_of_inputs(whole, [given.name for given in border.inputs], sizes_known)
    return ForeignGraph(
        proto=proto,
        inputs=tuple(_spec(given, fed[given.name]) for given in border.inputs),
        outputs=tuple(_declared(value, border) for value in proto.graph.output),
        contents=dataclasses.replace(contents, warnings=(*contents.warnings, *warnings)),
        opset=opset_of(proto),
        data_dependent=data_dependent_axes(whole, border.symbols, border.batch_symbols),
    )


def _too_new(path: Path, proto: onnx.ModelProto) -> ArtifactError | None:
    """The error for a file of a later IR version than this onnx knows, None for another file."""
    import onnx

    newest = int(onnx.IR_VERSION)
    if proto.ir_version <= newest:
        return None
    code = f"import onnx; m = onnx.load({str(path)!r}); m.ir_version = {_READABLE_IR}; onnx.save(m, 'net.onnx')"
    return ArtifactError(
        f"{path} is of a newer form of ONNX than this installation reads",
        values=f"its ir_version is {proto.ir_version}, onnx {onnx.__version__} knows up to {newest}",
        remedy="pip install --upgrade onnx onnxruntime; or, where its operators are older, write it again: "
        f"python -c {shlex.quote(code)}",
    )


def _invalid(path: Path, error: Exception) -> ArtifactError:
    return ArtifactError(
        f"{path} is not a valid ONNX file",
        values=f"{type(error).__name__}: {_first_line(error)}",
        remedy="it may be truncated or in another format; check it with onnx.checker",
    )


def _first_line(error: Exception) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), "no reason given")


def _declared(value: onnx.ValueInfoProto, border: Border) -> TensorSpec:
    """An output as the file declares it; sizes that it leaves open are None."""
    import onnx

    dims = value.type.tensor_type.shape.dim
    batch = border.batch
    axis = next((place for place, dim in enumerate(dims) if dim.dim_param in border.batch_symbols), None)
    if axis is None and batch is not None and dims and dims[0].dim_value == batch:
        axis = 0
    kind = value.type.tensor_type.elem_type
    return TensorSpec(
        name=value.name,
        dtype=onnx.helper.tensor_dtype_to_np_dtype(kind).name if kind else "float32",
        shape=tuple(dim.dim_value if dim.dim_value > 0 else None for dim in dims) or (None,),
        batch_axis=axis,
    )


def _spec(given: InputShape, values: Values | None) -> TensorSpec:
    import onnx

    dtype = onnx.helper.tensor_dtype_to_np_dtype(given.element_type)
    return TensorSpec(name=given.name, dtype=dtype.name, shape=given.shape, batch_axis=given.batch_axis, values=values)


def data_dependent_axes(
    graph: onnx.GraphProto, symbols: Mapping[str, int], batch: Collection[str]
) -> dict[str, tuple[int, ...]]:
    """By output, the axes whose sizes may depend on data: free in the file, in a graph that selects by value."""
    if not any(node.op_type in _SELECTING for node in graph.node):
        return {}
    found = {}
    for value in graph.output:
        dims = value.type.tensor_type.shape.dim
        axes = [place for place, dim in enumerate(dims) if not dim.HasField("dim_value")]
        open_axes = tuple(axis for axis in axes if dims[axis].dim_param not in {*symbols, *batch})
        if open_axes:
            found[value.name] = open_axes
    return found
