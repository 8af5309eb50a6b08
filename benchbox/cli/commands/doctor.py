"""What can this machine run, and what will disturb a measurement on it?"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from benchbox.cli.flags.shared import common_options, json_option, write_json

if TYPE_CHECKING:
    from benchbox.report.views.doctor import Checkup


@click.command("doctor")
@json_option
@common_options
def command(as_json: bool) -> None:
    """Show what each backend needs to run here, the devices and counters, and what disturbs measurements.

    \b
    Examples:
      benchbox doctor
      benchbox doctor --json
    """
    from benchbox.report.views.doctor import document_from_checkup, render_checkup

    checkup = _checkup()
    if as_json:
        write_json(document_from_checkup(checkup))
        return
    click.echo(render_checkup(checkup))


def _checkup() -> Checkup:
    from benchbox.backends.base import BACKENDS
    from benchbox.backends.cuda.choice import LAYERS
    from benchbox.backends.probing import probe_of, probe_of_layer, supported_precisions
    from benchbox.flags.standing import standing_flags
    from benchbox.limits import effective_cpus
    from benchbox.machine.environment import capture
    from benchbox.machine.instruments import instruments
    from benchbox.machine.probes import take_probes
    from benchbox.metrics.probes import PROBES
    from benchbox.report.views.doctor import BackendState, Checkup, LayerState
    from benchbox.units import format_time

    environment = capture()  # before any probe: it would find this process on the GPU
    now = {PROBES[kind]: format_time(seconds) for kind, seconds in take_probes(effective_cpus()).items()}
    environment = replace(environment, observed={**environment.observed, **now})
    found = instruments()
    states = []
    for backend in sorted(BACKENDS, key=lambda found: -found.rank):
        availability = probe_of(backend)
        states.append(
            BackendState(
                name=backend.name,
                device=availability.device or backend.device,
                usable=availability.usable,
                builds=availability.builds,
                version=availability.version,
                precisions=supported_precisions(backend),
                reason=availability.reason,
                remedy=availability.remedy,
            )
        )
    layers = []
    for name in LAYERS:
        state = probe_of_layer(name)
        layers.append(LayerState(name=name, version=state.version, reason=state.reason, remedy=state.remedy))
    return Checkup(
        backends=tuple(states),
        layers=tuple(layers),
        environment=environment,
        instruments=found,
        flags=standing_flags(environment),
        threads=effective_cpus(),
    )
