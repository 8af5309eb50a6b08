"""Which inputs is a network given when its outputs or its speed are looked at?

Seeded random values, the same on every machine: sample ``i`` of input ``name`` depends on the seed, ``i``
and the name only. Never zeros: constant data switches fewer transistors and takes other branches.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from benchbox.schema.artifact import TensorSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray


def seeded_arrays(
    specs: Sequence[TensorSpec], *, seed: int, samples: int, first: int = 0
) -> dict[str, NDArray[np.generic]]:
    """Inputs for ``samples`` samples, stacked along axis 0, in place of the specs' first dimension.

    Floating-point inputs are standard normal (what normalised images look like), integers are 0 or 1
    (valid in every vocabulary), booleans are fair coins.

    Args:
        specs: the inputs; every dimension but the first must be known.
        seed: of the whole set.
        samples: how many.
        first: index of the first sample, so that disjoint sets can be drawn from one seed.
    """
    return {
        spec.name: np.stack([_sample(spec, seed=seed, index=first + number) for number in range(samples)])
        for spec in specs
    }


def stream(seed: int, *words: str | int) -> np.random.Generator:
    """A random stream of its own for these words: the same everywhere, independent of other words' streams."""
    digest = hashlib.sha256("\x1f".join(str(word) for word in (seed, *words)).encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "little")))


def _sample(spec: TensorSpec, *, seed: int, index: int) -> NDArray[np.generic]:
    shape = tuple(size if size is not None else 1 for size in spec.shape[1:])
    values = stream(seed, "input", spec.name, index)
    dtype = np.dtype(spec.dtype)
    if dtype.kind == "f":
        return values.standard_normal(shape, dtype=np.float32).astype(dtype)
    return values.integers(0, 2, size=shape).astype(dtype)
