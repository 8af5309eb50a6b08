"""Example arguments become named tensors, as PyTorch's exporter flattens them; the module computes as before."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from benchbox.errors import UsageError
from benchbox.models.examples import Example, example_from_value, flat_network, resized


class Step(nn.Module):
    """A step of a decoder: ids, a mask by name, a nested cache, an option."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(9, 4)

    def forward(
        self, ids: torch.Tensor, mask: torch.Tensor | None = None, cache: Any = None, scale: float = 1.0
    ) -> torch.Tensor:
        assert mask is not None
        made: torch.Tensor = scale * self.table(ids) * mask[..., None] + cache[0]["key"] - cache[1]
        return made


def arguments() -> tuple[tuple[Any, ...], dict[str, Any]]:
    ids, mask = torch.arange(6).reshape(2, 3), torch.ones(2, 3)
    cache = ({"key": torch.randn(2, 1, 4)}, torch.randn(2, 1, 4))
    return (ids,), {"scale": 2.0, "cache": cache, "mask": mask}


def test_nested_arguments_are_flattened_in_the_order_of_forward() -> None:
    args, kwargs = arguments()
    plain = Step().eval()
    expected = plain(*args, **kwargs)
    module, inputs = flat_network(plain, Example(args=args, kwargs=kwargs), "nets:step")
    assert [given.name for given in inputs] == ["ids", "mask", "cache_0_key", "cache_1"]
    torch.testing.assert_close(module(*(given.tensor for given in inputs)), expected)
    assert type(module) is Step
    assert [path for path, _ in module.named_parameters()] == ["table.weight"], "paths are those of the network itself"


@pytest.mark.parametrize(
    ("value", "args", "names"),
    [
        (torch.ones(2), 1, []),
        ((torch.ones(2), torch.ones(3)), 2, []),
        ({"ids": torch.ones(2)}, 0, ["ids"]),
    ],
    ids=["tensor", "tuple", "dictionary"],
)
def test_a_pair_s_second_half(value: object, args: int, names: list[str]) -> None:
    example = example_from_value(value, "nets:make")
    assert (len(example.args), list(example.kwargs)) == (args, names)


@pytest.mark.parametrize(
    ("inputs", "parts"),
    [
        ("text", ["nets:make", "of type str", "return (module, inputs)"]),
        ({1: torch.ones(2)}, ["a key that is not a name"]),
        ((np.zeros((2, 3)),), ["input ids", "numpy.ndarray", "torch.from_numpy"]),
        ((torch.ones(2, 3).to_sparse(),), ["input ids", "not a dense tensor"]),
        ((torch.ones(2, 3, dtype=torch.complex64),), ["input ids", "complex64"]),
        ((torch.ones(2, 3, dtype=torch.bfloat16),), ["input ids", "bfloat16", "cast it inside"]),
        ((None,), ["no tensor among"]),
        ({"idz": torch.ones(2)}, ["cannot be called with its example inputs", "idz"]),
        ((object(),), ["input ids", "object"]),
    ],
    ids=["text", "key", "array", "sparse", "complex", "bfloat16", "nothing", "name", "object"],
)
def test_what_cannot_be_fed_is_refused_by_name(inputs: object, parts: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        flat_network(Step(), example_from_value(inputs, "nets:make"), "nets:make")
    text = f"{caught.value.what} {caught.value.values} {caught.value.remedy}"
    assert all(part in text for part in parts), text


def test_other_sizes_repeat_the_example() -> None:
    assert resized(torch.tensor([[3, 4]]), 1, 5).tolist() == [[3, 4, 3, 4, 3]]
    assert resized(torch.zeros(1, 0, 4), 1, 2).shape == (1, 2, 4), "an empty cache has no entries to repeat"
