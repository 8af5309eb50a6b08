"""How often is a network right on labelled pictures?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from benchbox.cli.flags.shared import (
    comma_list,
    common_options,
    converter_option,
    derivation_options,
    json_option,
    models_argument,
    parse_count,
    parse_derivation,
    parse_precision,
    project_root,
    require_use,
    source_options,
    write_json,
)

if TYPE_CHECKING:
    from benchbox.schema.accuracy import AccuracyResult, Share
    from benchbox.schema.derivation import Derivation
    from benchbox.schema.model import Precision


@click.command("accuracy")
@models_argument(many=False, required=True)
@click.option("--data", "folder", metavar="DIR", required=True, type=click.Path(), help="One subfolder per class.")
@click.option(
    "--labels",
    metavar="FILE",
    type=click.Path(),
    help="JSON object from subfolder to class index [default: subfolders in sorted order are 0, 1, 2, ...].",
)
@click.option("--backend", metavar="B", help="Backend to run on [default: the best one available].")
@click.option("--precision", "precisions", metavar="P,...", default="fp32", show_default=True, help="Comma-separated.")
@click.option("--batch", metavar="N", default="8", show_default=True, help="Pictures at once.")
@click.option("--threads", metavar="N", help="CPU threads [default: the CPUs that this process may use].")
@derivation_options
@converter_option
@source_options
@json_option
@common_options
def command(
    model: str,
    folder: str,
    labels: str | None,
    backend: str | None,
    precisions: str,
    batch: str,
    threads: str | None,
    excludes: tuple[str, ...],
    fallback: str,
    calibration: str | None,
    method: str,
    input_shape: str | None,
    weights: str | None,
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
    from benchbox.jobs.prepare import graph_precision, onnx_from_source
    from benchbox.jobs.run import require_runnable
    from benchbox.limits import effective_cpus
    from benchbox.measure.accuracy import accuracy_from_pictures
    from benchbox.models.pictures.labels import labelled_from_folder
    from benchbox.models.sources import parse_shape, resolve

    wanted, choice = _chosen(precisions, calibration=calibration, method=method, fallback=fallback, excludes=excludes)
    source = resolve(model, input_shape=parse_shape(input_shape) if input_shape else None, weights=weights)
    runner = backend or best_backend()
    for precision in wanted:
        require_runnable(runner, precision, source)
    pictures = labelled_from_folder(Path(folder), mapping=Path(labels) if labels else None)
    cpus = parse_count(threads, flag="--threads") if threads else effective_cpus()
    root = project_root()
    results = []
    with shown_progress() as progress:
        for precision in wanted:
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
                    threads=cpus,
                    batch=parse_count(batch, flag="--batch"),
                    progress=progress.step,
                )
            )
            if not as_json:
                click.echo(_text(results[-1]))
    if as_json:
        from benchbox.store.documents import plain

        write_json({"schema": "benchbox.accuracy/1", "results": [plain(entry) for entry in results]})


def _chosen(
    precisions: str, *, calibration: str | None, method: str, fallback: str, excludes: tuple[str, ...]
) -> tuple[tuple[Precision, ...], Derivation]:
    """The precisions, and how they are derived; raises UsageError for choices that none of them has a use for."""
    from benchbox.errors import UsageError

    wanted = comma_list(precisions, parse_precision)
    if not wanted:
        raise UsageError("which --precision?", values="none was given")
    choice = parse_derivation(calibration=calibration, method=method, fallback=fallback, excludes=excludes)
    require_use(wanted, choice)
    return wanted, choice


def _text(result: AccuracyResult) -> str:
    title = f"{result.model} {result.backend} {result.precision} {result.variant}".strip()
    return f"{title}: top-1 {_share(result.top1)}, top-5 {_share(result.top5)} of {result.samples} pictures"


def _share(share: Share) -> str:
    return f"{share.value:.2%} ({share.low:.2%} to {share.high:.2%})"
