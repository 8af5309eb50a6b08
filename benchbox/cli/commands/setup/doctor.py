"""What can this machine run, and what will disturb a measurement on it?"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from benchbox.cli.flags.device import device_option
from benchbox.cli.flags.shared import common_options, json_option, project_root, warn, write_json

if TYPE_CHECKING:
    from benchbox.report.views.doctor import Checkup, Probe


@click.command("doctor")
@device_option()
@click.option("--all", "every", is_flag=True, help="Also all that is known of hardware, software, counters and CUDA.")
@json_option
@common_options
def command(every: bool, as_json: bool) -> None:
    """Show what to change before measuring, what can run here, and how its state compares with stored records.

    The first call after an installation or a restart loads every runtime from disk and may take many seconds.

    \b
    Examples:
      benchbox doctor
      benchbox doctor --all
      benchbox doctor --json
    """
    from benchbox.report.views.doctor import document_from_checkup, render_checkup

    warn("asking every runtime; the first call loads them from disk and takes longer")
    checkup = _checkup()
    if as_json:
        write_json(document_from_checkup(checkup))
        return
    click.echo(render_checkup(checkup, every=every))


def _checkup() -> Checkup:
    import datetime

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
    from benchbox.store.clock import clock_doubt
    from benchbox.units import format_time

    environment = capture()  # before any probe: it would find this process on the GPU
    taken = take_probes(effective_cpus())
    now = {PROBES[kind]: format_time(seconds) for kind, seconds in taken.items()}
    stored = _probes_of_records(environment.hash)
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
        probes=tuple(_probe(kind, seconds, stored.get(PROBES[kind], [])) for kind, seconds in taken.items()),
        clock=clock_doubt(project_root(), datetime.datetime.now(datetime.UTC)),
    )


def _probe(kind: str, now_s: float, usual: list[float]) -> Probe:
    import statistics

    from benchbox.metrics.probes import HANDOVER, PROBES, SHIFTED
    from benchbox.report.views.doctor import Probe

    return Probe(
        title="core-to-core latency" if kind == HANDOVER else "arithmetic probe",
        metric=PROBES[kind],
        now_s=now_s,
        usual=(min(usual), statistics.median(usual), max(usual)) if usual else None,
        records=len(usual),
        limit=SHIFTED[kind],
    )


def _probes_of_records(environment: str) -> dict[str, list[float]]:
    """The times of each probe in the stored records of an environment, by metric."""
    from benchbox.errors import StoreError
    from benchbox.metrics.probes import PROBES
    from benchbox.store.records import readable_records, record_files

    found: dict[str, list[float]] = {}
    try:
        records = readable_records(record_files(project_root()), warn=lambda _: None)  # 'report' names damaged ones
    except StoreError:
        return found
    for _, record in records:
        if record.environment.hash == environment:
            for reading in record.readings:
                if reading.metric in PROBES.values():
                    found.setdefault(reading.metric, []).append(reading.value)
    return found
