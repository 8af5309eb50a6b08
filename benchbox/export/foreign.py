"""What is in an ONNX file that somebody else made, and can it be measured as it is?"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchbox.errors import ArtifactError, UsageError
from benchbox.export.borders import require_tensors
from benchbox.export.opsets import opset_of
from benchbox.export.precision.contents import Contents, contents_of
from benchbox.schema.artifact import TensorSpec

if TYPE_CHECKING:
    import onnx


@dataclasses.dataclass(frozen=True, kw_only=True)
class ForeignGraph:
    """A checked file: its graph, its border with free batch dimensions as None, and what it computes in."""

    proto: onnx.ModelProto
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[str, ...]
    contents: Contents
    opset: int

    @property
    def fixed_batch(self) -> int | None:
        """The batch size that the file was made for, None if it takes any."""
        return self.inputs[0].shape[0]


def graph_from_file(path: Path, *, input_shape: tuple[int, ...] | None) -> ForeignGraph:
    """Reads and checks an ONNX file.

    Args:
        path: of the file; external data must lie beside it.
        input_shape: binds the free dimensions of the (only) input, without the batch.

    Raises:
        ArtifactError: empty, truncated, not ONNX, refused by onnx's checker, external data missing.
        UsageError: unknown dimensions, an input shape that contradicts the file, or a precision that benchbox does not
            support.
    """
    import onnx

    if path.stat().st_size == 0:
        raise ArtifactError(f"{path} is empty", remedy="export the network again")
    try:
        proto = onnx.load(str(path))
        onnx.checker.check_model(str(path))
    except Exception as error:  # protobuf, the checker and external data each have errors of their own
        lines = [line for line in str(error).splitlines() if line.strip()]
        raise ArtifactError(
            f"{path} is not a valid ONNX file",
            values=f"{type(error).__name__}: {lines[0] if lines else 'no reason given'}",
            remedy="it may be truncated or in another format; check it with onnx.checker",
        ) from error
    require_tensors(proto.graph, path)
    weights = {tensor.name for tensor in proto.graph.initializer}
    values = [value for value in proto.graph.input if value.name not in weights]
    if not values or not proto.graph.output:
        raise ArtifactError(f"{path} has no inputs or no outputs", remedy="export the network again")
    if input_shape is not None and len(values) > 1:
        raise UsageError(
            "--input is for networks with one input", values=f"{path} has {', '.join(value.name for value in values)}"
        )
    specs = tuple(_spec(value, input_shape, path) for value in values)
    return ForeignGraph(
        proto=proto,
        inputs=specs,
        outputs=tuple(value.name for value in proto.graph.output),
        contents=contents_of(proto),
        opset=opset_of(proto),
    )


def declared_outputs(proto: onnx.ModelProto) -> tuple[TensorSpec, ...]:
    """The outputs as a checked file declares them; sizes that it leaves open are None."""
    import onnx

    return tuple(
        TensorSpec(
            name=value.name,
            dtype=onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type).name,
            shape=tuple(dim.dim_value if dim.dim_value > 0 else None for dim in value.type.tensor_type.shape.dim)
            or (None,),
        )
        for value in proto.graph.output
    )


def _spec(value: onnx.ValueInfoProto, input_shape: tuple[int, ...] | None, path: Path) -> TensorSpec:
    import onnx

    tensor = value.type.tensor_type
    dims: list[int | None] = [
        dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else None for dim in tensor.shape.dim
    ]
    if not dims:
        raise UsageError(
            f"input {value.name} of {path} has no batch dimension", values="it is a scalar or has no shape"
        )
    if input_shape is not None:
        known = dims[1:]
        if len(known) != len(input_shape) or any(
            size not in (None, asked) for size, asked in zip(known, input_shape, strict=True)
        ):
            raise UsageError(
                "--input contradicts the file",
                values=f"got {_text(input_shape)}, input {value.name} of {path} is {_text(known)}",
            )
        dims[1:] = input_shape
    if None in dims[1:]:
        raise UsageError(
            f"the shape of input {value.name} of {path} is unknown",
            values=f"it is {_text(dims[1:])} without the batch",
            remedy="give it: --input 3x224x224",
        )
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    return TensorSpec(name=value.name, dtype=dtype.name, shape=tuple(dims))


def _text(dims: Sequence[int | None]) -> str:
    return "x".join("?" if dim is None else str(dim) for dim in dims)
