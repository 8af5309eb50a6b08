"""Do the outputs stay the same from run to run, and are they still right after the last timed one?

The check process compares outputs before anything is timed. A timed process looks again, outside the clock: the outputs
of one slot after its warm-up and after its samples must be the same bits, as its inputs are; and afterwards a batch of
reference samples must still give the reference.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from benchbox.schema.model import Precision
from benchbox.schema.trial import OutputsSeen
from benchbox.stats.agreement import TOLERANCES, hop_from_outputs, worse_hop

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchbox.backends.base import Session
    from benchbox.schema.artifact import Hop

    Outputs = Mapping[str, NDArray[np.generic]]

_FIRST, _LAST = "after the warm-up", "after the samples"


def outputs_of(sessions: Sequence[Session]) -> list[dict[str, NDArray[np.generic]]]:
    """What each session's last inference on slot 0 gave; every block of samples begins there."""
    return [session.download(0) for session in sessions]


def digest_of(outputs: Sequence[Outputs]) -> str:
    """SHA-256 of the bits of all outputs, by name."""
    digest = hashlib.sha256()
    for each in outputs:
        for name in sorted(each):
            array = np.ascontiguousarray(each[name])
            digest.update(f"{name} {array.dtype} {array.shape}".encode())
            digest.update(array.tobytes())
    return digest.hexdigest()


def outputs_seen(
    first: Sequence[Outputs],
    last: Sequence[Outputs],
    *,
    precision: Precision,
    reference: Hop | None,
    bounded: Collection[str] = (),
    finite: bool = True,
) -> OutputsSeen:
    """What a timed process saw of its outputs.

    Args:
        first: of each session, after the warm-up.
        last: of each session, after the samples, of the same inputs.
        precision: decides how far they may be apart.
        reference: how far the outputs of reference samples were from the reference at the very end; None where there is
            none.
        bounded: names of outputs of functions with a range of their own.
        finite: whether the outputs of the reference samples are: then infinity and NaN in others are wrong.
    """
    digest = digest_of(first)
    lost = finite and not all(np.isfinite(array).all() for each in last for array in each.values())
    change = None
    if digest != digest_of(last) or lost:
        for one, other in zip(first, last, strict=True):
            wanted = {name: np.where(np.isfinite(array), array, 0) for name, array in one.items()} if finite else one
            hop = hop_from_outputs(_FIRST, _LAST, wanted, other, TOLERANCES[precision], bounded=bounded)
            change = hop if change is None else worse_hop(change, hop)
    return OutputsSeen(sha256=digest, change=change, reference=reference)
