"""What was assumed of inputs is said once, with what to do."""

from __future__ import annotations

from benchbox.flags.inputs import flags_of_inputs
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
