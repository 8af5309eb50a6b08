"""What is a part of a network fed? What the whole network gives it.

A part measured alone takes hidden states and masks: drawn numbers are none (an additive mask of noise, a mask of minus
infinity in the wrong place). So the tensors of its first call are kept in a file and fed in turn, as a user's own
samples are.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchbox.export.feeds import with_samples
from benchbox.schema.artifact import TensorSpec
from benchbox.store.atomic import draft_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchbox.models.building import Network
    from benchbox.models.examples import ExampleInput

FOLDER = Path("engines") / "inputs"
_TEXT = "what the network gives it in its first call"


def fed_as_captured(inputs: Sequence[TensorSpec], network: Network, *, root: Path) -> tuple[TensorSpec, ...]:
    """The inputs of a part, fed with what its network gave it.

    Args:
        inputs: of the part.
        network: the part, whose example inputs are those of its first call.
        root: project root; the file is written under it, named by its content.
    """
    arrays = _samples(network.inputs)
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, **arrays)
    digest = hashlib.sha256(b"".join(name.encode() + arrays[name].tobytes() for name in sorted(arrays))).hexdigest()
    path = root / FOLDER / f"{digest[:16]}.npz"
    if not path.exists():
        with draft_of(path) as draft:
            draft.write_bytes(content.getvalue())
    count = len(next(iter(arrays.values())))
    in_turn = f": {count} sample{'s' * (count != 1)}, in turn"
    return tuple(
        replace(spec, values=replace(spec.values, text=_TEXT + (in_turn if spec.batch_axis is not None else "")))
        if spec.values is not None
        else spec
        for spec in with_samples(inputs, path)
    )


def _samples(inputs: Sequence[ExampleInput]) -> Mapping[str, NDArray[np.generic]]:
    """The examples as arrays with the samples first; what has no batch axis is the same in all of them."""
    sizes = [given.tensor.shape[given.batch_axis] for given in inputs if given.batch_axis is not None]
    count = min(sizes, default=1)
    return {given.name: _stacked(given, count) for given in inputs}


def _stacked(given: ExampleInput, count: int) -> NDArray[np.generic]:
    array: NDArray[np.generic] = given.tensor.detach().cpu().numpy()
    if given.batch_axis is None:
        return np.repeat(array[None], count, axis=0)
    return np.ascontiguousarray(np.moveaxis(array, given.batch_axis, 0)[:count])
