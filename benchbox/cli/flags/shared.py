"""Which flags does every command have, how do several become one value, and how is a document printed?"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from benchbox.cli.flags.kinds import CUDA_LAYER

if TYPE_CHECKING:
    from pathlib import Path

F = TypeVar("F", bound=Callable[..., Any])


def common_options(function: F) -> F:
    """``--root`` and ``--debug``, accepted before and after the command's name."""

    def keep_root(ctx: click.Context, _: click.Parameter, value: str | None) -> None:
        if value is not None:
            ctx.find_root().meta["benchbox.root"] = value

    function = click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error.")(
        function
    )
    return click.option(
        "--root",
        metavar="DIR",
        expose_value=False,
        is_eager=True,
        callback=keep_root,
        type=click.Path(),
        help="Project root that holds engines/ and results/ [default: BENCHBOX_ROOT, else the current directory].",
    )(function)


def project_root(ctx: click.Context | None = None) -> Path:
    """The folder that holds engines/ and results/: ``--root``, else BENCHBOX_ROOT, else the current directory.

    ``ctx`` is that of a completion, None for that of the command that runs. Raises StoreError where it is a file: found
    out before anything is made that could not be kept.
    """
    root = _named_root(ctx or click.get_current_context())
    if ctx is None and root.exists() and not root.is_dir():
        from benchbox.errors import StoreError

        raise StoreError(
            "the project root is a file",
            values=str(root.resolve()),
            remedy="give the folder that is to hold engines/ and results/ by --root or BENCHBOX_ROOT",
        )
    return root


def _named_root(ctx: click.Context) -> Path:
    from pathlib import Path

    asked = ctx.find_root().meta.get("benchbox.root")
    return Path(asked or os.environ.get("BENCHBOX_ROOT") or ".")


def stored_root() -> Path:
    """The project root of a command that reads records; raises UsageError where the folder does not exist."""
    from benchbox.errors import UsageError

    root = _named_root(click.get_current_context())
    if not root.is_dir():
        raise UsageError(
            "the project root does not exist",
            values=f"no folder {root.resolve()}",
            remedy="give the folder that holds results/ by --root or BENCHBOX_ROOT",
        )
    return root


json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")


def cuda_option(function: F) -> F:
    """``--cuda``: the package that CUDA is driven through; handed on in the environment, as workers read it there."""

    def choose(_: click.Context, __: click.Parameter, value: str | None) -> None:
        if value is not None:
            from benchbox.backends.cuda.choice import CHOICE_VARIABLE

            os.environ[CHOICE_VARIABLE] = value

    return click.option(
        "--cuda",
        metavar="LAYER",
        type=CUDA_LAYER,
        expose_value=False,
        callback=choose,
        help="Use CUDA through cuda-bindings or pycuda [default: BENCHBOX_CUDA, else cuda-bindings].",
    )(function)


def plugin_option(function: F) -> F:
    """``--plugin-lib``: libraries of TensorRT plugins; handed on in the environment, to builders and workers."""

    def choose(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> None:
        if values:
            from pathlib import Path

            from benchbox.backends.tensorrt.plugins import LIBRARIES_VARIABLE, plugin_libraries

            os.environ[LIBRARIES_VARIABLE] = os.pathsep.join(str(Path(path).absolute()) for path in values)
            plugin_libraries()  # a wrong name ends the command before anything is built

    return click.option(
        "--plugin-lib",
        metavar="FILE",
        type=click.Path(),
        multiple=True,
        expose_value=False,
        callback=choose,
        help="Load a library of TensorRT plugins, and build with its operators; repeatable [default: "
        "BENCHBOX_PLUGIN_LIBS].",
    )(function)


def grouped(name: str, kind: Callable[..., object], *options: Callable[[Any], Any]) -> Callable[[F], F]:
    """Several options as one argument of a command.

    Args:
        name: of the argument.
        kind: makes its value; each option gives a keyword argument of it.
        options: in the order in which the help shows them.
    """

    def decorate(function: F) -> F:
        collected = _with_options(lambda: None, options)
        names = {parameter.name for parameter in parameters_of(collected)}

        def command(**given: Any) -> Any:
            values = {option: given.pop(option) for option in names & given.keys()}
            return function(**given, **{name: kind(**values)})

        command.__doc__ = function.__doc__
        set_parameters(command, [*parameters_of(function), *parameters_of(collected)])
        return command  # type: ignore[return-value]

    return decorate


def _with_options(function: Any, options: tuple[Callable[[Any], Any], ...]) -> Any:
    for option in reversed(options):
        function = option(function)
    return function


def parameters_of(function: Any) -> list[click.Parameter]:
    """The options that decorators have added so far, the last of the help first."""
    found: list[click.Parameter] = getattr(function, "__click_params__", [])
    return found


def set_parameters(function: Any, parameters: list[click.Parameter]) -> None:
    """Gives a function the options of another."""
    function.__click_params__ = parameters


def warn(line: str) -> None:
    """Prints one line to standard error, folded between words where that is a terminal."""
    import shutil
    import sys

    from benchbox.report.screen import wrapped

    width = shutil.get_terminal_size().columns if sys.stderr.isatty() else None
    click.echo(wrapped(line, width), err=True)


def write_json(document: object) -> None:
    """Prints one JSON document to standard output; numbers that are not finite become null."""
    from benchbox.store.documents import json_text

    click.echo(json_text(document))
