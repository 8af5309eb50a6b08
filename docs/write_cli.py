"""What does every command accept? Writes docs/cli.md from the commands' own help: ``python docs/write_cli.py``."""

from __future__ import annotations

from pathlib import Path

import click

from benchbox.cli import cli

PAGE = Path(__file__).with_name("cli.md")
WIDTH = 110


def command_names() -> list[str]:
    """Every command, in the order of ``benchbox --help``; those of a group follow it ("baseline accept")."""
    assert isinstance(cli, click.Group)
    context = click.Context(cli)
    found = []
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        inner = command.list_commands(context) if isinstance(command, click.Group) else []
        found += [name, *(f"{name} {part}" for part in inner)]
    return found


def help_text(name: str) -> str:
    """The help of one command as printed on a terminal of ``WIDTH`` columns; "" is benchbox itself."""
    top = cli.make_context("benchbox", [], resilient_parsing=True, terminal_width=WIDTH)
    if not name:
        return cli.get_help(top)
    command: click.Command = cli
    context = top
    for part in name.split():
        assert isinstance(command, click.Group)
        found = command.get_command(context, part)
        assert found is not None
        command = found
        context = command.make_context(part, [], parent=context, resilient_parsing=True, terminal_width=WIDTH)
    return command.get_help(context)


def page() -> str:
    """The whole of docs/cli.md."""
    parts = [
        "# The command line",
        "Written by `docs/write_cli.py` from the commands' own help; a test keeps it true.",
        f"```text\n{help_text('')}\n```",
    ]
    parts += [f"## {name}\n\n```text\n{help_text(name)}\n```" for name in command_names()]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
