"""What was assumed of inputs is said once, with what to do."""

from __future__ import annotations

import pytest

from benchbox.flags.inputs import flag_of_batch, flags_of_inputs
from benchbox.schema.reading import Severity
from benchbox.schema.record import FedInput


def fed(name: str, *, assumed: bool = False, size: str = "", axis: int | None = 0) -> FedInput:
    return FedInput(name=name, dtype="int64", shape=(1, 8), batch_axis=axis, values="v", assumed=assumed, size=size)


def test_what_is_known_raises_nothing() -> None:
    assert not list(flags_of_inputs([fed("ids"), fed("mask", axis=None)]))
    assert not list(flags_of_inputs([]))


def test_sizes_that_nobody_said_are_named_once() -> None:
    given = [fed("ids", size="sequence=128"), fed("mask", size="sequence=128"), fed("next", size="decoder_sequence=16")]
    (flag,) = flags_of_inputs(given)
    assert (flag.code, flag.severity) == ("INPUT_SIZE_ASSUMED", Severity.INFO)
    assert "sequence=128, decoder_sequence=16;" in flag.message


def test_numbers_and_axes_that_nothing_says() -> None:
    numbers, axis = flags_of_inputs([fed("kind", assumed=True, axis=None)])
    assert (numbers.code, numbers.severity) == ("INPUT_RANGE_ASSUMED", Severity.WARNING)
    assert "kind: v" in numbers.message
    assert axis.code == "NO_BATCH_AXIS"


@pytest.mark.parametrize(
    ("warnings", "words"),
    [
        ((), "measured at a batch of 4, the network's own: its file fixes it"),
        (("a fact", "it takes a batch of 4 only (why)"), "the network's own: it takes a batch of 4 only (why)"),
    ],
)
def test_a_batch_that_nobody_asked_for_has_a_reason(warnings: tuple[str, ...], words: str) -> None:
    found = flag_of_batch(4, warnings)
    assert (found.code, found.severity) == ("BATCH_OF_NETWORK", Severity.INFO)
    assert words in found.message
