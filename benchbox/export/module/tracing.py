"""How does a PyTorch module become an ONNX graph?"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

from benchbox.errors import ArtifactError
from benchbox.export.opsets import OPSET

if TYPE_CHECKING:
    import onnx
    import torch
    from torch import nn

BATCH = "batch"
# Two samples, so that the exporter cannot take the batch for a constant 1 and drop the dimension.
EXAMPLE_BATCH = 2
# Smaller constants may be shapes and axes and belong to the structure.
WEIGHT_BYTES = 8192


def proto_from_module(
    module: nn.Module, input_shape: tuple[int, ...], *, name: str, weights: bool = True
) -> onnx.ModelProto:
    """The graph that PyTorch's exporter makes of a module in eval mode, with a free batch dimension.

    Opset 20: newer schemas of some operators are not matched by the GPU kernels of runtimes in use.

    Args:
        module: takes one float32 tensor (N, *input_shape).
        input_shape: without the batch.
        name: of the network, for messages.
        weights: whether the graph holds them; without, large ones refer to a file that does not exist.

    Raises:
        ArtifactError: the exporter cannot trace the module; the root cause is in the message.
    """
    import torch

    example = torch.zeros((EXAMPLE_BATCH, *input_shape))
    try:
        with _silence():
            program = torch.onnx.export(
                module,
                (example,),
                dynamo=True,
                opset_version=OPSET,
                dynamic_shapes=({0: BATCH},),
                input_names=["input"],
                verbose=False,
            )
    except (Exception, SystemExit) as error:  # the exporter passes on whatever the network's own code raises
        raise ArtifactError(
            f"{name} cannot be exported to ONNX with input {_shape_text(input_shape)}",
            values=_root_cause(error),
            remedy="check the input shape (--input) and that the network's forward can be traced",
        ) from error
    assert program is not None, "the dynamo exporter returns a program"
    if not weights:
        _leave_out_weights(program)
    return program.model_proto


def _leave_out_weights(program: torch.onnx.ONNXProgram) -> None:
    import onnx_ir

    for value in program.model.graph.initializers.values():
        tensor = value.const_value
        if tensor is not None and tensor.nbytes > WEIGHT_BYTES:
            value.const_value = onnx_ir.ExternalTensor(
                "weights",
                offset=0,
                length=tensor.nbytes,
                dtype=tensor.dtype,
                shape=onnx_ir.Shape(tensor.shape.numpy()),
                name=value.name or "",
            )


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keeps the exporter's progress, warnings and logs from the user's terminal."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir", "torch")]
    levels = [logger.level for logger in loggers]
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def _root_cause(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else 'no reason given'}"


def _shape_text(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
