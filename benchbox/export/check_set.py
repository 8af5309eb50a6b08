"""On which samples are the forms of a network compared, and in which batches?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchbox.schema.artifact import BatchRange, TensorSpec
from benchbox.stats.batches import joined
from benchbox.stats.inputs import seeded_arrays

Arrays = Mapping[str, np.ndarray]
Evaluate = Callable[[Arrays], dict[str, np.ndarray]]


@dataclass(frozen=True, kw_only=True)
class CheckSet:
    """The seeded samples on which a network's forms are compared, in batches of these sizes.

    ``batches`` lists batch sizes; their sum is the number of distinct samples. Outputs are kept per sample, joined
    along their batch axis in this order; those without one by inference.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    batches: tuple[int, ...]
    seed: int

    @property
    def samples(self) -> int:
        """How many distinct samples there are."""
        return sum(self.batches)

    def feeds(self) -> Iterator[dict[str, np.ndarray]]:
        """The inputs of each batch, by name."""
        first = 0
        for size in self.batches:
            yield seeded_arrays(self.inputs, seed=self.seed, samples=size, first=first)
            first += size

    def outputs_of(self, evaluate: Evaluate) -> dict[str, np.ndarray]:
        """The outputs of one form of the network for all samples."""
        return self.together([evaluate(feed) for feed in self.feeds()])

    def together(self, made: Sequence[Arrays]) -> dict[str, np.ndarray]:
        """The outputs of all inferences: those with a batch axis as one array, others by inference."""
        return joined(made, self.outputs)


def check_batches(batch: BatchRange, fixed: int | None) -> tuple[int, ...]:
    """Batch sizes to check at: the smallest and a slightly larger one, or the only one twice."""
    if fixed is not None:
        return (fixed, fixed)
    second = batch.minimum + 2 if batch.maximum is None else min(batch.minimum + 2, batch.maximum)
    return (batch.minimum, second)
