"""Which command was asked for, and with which exit status does the process end?

This is the only place that ends the process and the only one that prints errors. Command modules are
imported on demand: ``benchbox --help`` imports no runtime, no pandas and no torch.
"""

from __future__ import annotations

import errno
import importlib
import os
import select
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from benchbox import __version__
from benchbox.cli.flags.shared import common_options
from benchbox.cli.signals import end_in_order_on_signal, finish_shutdown, was_signalled
from benchbox.cli.streams import make_streams_usable
from benchbox.errors import EXIT_BUG, EXIT_DONE, EXIT_INTERRUPTED, BenchboxError, StoreError

_PROGRAM = "benchbox"
_COMMANDS = "benchbox.cli.commands"
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_CODE = "python -c"
# Help is as wide as the terminal up to here; longer lines are hard to read.
_WIDEST_HELP = 110
_OF_REPORT = frozenset({"--format", "--output", "--csv"})
_COMPLETE = "_BENCHBOX_COMPLETE"  # the variable of a shell that asks for completions


def _module_of_command() -> dict[str, str]:
    """Where each command is: its name, the module's full name. A command is a file in a folder of ``commands/``."""
    # The folders are listed by hand: pkgutil alone would take a fifth of the time of `benchbox --help`.
    (top,) = importlib.import_module(_COMMANDS).__path__
    return {
        file[:-3]: f"{_COMMANDS}.{folder}.{file[:-3]}"
        for folder in os.listdir(top)  # noqa: PTH208
        if folder[0] != "_"
        for file in os.listdir(os.path.join(top, folder))  # noqa: PTH118, PTH208
        if file.endswith(".py") and file[0] != "_"
    }


class _CommandFolder(click.Group):
    """A group whose commands are the files under ``cli/commands/``, each with a ``command`` in it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of the command files, in alphabetical order."""
        return sorted(_module_of_command())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, its module imported now; None if there is no such file."""
        module = _module_of_command().get(cmd_name)
        if module is None:
            return None
        command: click.Command = importlib.import_module(module).command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's, but an unknown command is answered with the nearest known one."""
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            from benchbox.errors import UsageError
            from benchbox.registry import suggestion

            known = self.list_commands(ctx)
            raise UsageError(
                f"unknown command '{name}'", values=suggestion(name, known), remedy=f"commands: {', '.join(known)}"
            )
        return super().resolve_command(ctx, args)


@click.command(
    cls=_CommandFolder,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": _WIDEST_HELP},
    no_args_is_help=True,
)
@click.version_option(__version__, prog_name=_PROGRAM)
@common_options
def cli() -> None:
    """How fast does a network run here, how certain is that number, and what does it cost analytically?

    \b
    Examples:
      benchbox doctor                         what this machine can run
      benchbox run resnet50                   measure, check, record, report
      benchbox run --precision fp16           every exported model in fp16
      benchbox flops resnet50 --by module     the analytical cost
      benchbox report --format csv            all stored records
      benchbox gate                           is the newest night good?

    Exit status: 0 done · 2 usage · 3 something is missing on this machine · 4 a network or file is wrong · 5 a
    measurement failed · 6 the store cannot be read or written · 70 a bug · 130 interrupted. Of gate also: 1 a
    regression · 7 inconclusive · 8 the environment changed. Of choose: 7 undecided · 9 nothing qualifies
    """


_STOP_BISECTING = 128


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs the command line and ends the process with its exit status."""
    make_streams_usable()
    status = exit_status(sys.argv[1:] if arguments is None else list(arguments))
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _forget_stdout()
    except OSError as error:
        _forget_stdout()
        status = status or _unwritable_stdout(error)
    sys.exit(status)


def _named(arguments: Sequence[str]) -> str:
    """The program and the command that the first word names, for errors that click raises without one."""
    known = cli.list_commands(click.Context(cli))
    return f"{_PROGRAM} {arguments[0]}" if arguments and arguments[0] in known else _PROGRAM


def exit_status(arguments: Sequence[str]) -> int:
    """Runs one command and turns whatever happens into an exit status, printing errors to standard error."""
    debug = "--debug" in arguments
    end_in_order_on_signal()
    try:
        return _run(arguments)
    except BenchboxError as error:
        if debug:
            _print_traceback()
        if was_signalled():
            return _interrupted()  # the interrupt may have surfaced as an error of what was running
        _print_error(error.what, error.values, error.remedy)
        return error.exit_status
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.ClickException as error:
        command = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else _named(arguments)
        what, remedy = _lower_first(error.format_message()).rstrip("."), f"see '{command} --help'"
        if isinstance(error, click.NoSuchOption) and error.option_name in _OF_REPORT:
            what = f"no such option '{error.option_name}'"  # the nearest names would lead astray
            remedy = f"'{_PROGRAM} report' writes stored records to files, in several formats: see its --help"
        _print_error(what, "", remedy)
        # git bisect takes 2 for a bad commit.
        return _STOP_BISECTING if "--bisect" in arguments else error.exit_code
    except (KeyboardInterrupt, click.exceptions.Abort):
        return _interrupted()
    except (Exception, SystemExit) as error:
        if isinstance(error, BrokenPipeError) and _stdout_is_closed():
            _forget_stdout()
            return EXIT_DONE
        if debug:
            _print_traceback()
        if was_signalled():
            return _interrupted()
        if isinstance(error, OSError) and error.errno in _FULL and error.filename is None:
            return _unwritable_stdout(error)
        _print_error(
            "benchbox has a bug",
            f"{type(error).__name__}: {error}",
            "run the command again with --debug and report the traceback",
        )
        return EXIT_BUG
    finally:
        finish_shutdown()


def _run(arguments: Sequence[str]) -> int:
    """As click's own main, which would take every closed pipe for standard output and end the process by itself."""
    if instruction := os.environ.get(_COMPLETE):
        from click.shell_completion import shell_complete

        from benchbox.cli.completion import join_words_at_equals

        join_words_at_equals()
        return shell_complete(cli, {}, _PROGRAM, _COMPLETE, instruction)
    try:
        with cli.make_context(_PROGRAM, list(arguments)) as context:
            outcome = cli.invoke(context)
    except click.exceptions.Exit as end:
        return end.exit_code
    return outcome if isinstance(outcome, int) else EXIT_DONE


def _unwritable_stdout(error: OSError) -> int:
    _print_error(
        "there is no space left to write to",
        f"standard output or the disk: {error.strerror or error}",
        "free some, or write to another place; 'benchbox report' shows what was stored",
    )
    return StoreError.exit_status


def _stdout_is_closed() -> bool:
    """Whether the reader of standard output is gone: another pipe may break too, and that is an error."""
    try:
        descriptor = sys.stdout.fileno()
    except (OSError, ValueError):  # not a file, or closed
        return False
    watch = select.poll()
    watch.register(descriptor, select.POLLOUT)
    return any(state & (select.POLLERR | select.POLLHUP) for _, state in watch.poll(0))


def _interrupted() -> int:
    click.echo("interrupted; what was finished is kept", err=True)
    return EXIT_INTERRUPTED


def _print_traceback() -> None:
    import traceback

    traceback.print_exc()


def _print_error(what: str, values: str, remedy: str) -> None:
    word = "Error:"
    first = _folded(f"{word} {what}", indent="").replace(word, click.style(word, fg="red", bold=True), 1)
    lines = [first, *(_folded(line) for part in (values, remedy) for line in part.splitlines())]
    click.echo("\n".join(lines), err=True, color=False if os.environ.get("NO_COLOR") else None)


def _folded(line: str, *, indent: str = "  ") -> str:
    """A line of an error, set back, and on a terminal broken between words; a line of code stays one."""
    if not sys.stderr.isatty() or _CODE in line:
        return f"{indent}{line}"
    import shutil

    from benchbox.report.screen import folded

    return "\n".join(folded(line, max(20, shutil.get_terminal_size().columns), first=indent, indent=f"{indent}  "))


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]


def _forget_stdout() -> None:
    # The reader closed the pipe; without this the interpreter complains once more when it flushes at exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
