"""How fast is this machine at most?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from benchbox.cli.flags.device import device_option
from benchbox.cli.flags.kinds import CEILING_LIBRARY, PRECISION, Listed
from benchbox.cli.flags.shared import common_options, cuda_option, json_option, project_root, write_json

if TYPE_CHECKING:
    from benchbox.schema.model import Precision


@click.command("ceilings")
@click.option(
    "--quick",
    is_flag=True,
    help="One shape in two processes and main memory alone, within half a minute; no roof is taken from it.",
)
@click.option(
    "--backend",
    "libraries",
    metavar="B,...",
    type=Listed(CEILING_LIBRARY),
    help="Backends to ask, or numpy, for example openvino,numpy [default: all that can run here].",
)
@click.option(
    "--precision",
    "precisions",
    metavar="P,...",
    type=Listed(PRECISION),
    help="Precisions, for example fp32,int8 [default: those that the device may have instructions for].",
)
@json_option
@device_option()
@cuda_option
@common_options
def command(
    quick: bool,
    libraries: tuple[str, ...] | None,
    precisions: tuple[Precision, ...] | None,
    as_json: bool,
) -> None:
    """Measure this machine's own peak FLOP/s per precision and its memory bandwidth per level, and store them.

    Networks of one operator run through every backend, in fresh processes that prove the precision they computed in,
    and numpy is called directly. The best of all libraries and shapes is the machine's ceiling; a precision that runs
    behind casts has none. Results are kept per environment in results/ceilings/, where 'layers' and
    'flops --precision P --device here' find them. A measured ceiling is a lower bound of the true peak.

    \b
    Examples:
      benchbox ceilings
      benchbox ceilings --quick
      benchbox ceilings --backend openvino --precision fp32,int8 --json
    """
    from benchbox.cli.progress import shown_progress
    from benchbox.jobs.ceilings import Wanted, measured_ceilings
    from benchbox.report.views.ceilings import render_ceilings
    from benchbox.store.ceilings import document_from_ceilings

    wanted = Wanted(libraries=libraries or (), precisions=precisions or (), quick=quick)
    with shown_progress() as progress:
        found = measured_ceilings(wanted, root=project_root(), progress=progress)
    if not as_json:
        click.echo(render_ceilings(found))
        return
    documents = [document_from_ceilings(ceilings) for ceilings in found]
    # One document as long as there is one device; the first is the processor's.
    write_json({**documents[0], **({"others": documents[1:]} if documents[1:] else {})})
