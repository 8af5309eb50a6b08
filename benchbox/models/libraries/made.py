"""What does every library's adapter give, and how does it say what went wrong in somebody else's code?"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from benchbox.errors import ArtifactError, EnvironmentLackError, one_line

if TYPE_CHECKING:
    from torch import nn

    from benchbox.models.examples import Example

_REASON_CHARACTERS = 200


@dataclass(frozen=True, kw_only=True)
class LibraryNetwork:
    """A module with example inputs; where its weights came from, what the user should know.

    ``used`` are the names of sizes that the user gave and that are in the example now, ``open`` by the name of an input
    (or "" for all) the sizes that nobody said and the network leaves open. ``simplify`` is that of ``Network``.
    ``axes`` are those that count samples, one for each input and None where none does, if the library's own rules say
    so; without them the network is run to see.
    """

    module: nn.Module
    example: Example
    weights: str
    notes: tuple[str, ...] = ()
    used: frozenset[str] = field(default_factory=frozenset)
    open: Mapping[str, str] = field(default_factory=dict)
    simplify: Callable[[], str] | None = None
    axes: tuple[int | None, ...] | None = None


def imported(package: str, extra: str) -> Any:
    """A library; raises EnvironmentLackError where it is missing, or does not work with what is installed."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise EnvironmentLackError(
            f"{extra}: needs the package {package}", values=str(error), remedy=f"pip install 'benchbox[{extra}]'"
        ) from error
    except Exception as error:  # a build for another PyTorch raises RuntimeError
        raise EnvironmentLackError(
            f"{extra}: the package {package} cannot be imported",
            values=reason_of(error),
            remedy="install builds that belong together: pip install --upgrade torch torchvision, from one index",
        ) from error


def part_of_library(library: Any, name: str) -> Any:
    """A class of a library that imports its parts when they are asked for; None where it has no such.

    Raises EnvironmentLackError for one that it has, and that does not work with what is installed.
    """
    try:
        return getattr(library, name, None)
    except Exception as error:  # ImportError, or whatever a package raises that was built for another PyTorch
        raise EnvironmentLackError(
            f"{library.__name__} has {name}, which cannot be imported",
            values=reason_of(_first_cause(error)),
            remedy="install builds that belong together: pip install --upgrade torch torchvision, from one index; "
            "or remove torchvision, if this network needs none",
        ) from error


def _first_cause(error: BaseException) -> BaseException:
    while (before := error.__cause__ or error.__context__) is not None:
        error = before
    return error


def failed(what: str, error: Exception) -> ArtifactError:
    """The error for what a library's own code raised."""
    return ArtifactError(what, values=reason_of(error), remedy="check that this version of the library has it")


def reason_of(error: BaseException) -> str:
    """An exception in one line."""
    text = one_line(error, _REASON_CHARACTERS)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
