"""Which axis of each example input counts samples? The network itself is asked: it is run with two samples and three.

What the example cannot say, the user can: ``--batch-axis NAME=AXIS``.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree  # noqa: PLC2701

from benchbox.errors import BenchboxError, InputsError, SizesError, one_line
from benchbox.models.examples import ExampleInput
from benchbox.models.factories import line_of
from benchbox.models.kept_tensors import kept_tensors_put_back
from benchbox.models.sequences import LayerCall, sequence_layers_watched
from benchbox.models.sixteen_bits import remedy_of_mixed

_TRIED = (2, 3)
Axes = tuple[int | None, ...]


@dataclass(frozen=True, kw_only=True)
class Batching:
    """The inputs with the axes that count samples.

    ``fixed`` is the one batch size that the network takes, None for any; ``note`` says what could not be seen.
    """

    inputs: tuple[ExampleInput, ...]
    fixed: int | None
    note: str = ""


def batching_of(
    module: nn.Module, inputs: Sequence[ExampleInput], said: Mapping[str, int], *, reference: str
) -> Batching:
    """Finds the axes by running the module, in eval mode, on inputs of two batch sizes.

    Args:
        module: takes the tensors of the inputs.
        inputs: examples.
        said: the axis of an input, where the user says it.
        reference: of the network, for messages.

    Raises:
        UsageError: an axis of an input that does not exist.
        ArtifactError: the module does not run on its own example.
    """
    _require_axes(inputs, said, reference)
    try:
        with sequence_layers_watched(module) as seen:
            alone = _shapes(module, [given.tensor for given in inputs])
    except BenchboxError:
        raise
    except (Exception, SystemExit) as error:  # whatever the network's own code raises
        line = line_of(error, type(module).__module__)
        raise SizesError(
            f"{reference} does not run on its example inputs",
            values=f"{type(error).__name__}: {one_line(error)}\n"
            + (f"{line}\n" if line else "")
            + ", ".join(f"{given.name} {tuple(given.tensor.shape)}" for given in inputs),
            remedy=remedy_of_mixed(error, module) or "correct the inputs, or their sizes (--input)",
        ) from error
    hinted = list(dict.fromkeys(_as_layers_say(inputs, said, seen)))
    for candidates in (hinted, list(dict.fromkeys(_candidates(inputs, said)))):
        free, reason = _free(module, inputs, candidates, anyhow=bool(said))
        if free is not None:
            return free
        fixed = _fixed(inputs, candidates, alone, reason)
        if fixed is not None:
            return fixed
    return Batching(inputs=tuple(inputs), fixed=1, note="no axis of its inputs is known to count samples")


def batching_along(inputs: Sequence[ExampleInput], axes: Axes) -> Batching:
    """The inputs with axes that somebody knows; one inference is one sample where none of them counts samples."""
    return Batching(inputs=_placed(inputs, axes), fixed=None if any(axis is not None for axis in axes) else 1)


def _free(
    module: nn.Module, inputs: Sequence[ExampleInput], candidates: Sequence[Axes], *, anyhow: bool
) -> tuple[Batching | None, str]:
    """The first axes with which the module runs at two batch sizes, else why it does not.

    Those that an output follows come before others, unless ``anyhow``.
    """
    ran: Batching | None = None
    reason = ""
    for axes in candidates:
        made = _placed(inputs, axes)
        try:
            shapes = [_shapes(module, [given.with_batch(size) for given in made]) for size in _TRIED]
        except (Exception, SystemExit) as error:
            reason = reason or f"{type(error).__name__}: {one_line(error, 200)}"
            continue
        found = Batching(inputs=made, fixed=None)
        if anyhow or _follow(*shapes):
            return found, ""
        # Outputs may belong to no sample: boxes, a loss. One sample must do: the two ends of edges are no samples.
        if ran is None and _runs_alone(module, made):
            ran = found
    return ran, reason


def _runs_alone(module: nn.Module, inputs: Sequence[ExampleInput]) -> bool:
    try:
        _shapes(module, [given.with_batch(1) for given in inputs])
    except (Exception, SystemExit):  # as above
        return False
    return True


def _fixed(
    inputs: Sequence[ExampleInput], candidates: Sequence[Axes], alone: Sequence[tuple[int, ...]], reason: str
) -> Batching | None:
    """What to do with a network that runs with its example's sizes only; None where no size is seen to be the batch."""
    for axes in candidates:
        sizes = {given.tensor.shape[axis] for given, axis in zip(inputs, axes, strict=True) if axis is not None}
        everywhere = all(axis is not None for given, axis in zip(inputs, axes, strict=True) if given.tensor.ndim > 1)
        if not everywhere or len(sizes) != 1:
            continue
        (size,), places = sizes, 1 + max(axis or 0 for axis in axes)
        if any(size in shape[:places] for shape in alone):
            return Batching(
                inputs=_placed(inputs, axes), fixed=size, note=f"it takes a batch of {size} only ({reason})"
            )
    return None


def _placed(inputs: Sequence[ExampleInput], axes: Axes) -> tuple[ExampleInput, ...]:
    return tuple(replace(given, batch_axis=axis) for given, axis in zip(inputs, axes, strict=True))


def likely_axes(module: nn.Module, inputs: Sequence[ExampleInput], said: Mapping[str, int]) -> dict[str, int | None]:
    """The axis of each input that would be tried first, from the examples' shapes and one run."""
    with sequence_layers_watched(module) as seen, contextlib.suppress(Exception):  # what is wrong is said later
        _shapes(module, [given.tensor for given in inputs])
    axes = next(itertools.chain(_as_layers_say(inputs, said, seen), _candidates(inputs, said)), (None,) * len(inputs))
    return {given.name: axis for given, axis in zip(inputs, axes, strict=True)}


def _shapes(module: nn.Module, tensors: Sequence[torch.Tensor]) -> list[tuple[int, ...]]:
    with kept_tensors_put_back(module), torch.inference_mode():
        made: Any = module(*tensors)
    return [tuple(leaf.shape) for leaf in _pytree.tree_leaves(made) if isinstance(leaf, torch.Tensor)]


def _follow(two: Sequence[tuple[int, ...]], three: Sequence[tuple[int, ...]]) -> bool:
    """Whether an output has as many samples as the inputs."""
    sizes = [pair for one, other in zip(two, three, strict=False) for pair in zip(one, other, strict=False)]
    return _TRIED in sizes


def _as_layers_say(
    inputs: Sequence[ExampleInput], said: Mapping[str, int], seen: Sequence[LayerCall]
) -> Iterator[Axes]:
    """Axes by what recurrent and attention layers took for their batch: a sequence runs at any length too."""
    if said:
        return
    shapes = [tuple(given.tensor.shape) for given in inputs]
    direct = {place: call.axis for call in seen for place, given in enumerate(inputs) if call.given is given.tensor}
    for size in dict.fromkeys(call.batch for call in seen):
        axes = tuple(
            direct[place] if place in direct and shape[direct[place]] == size else _only(shape, size)
            for place, shape in enumerate(shapes)
        )
        if any(axis is not None for axis in axes):
            yield axes


def _only(shape: tuple[int, ...], size: int) -> int | None:
    """The first or second axis of that size; None where both have it, or the input is one number."""
    places = [axis for axis in range(min(2, len(shape))) if shape[axis] == size]
    return places[0] if len(places) == 1 and shape != (1,) else None


def _candidates(inputs: Sequence[ExampleInput], said: Mapping[str, int]) -> Iterator[Axes]:
    """Axes to try, those first by which most inputs carry the same number of samples, and the first axis before others.

    An input of one element, as a threshold, counts samples only if nothing runs without.
    """
    shapes = [tuple(given.tensor.shape) for given in inputs]
    if said:
        fixed = [shapes[place][said[given.name]] for place, given in enumerate(inputs) if given.name in said]
        yield tuple(said.get(given.name) for given in inputs)
        yield tuple(said.get(given.name, _first(shapes[place], fixed[0])) for place, given in enumerate(inputs))
        return
    wide = [shape for shape in shapes if len(shape) > 1] or [shape for shape in shapes if shape]
    if not wide:
        return
    sizes = list(dict.fromkeys([*(shape[0] for shape in wide), *(shape[1] for shape in wide if len(shape) > 2)]))
    found = []
    for size in sizes:
        for axes in (
            tuple(_first(shape, size) for shape in shapes),
            # A state of one layer and one sample has both sizes: its second is the batch.
            tuple(_first(shape[1:2], size, 1) if len(shape) > 2 else _first(shape, size) for shape in shapes),
        ):
            bare = tuple(None if shape == (1,) else axis for shape, axis in zip(shapes, axes, strict=True))
            found += [axes] if bare == axes or all(axis is None for axis in bare) else [bare, axes]
    # A batch in the same place everywhere is usual; one that more inputs carry is likelier.
    yield from sorted(found, key=lambda axes: (-_carried(axes, shapes), sum(axis or 0 for axis in axes)))


def _carried(axes: Axes, shapes: Sequence[tuple[int, ...]]) -> int:
    return sum(axis is not None for axis, shape in zip(axes, shapes, strict=True) if shape != (1,))


def _first(shape: tuple[int, ...], size: int, offset: int = 0) -> int | None:
    """The first or second axis of that size; of a sequence-first input or a state the batch is the second."""
    return next((axis + offset for axis in range(min(2, len(shape))) if shape[axis] == size), None)


def _require_axes(inputs: Sequence[ExampleInput], said: Mapping[str, int], reference: str) -> None:
    known = {given.name: given.tensor.ndim for given in inputs}
    for name, axis in said.items():
        if name not in known:
            raise InputsError(
                f"{reference} has no input '{name}'",
                values=f"inputs {', '.join(known)}",
                remedy=f"for example --batch-axis {max(known, key=lambda name: known[name] > 0)}=0",
            )
        if axis >= known[name]:
            raise InputsError(f"input {name} of {reference} has no axis {axis}", values=f"it has {known[name]} axes")
