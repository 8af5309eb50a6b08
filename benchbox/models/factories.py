"""What network does a user's own code make: package.module:factory?

The code is somebody else's: whatever it raises becomes an error that names the cause, the line and a remedy for it.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from benchbox.errors import ArtifactError, BenchboxError, EnvironmentLackError, UsageError, one_line

if TYPE_CHECKING:
    from torch import nn

    from benchbox.models.examples import Example


def made_by_factory(reference: str) -> tuple[nn.Module, Example | None]:
    """The module that a factory returns, and its example inputs where it returns a pair of both.

    Args:
        reference: ``package.module:factory``; the working directory is searched first, as ``python -m`` does.

    Raises:
        UsageError: there is no such module or factory, it is not callable, needs arguments or returns no nn.Module,
            or example inputs of another kind.
        EnvironmentLackError: the code imports a package that is not installed.
        ArtifactError: the code raised anything else, SystemExit included; the exception and the line are in the values.
    """
    import torch
    from torch import nn

    from benchbox.models.examples import example_from_value

    module_name, _, factory_name = reference.partition(":")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    module = _imported(module_name)
    factory = _attribute(module, factory_name)
    if isinstance(factory, nn.Module):
        raise UsageError(
            f"{reference} is a network, not a function that returns one",
            values=f"a {type(factory).__name__}",
            remedy=f"name a function: def make(): return {factory_name}",
        )
    if not callable(factory):
        raise UsageError(
            f"{reference} is not callable",
            values=f"it is {factory!r:.80}, a {type(factory).__name__}",
            remedy="name a function or class that returns an nn.Module when called without arguments",
        )
    _require_no_arguments(factory, reference)
    try:
        made = factory()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit too: the command must not end as if it had done its work
        raise _failure(f"{reference} raised {type(error).__name__}", error, module_name) from error
    module, *inputs = made if isinstance(made, tuple | list) and len(made) == 2 else (made,)
    if isinstance(module, torch.export.ExportedProgram):
        raise UsageError(
            f"{reference} is a program that torch.export made, not a network",
            values="its batch and its branches are fixed as they were traced",
            remedy="return the nn.Module that it was made of; or write it with torch.onnx.export(program), and bring "
            "the ONNX file",
        )
    if not isinstance(module, nn.Module):
        raise UsageError(
            f"{reference} does not return a network",
            values=f"it returned {one_line(repr(made), 80)}, a {type(made).__name__}",
            remedy="it must return an nn.Module, or a pair of an nn.Module and its example inputs",
        )
    return module, example_from_value(inputs[0], reference) if inputs else None


def _imported(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except KeyboardInterrupt:
        raise
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise UsageError(
                f"there is no module {name}",
                values=f"{error}; searched {Path.cwd()} and the installed packages",
                remedy=f"run the command in the folder that holds {name.partition('.')[0]}, or install its package",
            ) from error
        raise _failure(f"importing {name} failed", error, name) from error
    except BaseException as error:
        raise _failure(f"importing {name} failed", error, name) from error


def _attribute(module: ModuleType, name: str) -> object:
    try:
        return getattr(module, name)
    except AttributeError as error:
        near = difflib.get_close_matches(name, [known for known in dir(module) if not known.startswith("_")], n=3)
        raise UsageError(
            f"module {module.__name__} has no attribute '{name}'",
            values=f"did you mean {' or '.join(repr(known) for known in near)}?" if near else f"{module.__file__}",
            remedy="name a function or class of the module that returns an nn.Module",
        ) from error


def _require_no_arguments(factory: Callable[..., object], reference: str) -> None:
    try:
        signature = inspect.signature(factory)
    except (TypeError, ValueError):  # compiled code may have none; calling it will show
        return
    try:
        signature.bind()
    except TypeError as error:
        name = reference.partition(":")[2]
        raise UsageError(
            f"{reference} must be callable without arguments",
            values=f"{error}: {name}{signature}",
            remedy=f"name a function without arguments that calls it: def make(): return {name}(...)",
        ) from error


def _failure(what: str, error: BaseException, module_name: str) -> BenchboxError:
    """The error for what a user's code raised."""
    text = one_line(error)
    values = f"{type(error).__name__}: {text}" if text else type(error).__name__
    line = line_of(error, module_name)
    values = f"{values}\n{line}" if line else values
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    if missing is None:
        return ArtifactError(what, values=values, remedy="correct the network's code")
    package = missing.partition(".")[0]
    if package != missing and importlib.util.find_spec(package) is not None:
        return EnvironmentLackError(
            what, values=values, remedy=f"install a version of {package} that has the module {missing}"
        )
    return EnvironmentLackError(what, values=values, remedy=f"install the package that provides '{package}'")


def line_of(error: BaseException, module_name: str) -> str:
    """Where the user's own code, a module, was when it raised: file, line and its text; "" where nothing is known."""
    if isinstance(error, SyntaxError) and error.filename and error.lineno:
        return f"{error.filename}, line {error.lineno}: {(error.text or '').strip()}".rstrip(": ")
    module = sys.modules.get(module_name)
    own = module.__file__ if module is not None else None
    frames = traceback.extract_tb(error.__traceback__)
    # Frames of this package and of the import system come first; then the user's code, which may call libraries.
    package = str(Path(__file__).parents[1])
    theirs = [frame for frame in frames if not frame.filename.startswith(package) and "importlib" not in frame.filename]
    here = str(Path.cwd())
    users = [
        frame
        for frame in theirs
        if frame.filename == own or (frame.filename.startswith(here) and "site-packages" not in frame.filename)
    ]
    if not theirs:
        return ""
    frame = (users or theirs)[-1]
    return f"{frame.filename}, line {frame.lineno}: {frame.line or ''}".rstrip(": ")
