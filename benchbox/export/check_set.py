"""On which samples are the forms of a network compared, and in which batches?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchbox.schema.artifact import BatchRange, TensorSpec
from benchbox.stats.agreement import Tolerance, hop_from_outputs
from benchbox.stats.batches import joined, samples_of
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

    def mixes_samples(self, evaluate: Evaluate, expected: Arrays, tolerance: Tolerance) -> bool:
        """Whether a sample's outputs depend on the others of its batch, as normalisation over the batch does.

        Args:
            evaluate: gives the outputs for a feed; it is called once, with samples of the second batch alone.
            expected: outputs of all samples, in these batches.
            tolerance: beyond which they differ.
        """
        size, per_sample = self.batches[0], tuple(spec for spec in self.outputs if spec.batch_axis is not None)
        if len(self.batches) < 2 or self.batches[1] <= size or not per_sample:
            return False
        alone = evaluate(seeded_arrays(self.inputs, seed=self.seed, samples=size, first=size))
        among = samples_of(expected, per_sample, samples=np.arange(size, 2 * size), inferences=0)
        return not hop_from_outputs("among", "alone", among, joined([alone], per_sample), tolerance).passed

    def by_inference(self) -> CheckSet:
        """The same, with outputs that are compared inference by inference, at one batch size only."""
        whole = tuple(replace(spec, shape=tuple(None for _ in spec.shape), batch_axis=None) for spec in self.outputs)
        return replace(self, outputs=whole)

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
