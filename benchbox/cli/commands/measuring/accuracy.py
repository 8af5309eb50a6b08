"""How often is a network right on labelled pictures?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from benchbox.cli.flags.device import device_option
from benchbox.cli.flags.kinds import BACKEND, COUNT
from benchbox.cli.flags.network import NetworkFlags, network_command, precisions_option
from benchbox.cli.flags.shared import project_root, warn, write_json

if TYPE_CHECKING:
    from benchbox.schema.accuracy import AccuracyResult
    from benchbox.schema.model import Precision


@network_command("accuracy")
@device_option()
@click.option("--data", "folder", metavar="DIR", type=click.Path(), help="Labelled pictures: one subfolder per class.")
@click.option(
    "--labels",
    metavar="FILE",
    type=click.Path(),
    help="JSON object from subfolder to class index [default: subfolders in sorted order are 0, 1, 2, ...].",
)
@click.option(
    "--backend",
    metavar="B",
    type=BACKEND,
    help="Backend to run on, for example openvino [default: what computes best in the precision here].",
)
@precisions_option("Precisions, for example fp32,int8")
@click.option("--batch", metavar="N", type=COUNT, default="8", show_default=True, help="Pictures at once.")
@click.option("--threads", metavar="N", type=COUNT, help="CPU threads [default: the CPUs that this process may use].")
def command(
    network: NetworkFlags,
    folder: str | None,
    labels: str | None,
    backend: str | None,
    precisions: tuple[Precision, ...] | None,
    batch: int,
    threads: int | None,
    as_json: bool,
) -> None:
    """Top-1 and top-5 of MODEL on labelled pictures, with 95 % intervals (Wilson).

    DIR is laid out as ImageNet's validation set: one subfolder per class, whose sorted names are classes 0, 1, 2
    and so on unless --labels says otherwise. Pictures are decoded, resized, cropped and normalised as the network's
    evaluation recipe has it. A network of the zoo without --weights has seeded weights, which were never trained.
    Results are stored in results/accuracy/, where 'benchbox choose' finds them.

    \b
    Examples:
      benchbox accuracy resnet50 --weights resnet50.safetensors --data imagenet/val
      benchbox accuracy resnet50 --weights w.pth --data val --precision fp32,int8 --calibration pics
      benchbox accuracy mynet.onnx --data photos --labels classes.json --json
    """
    from pathlib import Path

    from benchbox.errors import UsageError

    if folder is None:
        raise UsageError(
            "accuracy needs labelled pictures: --data DIR",
            values="DIR has one subfolder of pictures per class, sorted as the network's classes are (--labels says "
            "otherwise); the network needs trained weights (--weights, or an ONNX file that holds them)",
            remedy="docs/how-to.md, 'Measure accuracy', says where both come from and makes a tiny set to try; "
            "none comes with benchbox",
        )
    from benchbox.cli.flags.choice import chosen_backend
    from benchbox.cli.progress import shown_progress
    from benchbox.jobs.accuracy import accuracies_from_source
    from benchbox.jobs.prepare import own_precision
    from benchbox.limits import effective_cpus
    from benchbox.models.pictures.labels import labelled_from_folder
    from benchbox.schema.model import SourceKind

    pictures = labelled_from_folder(Path(folder), mapping=Path(labels) if labels else None)
    source = network.source()
    if source.kind is SourceKind.ZOO and source.weights is None:
        warn(f"{source.name} has seeded, untrained weights: expect chance level; give trained ones with --weights")
    precisions = precisions or (own_precision(source),)
    backend = backend or chosen_backend(source, precisions)
    results: list[AccuracyResult] = []
    try:
        with shown_progress() as progress:
            for result in accuracies_from_source(
                source,
                pictures,
                backend=backend,
                precisions=precisions,
                derivation=network.derivation_for(precisions),
                batch=batch,
                threads=threads or effective_cpus(),
                root=project_root(),
                progress=progress,
            ):
                results.append(result)
    finally:
        if results:
            _show(results, as_json)


def _show(results: list[AccuracyResult], as_json: bool) -> None:
    """What is known, also where a later precision fails or is interrupted; it is stored then, too."""
    if as_json:
        from benchbox.store.documents import plain

        write_json({"schema": "benchbox.accuracy/1", "results": [plain(entry) for entry in results]})
        return
    from benchbox.report.views.accuracy import render_accuracies

    click.echo(render_accuracies(results))
