"""Do the outputs stay the same from run to run, and are they still right after the last timed one?

The check process compares outputs before anything is timed. A timed process looks again, outside the clock: the outputs
of one slot after its warm-up and after its samples must be the same bits, as its inputs are; and afterwards a batch of
reference samples must still give the reference.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from benchbox.schema.model import Precision
from benchbox.schema.reading import Flag, OutputsSeen, Severity, Trial
from benchbox.stats.agreement import TOLERANCES, hop_from_outputs, worse_hop

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchbox.backends.base import Session
    from benchbox.schema.artifact import Hop

    Outputs = Mapping[str, NDArray[np.generic]]

CODE = "OUTPUT_CHANGED"
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
    first: Sequence[Outputs], last: Sequence[Outputs], *, precision: Precision, reference: Hop
) -> OutputsSeen:
    """What a timed process saw of its outputs.

    Args:
        first: of each session, after the warm-up.
        last: of each session, after the samples, of the same inputs.
        precision: decides how far they may be apart.
        reference: how far the outputs of reference samples were from the reference at the very end.
    """
    digest = digest_of(first)
    finite = all(np.isfinite(array).all() for each in last for array in each.values())
    change = None
    if digest != digest_of(last) or not finite:
        for one, other in zip(first, last, strict=True):
            hop = hop_from_outputs(_FIRST, _LAST, one, other, TOLERANCES[precision])
            change = hop if change is None else worse_hop(change, hop)
    return OutputsSeen(sha256=digest, change=change, reference=reference)


def flags_of_outputs(trials: Sequence[Trial]) -> Iterator[Flag]:
    """The flag of outputs that changed: an error beyond tolerance, else information; none where all bits agree.

    Args:
        trials: timed ones.
    """
    seen = [trial.outputs for trial in trials if trial.outputs is not None]
    wrong = [hop for each in seen for hop in (each.change, each.reference) if hop is not None and not hop.passed]
    changes = [each.change for each in seen if each.change is not None]
    if wrong:
        hop = max(wrong, key=lambda found: found.rel_l2_error)
        yield Flag(
            code=CODE,
            severity=Severity.ERROR,
            message=f"outputs changed while they were timed, in {_processes_of(seen, wrong)} of {len(seen)} processes: "
            f"{hop.source} -> {hop.target}: {_distance(hop)}, beyond tolerance: find out what the network keeps from "
            "run to run",
        )
    elif changes:
        hop = max(changes, key=lambda found: found.rel_l2_error)
        yield Flag(
            code=CODE,
            severity=Severity.INFO,
            message=f"the same inputs gave other bits in {len(changes)} of {len(seen)} processes ({_distance(hop)}, "
            "within tolerance): the runtime adds in another order each time",
        )
    elif len({each.sha256 for each in seen}) > 1:
        yield Flag(
            code=CODE,
            severity=Severity.INFO,
            message=f"the same inputs gave {len({each.sha256 for each in seen})} different sets of bits in {len(seen)} "
            "processes, all within tolerance: the runtime chose other kernels or another order",
        )


def _processes_of(seen: Sequence[OutputsSeen], hops: Sequence[Hop]) -> int:
    return sum(each.change in hops or each.reference in hops for each in seen)


def _distance(hop: Hop) -> str:
    if not np.isfinite(hop.rel_l2_error):
        return "not comparable (NaN, infinity, or another shape)"
    return f"relative L2 error {hop.rel_l2_error:.3g}"
