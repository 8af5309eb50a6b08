"""Which ONNX file does a network become, and is it right?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from benchbox.cli.flags.kinds import BATCHES
from benchbox.cli.flags.network import NetworkFlags, network_command, precisions_option
from benchbox.cli.flags.shared import project_root, write_json

if TYPE_CHECKING:
    from benchbox.schema.artifact import BatchRange, OnnxArtifact
    from benchbox.schema.model import Precision


@network_command("export", many=True)
@precisions_option("fp32, fp16, bf16, int8, fp8 or int4, for example fp32,fp16")
@click.option(
    "--batch",
    metavar="MIN:OPT:MAX",
    type=BATCHES,
    help="Batch sizes to check the file at, for example 1:8:32 [default: any].",
)
def command(
    network: NetworkFlags, precisions: tuple[Precision, ...] | None, batch: BatchRange | None, as_json: bool
) -> None:
    """Export networks to checked ONNX files in engines/onnx/.

    The same network gives the same sha256 every time. Outputs are compared with PyTorch on seeded inputs at
    several batch sizes; beyond tolerance nothing is written and the exit status is 4.

    \b
    Examples:
      benchbox export resnet50
      benchbox export vgg16 --precision fp32,fp16 --batch 1:8:32
      benchbox export torchvision.models:mobilenet_v3_small --input 3x224x224
      benchbox export resnet50 --precision int8 --calibration photos/ --exclude 'layer4.*'
      benchbox export resnet50 --weights resnet50.safetensors
    """
    from benchbox.cli.progress import shown_progress
    from benchbox.jobs.prepare import onnx_from_source, own_precision
    from benchbox.report.views.artifact import render_artifact

    sources = network.sources()
    wanted = {source: precisions or (own_precision(source),) for source in sources}
    choice = network.derivation_for([precision for found in wanted.values() for precision in found])
    root = project_root()
    artifacts = []
    try:
        with shown_progress() as progress:
            for source in sources:
                for precision in wanted[source]:
                    artifacts.append(
                        onnx_from_source(
                            source,
                            precision=precision,
                            root=root,
                            batch=batch,
                            derivation=choice.for_precision(precision),
                            say=progress.say,
                        )
                    )
                    if not as_json:
                        click.echo(render_artifact(artifacts[-1], str(root / artifacts[-1].path)))
    finally:
        # Also where a later one fails: what was exported is there.
        if as_json and artifacts:
            write_json({"schema": "benchbox.export/1", "artifacts": [_document(artifact) for artifact in artifacts]})


def _document(artifact: OnnxArtifact) -> dict[str, object]:
    from benchbox.store.documents import document_from_artifact

    return document_from_artifact(artifact)
