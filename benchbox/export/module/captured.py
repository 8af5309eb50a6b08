"""When is a network fed with tensors that are there already, and not with drawn ones?

A part measured alone takes hidden states and masks: drawn numbers are none (an additive mask of noise, a mask of minus
infinity in the wrong place). So the tensors of its first call are kept in a file and fed in turn, as a user's own
samples are. The same goes for example inputs whose values mean something that a graph does not say: positions, lengths,
masks of an own form.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Collection, Mapping, Sequence
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


def fed_as_captured(inputs: Sequence[TensorSpec], network: Network, *, root: Path) -> tuple[TensorSpec, ...]:
    """The inputs of a part, fed with what its network gave it.

    Args:
        inputs: of the part.
        network: the part, whose example inputs are those of its first call.
        root: project root; the file is written under it, named by its content.
    """
    return _fed(inputs, _samples(network.inputs), "what the network gives it in its first call", root)


def fed_as_given(
    inputs: Sequence[TensorSpec], network: Network, *, names: Collection[str], root: Path
) -> tuple[TensorSpec, ...]:
    """The inputs, those of these names fed with the network's example inputs.

    Args:
        inputs: of the network.
        network: with example inputs that somebody gave.
        names: of inputs.
        root: project root; the file is written under it, named by its content.
    """
    arrays = {name: array for name, array in _samples(network.inputs).items() if name in names}
    return _fed(inputs, arrays, "the example inputs", root) if arrays else tuple(inputs)


def _fed(
    inputs: Sequence[TensorSpec], arrays: Mapping[str, NDArray[np.generic]], text: str, root: Path
) -> tuple[TensorSpec, ...]:
    """The inputs, those of the arrays fed with them in turn, from a file that is named by what it holds."""
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, **arrays)
    parts = [
        f"{name} {arrays[name].dtype} {arrays[name].shape} ".encode() + arrays[name].tobytes()
        for name in sorted(arrays)
    ]
    digest = hashlib.sha256(b"".join(parts)).hexdigest()
    path = root / FOLDER / f"{digest[:16]}.npz"
    if not path.exists():
        with draft_of(path) as draft:
            draft.write_bytes(content.getvalue())
    count = len(next(iter(arrays.values())))
    in_turn = f": {count} sample{'s' * (count != 1)}, in turn"
    return tuple(
        replace(
            spec,
            values=replace(
                spec.values,
                text=text + (in_turn if spec.batch_axis is not None else ""),
                size=before.values.size if before.values is not None else "",
            ),
        )
        if spec.values is not None and spec.name in arrays
        else spec
        for before, spec in zip(inputs, with_samples(inputs, path), strict=True)
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
