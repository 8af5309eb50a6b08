"""Which networks does the zoo hold, and what is known about them?"""

from __future__ import annotations

import click

from benchbox.cli.flags.shared import common_options, json_option, write_json


@click.command("models")
@json_option
@common_options
def command(as_json: bool) -> None:
    """List the zoo: parameters, MACs, activation memory, published accuracy, paper.

    \b
    Examples:
      benchbox models
      benchbox models --json
    """
    from benchbox.models.zoo.zoo import specs
    from benchbox.report.views.zoo import document_from_specs, render_specs

    if as_json:
        write_json(document_from_specs(tuple(specs().values())))
        return
    click.echo(render_specs(tuple(specs().values())))
