"""How often is a network right on labelled pictures?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from benchbox.cli.flags.kinds import BACKEND, COUNT, PRECISION, Listed
from benchbox.cli.flags.network import NetworkFlags, network_command
from benchbox.cli.flags.shared import project_root, write_json

if TYPE_CHECKING:
    from benchbox.schema.accuracy import AccuracyResult, Share
    from benchbox.schema.model import Precision


@network_command("accuracy")
@click.option("--data", "folder", metavar="DIR", required=True, type=click.Path(), help="One subfolder per class.")
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
    help="Backend to run on, for example openvino [default: the best available].",
)
@click.option(
    "--precision",
    "precisions",
    metavar="P,...",
    type=Listed(PRECISION),
    default="fp32",
    show_default=True,
    help="Precisions, for example fp32,int8.",
)
@click.option("--batch", metavar="N", type=COUNT, default="8", show_default=True, help="Pictures at once.")
@click.option("--threads", metavar="N", type=COUNT, help="CPU threads [default: the CPUs that this process may use].")
def command(
    network: NetworkFlags,
    folder: str,
    labels: str | None,
    backend: str | None,
    precisions: tuple[Precision, ...],
    batch: int,
    threads: int | None,
    as_json: bool,
) -> None:
    """Top-1 and top-5 of MODEL on labelled pictures, with 95 % intervals (Wilson).

    DIR is laid out as ImageNet's validation set: one subfolder per class, whose sorted names are classes 0, 1, 2
    and so on unless --labels says otherwise. Pictures are decoded, resized, cropped and normalised as the network's
    evaluation recipe has it. A network of the zoo without --weights has seeded weights, which know no classes.

    \b
    Examples:
      benchbox accuracy resnet50 --weights resnet50.safetensors --data imagenet/val
      benchbox accuracy resnet50 --weights resnet50.safetensors --data val --precision fp32,int8 --calibration photos/
      benchbox accuracy mynet.onnx --data photos --labels classes.json --json
    """
    from pathlib import Path

    from benchbox.backends.probing import best_backend
    from benchbox.cli.progress import shown_progress
    from benchbox.jobs.cases import require_runnable
    from benchbox.jobs.prepare import graph_precision, onnx_from_source
    from benchbox.limits import effective_cpus
    from benchbox.measure.accuracy import accuracy_from_pictures
    from benchbox.models.pictures.labels import labelled_from_folder

    choice = network.derivation_for(precisions)
    source = network.source()
    runner = backend or best_backend()
    for precision in precisions:
        require_runnable(runner, precision, source)
    pictures = labelled_from_folder(Path(folder), mapping=Path(labels) if labels else None)
    root = project_root()
    results = []
    with shown_progress() as progress:
        for precision in precisions:
            derivation = choice.for_precision(precision)
            given = graph_precision(runner, precision, derivation, source=source)
            artifact = onnx_from_source(source, precision=given, root=root, derivation=derivation, say=progress.say)
            results.append(
                accuracy_from_pictures(
                    pictures,
                    artifact=artifact,
                    source=source,
                    backend=runner,
                    precision=precision,
                    root=root,
                    threads=threads or effective_cpus(),
                    batch=batch,
                    progress=progress.step,
                )
            )
            if not as_json:
                click.echo(_text(results[-1]))
    if as_json:
        from benchbox.store.documents import plain

        write_json({"schema": "benchbox.accuracy/1", "results": [plain(entry) for entry in results]})


def _text(result: AccuracyResult) -> str:
    title = f"{result.model} {result.backend} {result.precision} {result.variant}".strip()
    return f"{title}: top-1 {_share(result.top1)}, top-5 {_share(result.top5)} of {result.samples} pictures"


def _share(share: Share) -> str:
    return f"{share.value:.2%} ({share.low:.2%} to {share.high:.2%})"
