"""Did the outputs stay the same while they were timed?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from benchbox.schema.reading import Flag, Severity
from benchbox.schema.trial import OutputsSeen, Trial
from benchbox.units import counted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchbox.schema.artifact import Hop

    Outputs = Mapping[str, NDArray[np.generic]]


CODE = "OUTPUT_CHANGED"
UNCHECKED = "UNCHECKED"


def flags_of_unchecked(reason: str) -> Iterator[Flag]:
    """The flag of outputs that nobody can judge: the numbers stand, and no verdict builds on them."""
    yield Flag(code=UNCHECKED, severity=Severity.ERROR, message=f"the outputs could not be verified: {reason}")


def flags_of_empty(outputs: Sequence[str]) -> Iterator[Flag]:
    """The flag of outputs of which nothing could be compared, as the boxes of a detector that finds none in noise."""
    if outputs:
        yield Flag(
            code="OUTPUT_EMPTY",
            severity=Severity.WARNING,
            message=f"{', '.join(outputs)}: empty for all samples that outputs were compared on, so nothing was "
            "compared there, and less ran than on inputs that give something: feed real ones with --inputs FILE.npz",
        )


def flags_of_lists(hops: Sequence[Hop]) -> Iterator[Flag]:
    """The flag of rows that came in another order, as those of a detector with nearly equal scores do."""
    moved = [hop for hop in hops if hop.reordered]
    if moved:
        hop = max(moved, key=lambda found: found.reordered)
        yield Flag(
            code="ROWS_REORDERED",
            severity=Severity.INFO,
            message=f"{counted(hop.reordered, 'row')} of the list by scores came in another order in {hop.source} -> "
            f"{hop.target}, within ties: their scores are as near as the tolerance of the precision, and each was "
            "compared with its own row",
            size=hop.reordered,
        )


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
            f"{hop.source} -> {hop.target}: {_distance(hop)}, beyond tolerance: look for state that the network keeps "
            "between runs",
            size=hop.rel_l2_error,
        )
    elif changes:
        hop = max(changes, key=lambda found: found.rel_l2_error)
        yield Flag(
            code=CODE,
            severity=Severity.INFO,
            message=f"equal inputs gave different bits in {len(changes)} of {len(seen)} processes ({_distance(hop)}, "
            "within tolerance): the runtime's order of summation varies",
            size=hop.rel_l2_error,
        )
    elif len({each.sha256 for each in seen}) > 1:
        yield Flag(
            code=CODE,
            severity=Severity.INFO,
            message=f"equal inputs gave {len({each.sha256 for each in seen})} different sets of bits in {len(seen)} "
            "processes, all within tolerance: the runtime chose different kernels or orders of summation",
        )


def _processes_of(seen: Sequence[OutputsSeen], hops: Sequence[Hop]) -> int:
    return sum(each.change in hops or each.reference in hops for each in seen)


def _distance(hop: Hop) -> str:
    if hop.fault or not np.isfinite(hop.rel_l2_error):
        return hop.fault or "not comparable (NaN, infinity, or another shape)"
    return f"relative L2 error {hop.rel_l2_error:.3g}"
