"""What does PyTorch make of a model reference: which module, with which inputs, with which weights?"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchbox.errors import EnvironmentLackError, InputsError, UsageError
from benchbox.models.printing import prints_aside
from benchbox.models.zoo.zoo import build
from benchbox.schema.artifact import TensorSpec
from benchbox.schema.model import ModelSource, SourceKind

if TYPE_CHECKING:
    import torch
    from torch import nn

    from benchbox.models.examples import Example, ExampleInput

Say = Callable[[str], None]
_SILENT: Say = lambda _: None  # noqa: E731
# A part is fed with what the network makes of these: as many as are fed in turn (``MeasurementPlan.input_slots``).
_SAMPLES_OF_PARTS = 4


@dataclass(frozen=True, kw_only=True)
class Network:
    """A module in eval mode that takes the tensors of ``inputs`` in their order.

    ``fixed_batch`` is the one batch size that it takes, None for any. ``weights`` says where they came from, ``notes``
    what the user should know. ``has_example`` says whether somebody gave example inputs: their values mean something.
    ``simplify`` makes the module compute the same in a way that exporters know better, and says what it did; None where
    there is no such way.
    """

    module: nn.Module
    inputs: tuple[ExampleInput, ...]
    fixed_batch: int | None
    weights: str
    notes: tuple[str, ...] = ()
    has_example: bool = False
    simplify: Callable[[], str] | None = None

    @property
    def example_batch(self) -> int | None:
        """The batch size of the example inputs, None where nobody gave such or no axis counts samples."""
        sizes = [one.tensor.shape[one.batch_axis] for one in self.inputs if one.batch_axis is not None]
        return sizes[0] if sizes and self.has_example else None

    def at_batch(self, size: int) -> Network:
        """The same network for one batch size."""
        given = tuple(replace(one, tensor=one.with_batch(size)) for one in self.inputs)
        return replace(self, inputs=given, fixed_batch=size)

    def specs(self) -> tuple[TensorSpec, ...]:
        """Names, types and shapes of the inputs, a free batch as None."""
        return tuple(_spec(given, self.fixed_batch) for given in self.inputs)


def _spec(given: ExampleInput, fixed: int | None) -> TensorSpec:
    shape: tuple[int | None, ...] = tuple(given.tensor.shape)
    dtype = str(given.tensor.dtype).removeprefix("torch.")
    return TensorSpec(name=given.name, dtype=dtype, shape=shape, batch_axis=given.batch_axis).at_batch_or_free(fixed)


@prints_aside()
def network_from_source(
    source: ModelSource, *, seed: int, shapes: Mapping[str, tuple[int, ...]] | None = None, say: Say = _SILENT
) -> Network:
    """The PyTorch network of a zoo, factory or library source, with seeded or given weights.

    A module of the zoo is built without memory first and then filled, so that default weights are never drawn.
    A factory keeps the weights it makes (after ``torch.manual_seed``); only the statistics of fresh batch norms are
    replaced (models/seeding.py says why). ``say`` receives the names of given weights that the network does not have.

    Args:
        source: of the network.
        seed: of weights.
        shapes: of inputs by name, without the batch, beside those that the source names: of real samples.
        say: receives what the user should know.

    Raises:
        EnvironmentLackError: PyTorch, a library, or a package that the code needs is not installed.
        UsageError: there is no such network or part; it returns no module; weights or sizes that do not fit.
        ArtifactError: somebody else's code raises.
    """
    return _settled(_assembled(source, seed=seed, shapes=shapes, say=say), source)


@prints_aside()
def outline_from_source(source: ModelSource) -> Network:
    """The network with weights that take no memory, for when only its structure matters.

    Every tensor of a zoo network is one number, another for each, repeated to its shape: exporters treat equal
    tensors, zeros and ones in special ways. Other networks are as their code makes them.

    Raises: as ``network_from_source``.
    """
    if source.kind is not SourceKind.ZOO:
        return network_from_source(source, seed=0)
    _require_torch(source)
    return _settled(_with_part(_Assembled(module=_thin(source.reference).eval(), weights=""), source, {}), source)


@prints_aside()
def module_from_source(source: ModelSource, *, seed: int, say: Say = _SILENT) -> nn.Module:
    """The module of ``network_from_source``, for who knows its inputs already. Raises as it does."""
    return _assembled(source, seed=seed, shapes=None, say=say).module


@dataclass(frozen=True, kw_only=True)
class _Assembled:
    """A module, and its inputs where somebody gave an example; None for one float32 input of the source's shape.

    ``axes`` of the inputs count samples; None where that is to be found out.
    """

    module: nn.Module
    weights: str
    inputs: tuple[ExampleInput, ...] | None = None
    notes: tuple[str, ...] = ()
    simplify: Callable[[], str] | None = None
    axes: tuple[int | None, ...] | None = None


def _assembled(source: ModelSource, *, seed: int, shapes: Mapping[str, tuple[int, ...]] | None, say: Say) -> _Assembled:
    _require_torch(source)
    import torch

    from benchbox.models.results import give_tensors, plain_module
    from benchbox.models.seeding import load_weights, seed_trivial_statistics, seed_weights
    from benchbox.models.sixteen_bits import has_short_weights, in_sixteen_bits, widened

    torch.manual_seed(seed)
    example: Example | None = None
    notes: tuple[str, ...] = ()
    simplify: Callable[[], str] | None = None
    axes: tuple[int | None, ...] | None = None
    left_open: Mapping[str, str] = {}
    sizes = {**(shapes or {}), **dict(source.inputs.named)}
    if source.kind is SourceKind.ZOO:
        with torch.device("meta"):
            module = build(source.reference)
        module.to_empty(device="cpu")
        if source.weights is None:
            seed_weights(module, seed=seed)
        words = f"seeded (seed {seed})"
    elif source.kind is SourceKind.FACTORY:
        from benchbox.models.factories import made_by_factory

        module, example = made_by_factory(source.reference)
        module = plain_module(module, source.reference)
        if source.weights is None:
            seed_trivial_statistics(module, seed=seed)
        words = "by the factory"
    else:
        from benchbox.models.libraries.library import network_from_library

        found = network_from_library(source, sizes)
        module, example, words, notes = found.module, found.example, found.weights, found.notes
        simplify, axes, left_open = found.simplify, found.axes, found.open
        sizes = {name: shape for name, shape in sizes.items() if name not in found.used}
        if source.weights is None:
            seed_trivial_statistics(module, seed=seed)
    if source.weights is not None:
        ignored = load_weights(module, Path(source.weights))
        words = str(Path(source.weights).resolve())
        if ignored:
            heads = ", ".join(dict.fromkeys(name.partition(".")[0] for name in ignored))
            say(f"{len(ignored)} tensors of auxiliary heads in {source.weights} were left out: {heads}")
    module.eval()
    if source.kind is not SourceKind.ZOO:
        if has_short_weights(module) and in_sixteen_bits(module, example or _plain_example(source, sizes)):
            module.float()
            example = widened(example) if example is not None else None
            notes = (*notes, "it is in 16 bits, and is exported in fp32: --precision fp16 or bf16 makes it so again")
        give_tensors(module, source.reference)
    inputs = None
    if example is not None:
        from benchbox.models.examples import flat_network

        module, inputs = flat_network(module, example, source.reference)
        inputs = tuple(replace(one, size=left_open.get(one.name, left_open.get("", ""))) for one in inputs)
        inputs = _bound(module, inputs, source, sizes, axes)
    whole = _Assembled(module=module, weights=words, inputs=inputs, notes=notes, simplify=simplify, axes=axes)
    return _with_part(whole, source, sizes)


def _with_part(whole: _Assembled, source: ModelSource, sizes: Mapping[str, tuple[int, ...]]) -> _Assembled:
    """The part that the source names, with the inputs that it gets; the whole where it names none."""
    inputs = whole.inputs
    if inputs is None:
        inputs = (_only_input(source, sizes),)
    if not source.part:
        return whole
    from benchbox.models.examples import flat_network
    from benchbox.models.parts import axes_of_part, part_of
    from benchbox.models.results import give_tensors

    part, example = part_of(whole.module, source.part, inputs, source.reference)
    axes = None
    if not source.inputs.batch_axes:  # which are of the part: the user knows
        axes = axes_of_part(whole.module, source.part, _with_axes(whole, inputs, source), source.reference)
    give_tensors(part, f"{source.part} of {source.reference}")
    module, given = flat_network(part, example, f"{source.part} of {source.reference}")
    size = ", ".join(dict.fromkeys(one.size for one in inputs if one.size))  # what the part gets follows from these
    return replace(whole, module=module, inputs=tuple(replace(one, size=size) for one in given), axes=axes)


def _with_axes(whole: _Assembled, inputs: tuple[ExampleInput, ...], source: ModelSource) -> tuple[ExampleInput, ...]:
    """The whole network's inputs with the axes that count samples."""
    from benchbox.models.batching import batching_along, batching_of

    if whole.inputs is None:
        return inputs  # the one of a network without an example: its first
    if whole.axes is not None:
        return batching_along(inputs, whole.axes).inputs
    return batching_of(whole.module, inputs, {}, reference=source.reference).inputs


def _settled(made: _Assembled, source: ModelSource) -> Network:
    """The network with the axes that count samples."""
    from benchbox.models.batching import batching_along, batching_of

    asked = source.inputs.batch
    if made.inputs is None:
        only = (replace(_only_input(source, dict(source.inputs.named)), batch_axis=0),)
        return Network(module=made.module, inputs=only, fixed_batch=asked, weights=made.weights, notes=made.notes)
    said = dict(source.inputs.batch_axes)
    if made.axes is not None and not said:
        found = batching_along(made.inputs, made.axes)
    else:
        found = batching_of(made.module, made.inputs, said, reference=source.reference)
    notes = (*made.notes, found.note) if found.note else made.notes
    network = Network(
        module=made.module,
        inputs=found.inputs,
        fixed_batch=found.fixed,
        weights=made.weights,
        notes=notes,
        has_example=True,
        simplify=made.simplify,
    )
    return network.at_batch(asked) if found.fixed is None and asked is not None else network


def _only_input(source: ModelSource, sizes: Mapping[str, tuple[int, ...]]) -> ExampleInput:
    """The one float32 input of a network whose shape the user or the zoo says: seeded noise."""
    import torch

    from benchbox.models.examples import ONLY_INPUT, ExampleInput

    others = [name for name in sizes if name != ONLY_INPUT]
    shape = sizes.get(ONLY_INPUT, source.input_shape)
    if others or (not source.part and any(place != (ONLY_INPUT, 0) for place in source.inputs.batch_axes)):
        raise InputsError(
            f"{source.reference} has one input, '{ONLY_INPUT}', with the batch first",
            values=f"got {', '.join([*others, *(f'--batch-axis {n}={axis}' for n, axis in source.inputs.batch_axes)])}",
            remedy="give its shape: --input 3x224x224; or let the factory return (module, example inputs)",
        )
    if shape is None:
        raise UsageError(
            f"the inputs of {source.reference} are unknown",
            values="it returned a network without example inputs",
            remedy="give the shape of its one input without the batch: --input 3x224x224; or return (module, inputs)",
        )
    generator = torch.Generator().manual_seed(0)
    samples = _SAMPLES_OF_PARTS if source.part else 2
    return ExampleInput(name=ONLY_INPUT, tensor=torch.randn((samples, *shape), generator=generator), batch_axis=0)


def _plain_example(source: ModelSource, sizes: Mapping[str, tuple[int, ...]]) -> Example:
    from benchbox.models.examples import Example

    return Example(args=(_only_input(source, sizes).tensor,))


def _bound(
    module: nn.Module,
    inputs: tuple[ExampleInput, ...],
    source: ModelSource,
    sizes: Mapping[str, tuple[int, ...]],
    known_axes: tuple[int | None, ...] | None,
) -> tuple[ExampleInput, ...]:
    """The inputs with the sizes that the user says: the examples' own values, over and over."""
    from benchbox.models.batching import likely_axes

    asked = dict(sizes)
    known = [given.name for given in inputs]
    if unknown := [name for name in asked if name not in known]:
        raise InputsError(
            f"{source.reference} has no input and no size '{unknown[0]}'", values=f"inputs {', '.join(known)}"
        )
    if source.input_shape is not None:
        if known[0] in asked:
            raise InputsError("--input is given twice for the same input", values=f"{known[0]} is the first input")
        asked[known[0]] = source.input_shape
    if not asked:
        return inputs
    said = {} if source.part else dict(source.inputs.batch_axes)  # which would be of the part
    axes = (
        likely_axes(module, inputs, said) if known_axes is None or said else dict(zip(known, known_axes, strict=True))
    )
    return tuple(
        _with_shape(given, axes[given.name], asked[given.name], source) if given.name in asked else given
        for given in inputs
    )


def _with_shape(given: ExampleInput, axis: int | None, shape: tuple[int, ...], source: ModelSource) -> ExampleInput:
    from benchbox.models.examples import resized

    tensor: torch.Tensor = given.tensor
    places = [place for place in range(tensor.ndim) if place != axis]
    if len(places) != len(shape):
        own = "x".join(str(tensor.shape[place]) for place in places) or "a scalar"
        raise InputsError(
            "--input has another number of dimensions than the example",
            values=f"got {'x'.join(map(str, shape))}, "
            f"input {given.name} of {source.reference} is {own} without the batch",
        )
    for place, size in zip(places, shape, strict=True):
        tensor = tensor if tensor.shape[place] == size else resized(tensor, place, size)
    return replace(given, tensor=tensor, size="")


def _thin(name: str) -> nn.Module:
    import torch
    from torch import nn

    with torch.device("meta"):
        module = build(name)
    number = 0
    for layer in module.modules():
        for entry, tensor in [*layer.named_parameters(recurse=False), *layer.named_buffers(recurse=False)]:
            number += 1
            value = torch.tensor(0.5 + number / 65536 if tensor.is_floating_point() else 1, dtype=tensor.dtype)
            thin = value.expand(tensor.shape)
            is_parameter = isinstance(tensor, nn.Parameter)
            setattr(layer, entry, nn.Parameter(thin, requires_grad=False) if is_parameter else thin)
    return module


def _require_torch(source: ModelSource) -> None:
    try:
        importlib.import_module("torch")
    except ImportError as error:
        raise EnvironmentLackError(
            f"{source.reference} needs PyTorch", values=str(error), remedy="pip install 'benchbox[torch]'"
        ) from error
