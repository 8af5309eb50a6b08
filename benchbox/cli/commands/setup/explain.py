"""What does a name mean?"""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem

from benchbox.cli.flags.shared import common_options, json_option, write_json

WIDTH = 100


def _complete(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from benchbox.report.definitions import known_names

    return [CompletionItem(name) for name in known_names() if name.lower().startswith(incomplete.lower())]


@click.command("explain")
@click.argument("names", metavar="[NAME]...", nargs=-1, shell_complete=_complete)
@json_option
@common_options
def command(names: tuple[str, ...], as_json: bool) -> None:
    """Print the definition of a metric, flag, counter, mode, precision or column, offline.

    Without NAME: every name that has one.

    \b
    Examples:
      benchbox explain latency_p50
      benchbox explain CPU_STEAL BIMODAL
      benchbox explain
    """
    from benchbox.errors import UsageError
    from benchbox.registry import suggestion
    from benchbox.report.definitions import definitions, definitions_of, known_names
    from benchbox.report.screen import screen_width
    from benchbox.report.views.definitions import document_from_definitions, render_definitions

    width = min(WIDTH, screen_width() or WIDTH)
    found = []
    if len(names) > 1 and definitions_of(" ".join(names)):
        names = (" ".join(names),)  # a column's title of several words
    for name in names:
        rows = definitions_of(name)
        if not rows:
            raise UsageError(
                f"'{name}' has no definition",
                values=suggestion(name, known_names()),
                remedy="all names: benchbox explain",
            )
        found += [row for row in rows if row not in found]
    if as_json:
        write_json(document_from_definitions(found if names else definitions()))
    elif names:
        click.echo(render_definitions(found, width=width))
    else:
        click.echo(_overview(width))


def _overview(width: int) -> str:
    """All names by the kind of thing that they are."""
    from benchbox.report.definitions import definitions
    from benchbox.report.screen import folded

    kinds: dict[str, list[str]] = {}
    for each in definitions():
        kinds.setdefault(each.kind, []).extend(name for name in each.names if name not in kinds.get(each.kind, []))
    return "\n\n".join(
        "\n".join([f"{kind}:", *folded("  ".join(names), width, first="  ", indent="  ")])
        for kind, names in kinds.items()
    )
