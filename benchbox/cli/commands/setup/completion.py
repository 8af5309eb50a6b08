"""How does the shell complete benchbox's commands, flags, models and backends?"""

from __future__ import annotations

import click

from benchbox.cli.flags.shared import common_options


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@common_options
def command(shell: str) -> None:
    """Print the script that completes benchbox in a shell.

    \b
    Examples:
      benchbox completion bash >> ~/.bashrc
      benchbox completion zsh >> ~/.zshrc
      benchbox completion fish > ~/.config/fish/completions/benchbox.fish
    """
    from click.shell_completion import get_completion_class

    writer = get_completion_class(shell)
    assert writer is not None, "click writes completion for bash, zsh and fish"
    root = click.get_current_context().find_root().command
    click.echo(writer(root, {}, "benchbox", "_BENCHBOX_COMPLETE").source())
