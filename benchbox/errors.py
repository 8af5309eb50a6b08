"""Which errors can happen, and with which exit status does the command line report each?

    BenchboxError
    ├── UsageError              2   unknown name, impossible combination, wrong input
    │   └── InputsError             sizes or inputs that the network does not have, or that do not fit it
    ├── EnvironmentLackError    3   a dependency or a device is missing
    ├── ArtifactError           4   export, engine build, damaged file
    │   ├── NumericsError           outputs beyond tolerance, infinite or undefined
    │   └── SizesError              the network does not run with these sizes of its inputs
    ├── MeasurementError        5   numbers were not taken or cannot be trusted
    │   └── DeviceMemoryError       the memory of a GPU does not suffice
    └── StoreError              6   a record, a network or an engine cannot be written, read or compared

Every message has three parts: what happened, the values, what to do about it.
"""

from __future__ import annotations

from typing import Any, ClassVar

EXIT_DONE = 0
EXIT_REGRESSION = 1
EXIT_INCONCLUSIVE = 7
EXIT_ENVIRONMENT_CHANGED = 8
EXIT_NOTHING_QUALIFIES = 9
EXIT_BUG = 70
EXIT_INTERRUPTED = 130


class BenchboxError(Exception):
    """An error that the user can act on.

    Args:
        what: what happened, one sentence without the full stop.
        values: the values involved, in words ("got 'resnet5'; known: lenet5, resnet50").
        remedy: what to do about it.
    """

    exit_status: ClassVar[int] = EXIT_BUG

    def __init__(self, what: str, *, values: str = "", remedy: str = "") -> None:
        super().__init__(what, values, remedy)
        self.what = what
        self.values = values
        self.remedy = remedy

    def __reduce__(self) -> tuple[object, ...]:
        """Errors travel between processes; their keyword arguments would get lost otherwise."""
        return _rebuilt, (type(self), self.what, self.values, self.remedy)

    def __str__(self) -> str:
        """The three parts, one a line, empty parts left out."""
        return "\n".join(part for part in (self.what, self.values, self.remedy) if part)


def one_line(text: object, most: int = 400) -> str:
    """A text in one line, which ends in "…" where it would have more than so many characters."""
    line = " ".join(str(text).split())
    return line if len(line) <= most else f"{line[: most - 2]} …"


def bug_from_error(error: Exception) -> BenchboxError:
    """An exception that nobody expected, as an error with exit status 70, so that other cases of a matrix go on."""
    return BenchboxError(
        "this is a bug in benchbox",
        values=f"{type(error).__name__}: {one_line(error) or 'no reason given'}",
        remedy="run this case alone with --debug for the traceback, and report it",
    )


def _rebuilt(kind: type[BenchboxError], what: str, values: str, remedy: str) -> BenchboxError:
    return kind(what, values=values, remedy=remedy)


class UsageError(BenchboxError):
    """The command was asked for something that does not exist or cannot be."""

    exit_status = 2


class InputsError(UsageError):
    """Sizes or inputs were asked for that the network does not have, or that do not fit it.

    It is a mistake of whoever asked, and no result of the network: no record is made of it, unless the same sizes fit
    another network of the run.
    """


class EnvironmentLackError(BenchboxError):
    """This machine lacks a package or a device that the command needs."""

    exit_status = 3


class ArtifactError(BenchboxError):
    """A network could not be turned into a correct file, or a file is damaged."""

    exit_status = 4


class NumericsError(ArtifactError):
    """Outputs are beyond tolerance, infinite or undefined: nothing is published for them.

    Args:
        what, values, remedy: as for every error.
        hops: the comparisons made up to there (``schema.artifact.Hop``), for the record.
    """

    def __init__(self, what: str, *, values: str = "", remedy: str = "", hops: tuple[Any, ...] = ()) -> None:
        super().__init__(what, values=values, remedy=remedy)
        self.hops = hops

    def __reduce__(self) -> tuple[object, ...]:
        """As for every error; the hops travel too."""
        return *super().__reduce__(), {"hops": self.hops}


class SizesError(ArtifactError):
    """A network does not run with these sizes of its inputs: the sizes are wrong, or the network is."""


class MeasurementError(BenchboxError):
    """Numbers could not be taken, or were taken and cannot be trusted."""

    exit_status = 5


class DeviceMemoryError(MeasurementError):
    """The memory of a GPU does not suffice; the values name how much was asked for."""


class StoreError(BenchboxError):
    """A record or an artifact cannot be written, read or compared; the message names the file."""

    exit_status = 6
