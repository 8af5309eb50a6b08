"""What does a user's file give in a runtime's usual way, and is that what its judge says?

A runtime whose optimised outputs are wrong makes no file wrong: the case of that runtime fails its own check, the other
backends are measured.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from benchbox.errors import BenchboxError
from benchbox.export.check_set import CheckSet
from benchbox.export.judging import UNOPTIMISED, Judged, does_not_run, is_lack, is_steady, reason_of
from benchbox.export.verification import Evaluated, outputs_from_onnx
from benchbox.schema.artifact import Hop
from benchbox.schema.model import Precision
from benchbox.stats.agreement import TOLERANCES, distance_in_words, hop_from_outputs


@dataclass(frozen=True, kw_only=True)
class Compared:
    """The outputs of a file in a runtime's usual way, None where they are of no use, and how far they are off.

    ``doubt`` says why outputs of this file cannot be checked at all, "" where they can.
    """

    made: Evaluated | None
    hops: tuple[Hop, ...] = ()
    doubt: str = ""
    warnings: tuple[str, ...] = ()


def own_outputs(
    path: Path,
    check: CheckSet,
    judged: Judged,
    *,
    precision: Precision,
    rest: Precision,
    bounded: Collection[str],
    ranked: Collection[str],
    randomness: str,
) -> Compared:
    """Runs a file as runtimes do and compares it with its judge.

    Args:
        path: of the file.
        check: the samples, with the outputs as the judge gave them.
        judged: what the judge says.
        precision: of the graph.
        rest: the precision of its layers that are not quantised.
        bounded: outputs of functions with a range of their own.
        ranked: outputs that list rows by their scores.
        randomness: which nodes draw random numbers, in words; "" where none does.

    Raises:
        ArtifactError: the runtime that judged the file cannot run it in its usual way.
    """
    if judged.outputs is None:
        return Compared(made=None, doubt=f"no judge can run it: {'; '.join(judged.refusals)}")
    try:
        made = outputs_from_onnx(path, check, precision=precision, fallback=rest)
    except Exception as error:  # ONNX Runtime's errors share no public base class
        if judged.form != UNOPTIMISED or is_lack(error):
            return Compared(made=None)  # the runtime cannot run it as it is; others may
        if isinstance(error, BenchboxError):
            raise
        raise does_not_run(path, reason_of(error), check.inputs) from error
    hop = hop_from_outputs(
        judged.form,
        made.form,
        judged.outputs,
        made.outputs,
        TOLERANCES[precision],
        bounded=bounded,
        ranked=ranked,
    )
    if randomness:
        steady = hop.passed and is_steady(path, check)
        return Compared(made=made, hops=(hop,), doubt="" if steady else randomness)
    if hop.passed:
        return Compared(made=made, hops=(hop,))
    words = f"{made.evaluator} computes something else when it optimises the graph: {distance_in_words(hop)}"
    return Compared(made=None, warnings=(words,))
