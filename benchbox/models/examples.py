"""Which inputs does a module take: how do example arguments become a list of named tensors?

Arguments are flattened as PyTorch's exporter does it: tuples, lists, dictionaries and what libraries registered with
``torch.utils._pytree`` (key-value caches), however deep. None, booleans, numbers and texts among them are options of
the call, not inputs: they stay as they are in the example.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree  # noqa: PLC2701 - its public part does not say the paths of the leaves

from benchbox.errors import UsageError, one_line

# Numbers that numpy has too, so that they can be drawn, stored and handed to every runtime.
_TYPES = {
    *(torch.float32, torch.float64, torch.float16, torch.bool),
    *(torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8, torch.uint16, torch.uint32, torch.uint64),
}
_OPTIONS = (type(None), bool, int, float, str, torch.dtype, torch.device, torch.memory_format)
ONLY_INPUT = "input"


@dataclass(frozen=True, kw_only=True)
class Example:
    """Arguments that a module can be called with."""

    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ExampleInput:
    """One input of a module: its name, an example of it, and the axis that counts samples, None where none does.

    ``size`` names the sizes that nobody said and the network leaves open ("sequence=128").
    """

    name: str
    tensor: torch.Tensor
    batch_axis: int | None = None
    size: str = ""

    def with_batch(self, size: int) -> torch.Tensor:
        """The example with so many samples: its own, over and over."""
        return self.tensor if self.batch_axis is None else resized(self.tensor, self.batch_axis, size)


def resized(tensor: torch.Tensor, axis: int, size: int) -> torch.Tensor:
    """A tensor of another size along an axis: its own entries there, over and over."""
    if tensor.shape[axis] == 0:
        shape = [size if place == axis else length for place, length in enumerate(tensor.shape)]
        return tensor.new_zeros(shape)
    return tensor.index_select(axis, torch.arange(size) % tensor.shape[axis])


def example_from_value(value: object, reference: str) -> Example:
    """The arguments that a factory's example inputs stand for: a tensor, a tuple, or a dictionary of keyword arguments.

    Raises UsageError for anything else.
    """
    if isinstance(value, torch.Tensor):
        return Example(args=(value,))
    if isinstance(value, Mapping):
        if wrong := [key for key in value if not isinstance(key, str)]:
            raise UsageError(
                f"the example inputs of {reference} have a key that is not a name",
                values=f"{wrong[0]!r:.80}",
                remedy="a dictionary holds the keyword arguments of forward()",
            )
        return Example(kwargs=dict(value))
    if isinstance(value, tuple | list):
        return Example(args=tuple(value))
    raise UsageError(
        f"the example inputs of {reference} are of type {type(value).__name__}",
        values=f"{value!r:.80}",
        remedy="return (module, inputs) where inputs is a tensor, a tuple, or a dictionary of keyword arguments",
    )


def flat_network(module: nn.Module, example: Example, reference: str) -> tuple[nn.Module, tuple[ExampleInput, ...]]:
    """The module taking tensors one after the other, and an example of each by name.

    Names are those of the parameters of ``forward``, with the place inside behind them: ``cache_0_key``. The module
    itself is changed: it keeps its class and the paths of its parts, so that layers keep their names.

    Raises:
        UsageError: an argument that ``forward`` does not have, one that is not a tensor, or no tensor at all.
    """
    args, kwargs = _in_order(module, example, reference)
    found, spec = _pytree.tree_flatten_with_path((args, kwargs))
    names = _parameter_names(module, len(args))
    inputs: list[ExampleInput] = []
    leaves: list[Any] = []
    taken: set[str] = set()
    for path, value in found:
        name = _free(_name_of(path, names), taken)
        if isinstance(value, torch.Tensor):
            _require_plain(value, name, reference)
            inputs.append(ExampleInput(name=name, tensor=value.detach()))
            leaves.append(_INPUT)
        elif isinstance(value, _OPTIONS):
            leaves.append(value)
        else:
            raise UsageError(
                f"input {name} of {reference} is of type {type(value).__module__}.{type(value).__qualname__}",
                values=f"{value!r:.80}",
                remedy="inputs are tensors, or tuples, lists and dictionaries of them; a numpy array: torch.from_numpy",
            )
    if not inputs:
        raise UsageError(
            f"there is no tensor among the example inputs of {reference}", remedy="give at least one tensor"
        )
    _take_tensors(module, leaves, spec)
    return module, tuple(inputs)


def tensors_of(module: nn.Module, example: Example, reference: str) -> list[torch.Tensor]:
    """The tensors among the arguments, in the order of the inputs of ``flat_network``, which raises the same."""
    leaves = _pytree.tree_leaves(_in_order(module, example, reference))
    return [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]


_INPUT = object()


def _take_tensors(module: nn.Module, leaves: Sequence[Any], spec: Any) -> None:
    """Replaces the module's ``forward`` by one that takes the tensors among ``leaves``."""
    own: Callable[..., Any] = module.forward

    def forward(*tensors: torch.Tensor) -> Any:
        given = iter(tensors)
        args, kwargs = _pytree.tree_unflatten([next(given) if leaf is _INPUT else leaf for leaf in leaves], spec)
        return own(*args, **kwargs)

    module.forward = forward


def _in_order(module: nn.Module, example: Example, reference: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments, those with names in the order in which ``forward`` has them."""
    try:
        signature = inspect.signature(module.forward)
    except (TypeError, ValueError):
        return example.args, dict(example.kwargs)
    try:
        signature.bind(*example.args, **example.kwargs)
    except TypeError as error:
        raise UsageError(
            f"{type(module).__name__} of {reference} cannot be called with its example inputs",
            values=one_line(f"{error}; given {_given(example)}; forward{signature}"),
            remedy="a tuple holds the positional arguments of forward(), a dictionary its keyword arguments",
        ) from error
    names = [name for name in signature.parameters if name in example.kwargs]
    rest = [name for name in example.kwargs if name not in names]  # of **kwargs
    return example.args, {name: example.kwargs[name] for name in (*names, *rest)}


def _given(example: Example) -> str:
    return ", ".join([f"{len(example.args)} by place", *example.kwargs])


def _parameter_names(module: nn.Module, count: int) -> list[str]:
    """Names of the positional arguments; ``input`` for those of a function that names none."""
    try:
        parameters = inspect.signature(module.forward).parameters.values()
    except (TypeError, ValueError):
        parameters = ()  # type: ignore[assignment]
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    names = [parameter.name for parameter in parameters if parameter.kind in kinds]
    unnamed = [ONLY_INPUT if count == 1 else f"{ONLY_INPUT}_{place}" for place in range(len(names), count)]
    return [*names, *unnamed]


def _name_of(path: Sequence[Any], positional: Sequence[str]) -> str:
    """A leaf's name from its path in (args, kwargs)."""
    keys = [getattr(key, "idx", getattr(key, "key", getattr(key, "name", key))) for key in path]
    first = positional[keys[1]] if keys[0] == 0 else str(keys[1])
    words = [first, *map(str, keys[2:])]
    return "_".join("".join(letter if letter.isalnum() else "_" for letter in word) for word in words)


def _free(wanted: str, taken: set[str]) -> str:
    name, number = wanted, 0
    while name in taken:
        number += 1
        name = f"{wanted}_{number}"
    taken.add(name)
    return name


def _require_plain(tensor: torch.Tensor, name: str, reference: str) -> None:
    kind = str(tensor.dtype).removeprefix("torch.")
    if tensor.layout is not torch.strided or tensor.is_quantized:
        raise UsageError(
            f"input {name} of {reference} is not a dense tensor",
            values=f"its layout is {tensor.layout}",
            remedy="make it dense (to_dense), or measure the part of the network behind it",
        )
    if tensor.dtype not in _TYPES:
        known = sorted(str(one).removeprefix("torch.") for one in _TYPES)
        raise UsageError(
            f"input {name} of {reference} holds elements of type {kind}",
            values=f"inputs may be {', '.join(known)}",
            remedy="give it in float32 and cast it inside the network" if tensor.is_floating_point() else "",
        )
