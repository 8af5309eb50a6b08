"""How does a PyTorch module become an ONNX graph?"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import io
import logging
import textwrap
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from benchbox.errors import ArtifactError, BenchboxError, SizesError
from benchbox.export.opsets import OPSET
from benchbox.models.building import Network

if TYPE_CHECKING:
    import onnx
    import torch
    from torch import nn

BATCH = "batch"
# Two samples, so that the exporter cannot take the batch for a constant 1 and drop the dimension.
EXAMPLE_BATCH = 2
# Smaller constants may be shapes and axes and belong to the structure.
WEIGHT_BYTES = 8192
_NOT_TRACED = (
    "the network runs on these inputs, but its forward cannot be traced: replace what depends on values, or bring an "
    "ONNX file"
)
_CAUSAL = "_detect_is_causal_mask"
# A condition on the sizes of many selections, as of a detector's ninety classes, is thousands of characters long.
_CAUSE_CHARACTERS = 300
_CAUSE_IN_NOTE = 120


def proto_from_module(
    module: nn.Module, input_shape: tuple[int, ...], *, name: str, weights: bool = True
) -> onnx.ModelProto:
    """As ``proto_from_network``, of a module that takes one float32 tensor (N, *input_shape), called "input"."""
    import torch

    from benchbox.models.examples import ONLY_INPUT, ExampleInput

    given = ExampleInput(name=ONLY_INPUT, tensor=torch.zeros((EXAMPLE_BATCH, *input_shape)), batch_axis=0)
    network = Network(module=module, inputs=(given,), fixed_batch=None, weights="")
    return proto_from_network(network, name=name, weights=weights)


def proto_from_network(network: Network, *, name: str, weights: bool = True) -> onnx.ModelProto:
    """The graph that PyTorch's exporter makes of a module in eval mode, with a free batch dimension if it takes any.

    Its notes are left out, which ``traced`` gives.

    Opset 20: newer schemas of some operators are not matched by the GPU kernels of runtimes in use.

    Args:
        network: the module and examples of its inputs.
        name: of the network, for messages.
        weights: whether the graph holds them; without, large ones refer to a file that does not exist.

    Raises:
        ArtifactError: the exporter cannot trace the module; the root cause is in the message.
    """
    return _proto_and_notes(network, name=name, weights=weights)[0]


def _proto_and_notes(
    network: Network, *, name: str, weights: bool, cut: bool = False
) -> tuple[onnx.ModelProto, tuple[str, ...]]:
    import torch

    _require_no_projection(network.module, name)
    free = network.fixed_batch is None
    examples = tuple(given.with_batch(EXAMPLE_BATCH) if free else given.tensor for given in network.inputs)
    axes = tuple({} if given.batch_axis is None else {given.batch_axis: BATCH} for given in network.inputs)
    # A network with examples takes *tensors, whose shapes PyTorch wants as one argument.
    shapes = (axes,) if network.has_example else axes
    try:
        with _traceable(network.module, cut=cut) as notes:
            program = torch.onnx.export(
                network.module,
                examples,
                dynamo=True,
                opset_version=OPSET,
                dynamic_shapes=shapes if free else None,
                input_names=[given.name for given in network.inputs],
                verbose=False,
            )
    except (Exception, SystemExit) as error:  # the exporter passes on whatever the network's own code raises
        if isinstance(cause := _first_cause(error), BenchboxError):
            raise cause from None
        sizes = ", ".join(
            _shape_text(tuple(size for axis, size in enumerate(one.tensor.shape) if axis != one.batch_axis))
            if len(network.inputs) == 1
            else f"{one.name} {_shape_text(tuple(one.tensor.shape))}"
            for one in network.inputs
        )
        other = _remedy_beside_sizes(error, network.module)
        # What the network itself raises on these inputs is plainer than what an exporter makes of it.
        own = None if other else _own_failure(network.module, examples)
        raise (ArtifactError if own is None else SizesError)(
            f"{name} cannot be exported to ONNX with input{'s' * (len(network.inputs) > 1)} {sizes}",
            values=_root_cause(own or error),
            remedy=other or (_NOT_TRACED if own is None else "check the input shape (--input)"),
        ) from error
    assert program is not None, "the dynamo exporter returns a program"
    if not weights:
        _leave_out_weights(program)
    return program.model_proto, tuple(notes)


@dataclass(frozen=True, kw_only=True)
class Traced:
    """The graph of a network, and the network as it was exported.

    ``exporter`` names what wrote the graph. ``refusal`` is why PyTorch's usual exporter did not, None where it did.
    """

    proto: onnx.ModelProto
    network: Network
    exporter: str
    refusal: ArtifactError | None = None


def _require_no_projection(module: nn.Module, name: str) -> None:
    """Raises ArtifactError for an LSTM whose states have another size than its cells: ONNX's has one size for both."""
    from torch import nn

    for path, part in module.named_modules():
        if isinstance(part, nn.LSTM) and part.proj_size:
            raise ArtifactError(
                f"{name} has an LSTM with proj_size={part.proj_size}, which ONNX's LSTM has not",
                values=f"{path or 'itself'}: input size {part.input_size}, hidden size {part.hidden_size}",
                remedy="bring an ONNX file that has its recurrence as a loop, or a network without proj_size",
            )


def traced(network: Network, *, name: str, weights: bool = True, cut: bool = False) -> Traced:
    """The graph of a network; for its example's batch alone where no other works, and traced where nothing else does.

    ``cut`` is that of ``packing.py``.

    Raises ArtifactError as ``proto_from_network``.
    """
    try:
        return _traced(network, name=name, weights=weights, cut=cut)
    except ArtifactError as error:
        failure = error
    if network.simplify is not None:
        network = replace(network, notes=(*network.notes, network.simplify()))
        with contextlib.suppress(ArtifactError):
            return _traced(network, name=name, weights=weights, cut=cut)
    size = network.example_batch
    if size is not None and network.fixed_batch is None:
        reason = f"it could be exported for a batch of {size} only: {failure.values}"
        fixed = replace(network.at_batch(size), notes=(*network.notes, reason))
        with contextlib.suppress(ArtifactError):
            return _traced(fixed, name=name, weights=weights, cut=cut)
    if isinstance(failure, SizesError):  # it does not run on these inputs at all
        raise failure
    return _traced_by_running(network, failure, weights=weights, cut=cut)


def _traced(network: Network, *, name: str, weights: bool, cut: bool) -> Traced:
    proto, notes = _proto_and_notes(network, name=name, weights=weights, cut=cut)
    return Traced(
        proto=proto,
        network=replace(network, notes=(*network.notes, *notes)) if notes else network,
        exporter=f"onnxscript {importlib.metadata.version('onnxscript')}",
    )


def _traced_by_running(network: Network, refusal: ArtifactError, *, weights: bool, cut: bool) -> Traced:
    """What TorchScript's tracer writes down; raises the refusal where it cannot either."""
    from benchbox.export.module.torchscript import proto_from_trace, traced_in_words

    size = network.fixed_batch or network.example_batch or 1
    network = network.at_batch(size)
    try:
        with _traceable(network.module, cut=cut) as notes:
            proto, places = proto_from_trace(network)
    except (Exception, SystemExit):  # as above; that it cannot be exported is known already
        raise refusal from refusal.__cause__
    if not weights:
        _leave_out_large(proto)
    cause = textwrap.shorten(refusal.values, _CAUSE_IN_NOTE, placeholder=" …")
    told = traced_in_words(size, cause, places)
    network = replace(network, notes=(*network.notes, *notes, told))
    return Traced(proto=proto, network=network, exporter="TorchScript", refusal=refusal)


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


def _leave_out_large(proto: onnx.ModelProto) -> None:
    """The same for a graph that is a message already."""
    for tensor in proto.graph.initializer:
        if (size := len(tensor.raw_data)) > WEIGHT_BYTES:
            tensor.ClearField("raw_data")
            tensor.data_location = tensor.EXTERNAL
            for key, value in (("location", "weights"), ("offset", 0), ("length", size)):
                entry = tensor.external_data.add()
                entry.key, entry.value = key, str(value)


@contextlib.contextmanager
def _traceable(module: nn.Module, *, cut: bool) -> Iterator[list[str]]:
    """Within, a module can be traced and nothing is printed; yields a list of what the user should know of its graph.

    ``cut`` is that of ``packing.py``.
    """
    from benchbox.export.module.packing import packed_as_padded
    from benchbox.models.kept_tensors import kept_tensors_put_back

    with (
        _silence(),
        _masks_not_looked_at(),
        packed_as_padded(cut=cut) as notes,
        kept_tensors_put_back(module),
    ):
        yield notes


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


@contextlib.contextmanager
def _masks_not_looked_at() -> Iterator[None]:
    """Keeps PyTorch's own transformer layers from looking whether a mask that they are given happens to be causal.

    That decides by the mask's values, which a traced network has none of. The mask is applied all the same.
    """
    layers = importlib.import_module("torch.nn.modules.transformer")
    own = getattr(layers, _CAUSAL, None)
    if own is None:
        yield
        return
    setattr(layers, _CAUSAL, lambda mask, is_causal=None, size=None: is_causal is True)
    try:
        yield
    finally:
        setattr(layers, _CAUSAL, own)


def _own_failure(module: nn.Module, examples: tuple[torch.Tensor, ...]) -> BaseException | None:
    """What a module raises when it is simply run on its inputs, None where it runs: then only the export fails."""
    import torch

    try:
        with _silence(), torch.no_grad():
            module(*examples)
    except (Exception, SystemExit) as error:
        return error
    return None


def _remedy_beside_sizes(error: BaseException, module: nn.Module) -> str:
    """What to do about an export that other sizes do not help, as of a forward that decides by values; else ""."""
    if "data-dependent" in str(cause := _first_cause(error)):
        parts = ", ".join(_parts_before(cause, module))
        return (
            "its forward decides by the values that it computes: measure a part that does not with --module NAME "
            f"({parts or 'a detector without its last steps'}), or bring an ONNX file"
        )
    from benchbox.models.sixteen_bits import remedy_of_mixed

    return remedy_of_mixed(_first_cause(error), module) or ""


def _parts_before(error: BaseException, module: nn.Module) -> list[str]:
    """Names of a network's own parts that have weights, without those that come from the one that failed on.

    Parts that failed are seen by ``self`` in the frames of the error. What follows such a part works on what it
    selected, as the second stage of a detector does. Anchors and resizing have no weights: nobody measures them.
    """
    frames = (frame.f_locals.get("self") for frame, _ in traceback.walk_tb(error.__traceback__))
    failed = {id(one) for one in frames}
    found = []
    for name, part in module.named_children():
        if id(part) in failed:
            break
        if next(part.parameters(), None) is not None:
            found.append(name)
    return found


def _first_cause(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _root_cause(error: BaseException) -> str:
    error = _first_cause(error)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = lines[0] if lines else "no reason given"
    if len(reason) > _CAUSE_CHARACTERS:
        reason = f"{reason[:_CAUSE_CHARACTERS]} …"
    return f"{type(error).__name__}: {reason}"


def _shape_text(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
