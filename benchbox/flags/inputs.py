"""Was anything about the inputs assumed, and why is a batch size measured that nobody asked for?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchbox.flags.seen import flag
from benchbox.schema.reading import Flag, Severity
from benchbox.schema.record import FedInput


def flags_of_inputs(inputs: Sequence[FedInput]) -> Iterator[Flag]:
    """Numbers whose range is a guess, sizes that nobody said, and networks in which no axis counts samples."""
    if assumed := [given for given in inputs if given.assumed]:
        fed = "; ".join(f"{given.name}: {given.values}" for given in assumed)
        yield flag(
            "INPUT_RANGE_ASSUMED",
            Severity.WARNING,
            f"what these inputs take is not in the file ({fed}): give real ones with --inputs FILE.npz",
        )
    if sizes := list(dict.fromkeys(given.size for given in inputs if given.size)):
        yield flag(
            "INPUT_SIZE_ASSUMED",
            Severity.INFO,
            f"the network takes inputs of other sizes too, and nobody said which: {', '.join(sizes)}; --input says it",
        )
    if inputs and all(given.batch_axis is None for given in inputs):
        yield flag(
            "NO_BATCH_AXIS",
            Severity.INFO,
            "no axis of the inputs is known to count samples: one inference is one sample; name the axis with "
            "--batch-axis NAME=AXIS if there is one",
        )


def flag_of_batch(size: int, notes: Sequence[str]) -> Flag:
    """Why a network is measured at the one batch size that it takes, which nobody asked for.

    Args:
        size: of the batch.
        notes: what is known of its file; one of them may say the reason.
    """
    reason = next((words for words in notes if f"a batch of {size} only" in words), "its file fixes it")
    return flag("BATCH_OF_NETWORK", Severity.INFO, f"measured at a batch of {size}, the network's own: {reason}")
