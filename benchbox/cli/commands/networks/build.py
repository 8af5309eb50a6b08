"""Which engine does a network become?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from benchbox.cli.flags.builder import BuilderFlags, builder_options
from benchbox.cli.flags.device import device_option
from benchbox.cli.flags.kinds import BATCHES, COMPILER, TEXT, Listed
from benchbox.cli.flags.network import NetworkFlags, network_command, precisions_option
from benchbox.cli.flags.shared import plugin_option, project_root, write_json

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchbox.export.engines import Built
    from benchbox.schema.artifact import BatchRange
    from benchbox.schema.model import Precision


_WEAK = {
    "--fp16": "fp16",
    "--bf16": "bf16",
    "--int8": "int8",
    "--fp8": "fp8",
    "--best": "fp16",
    "--weakly-typed": "fp16",
}


def _refuse_weak_typing(_: click.Context, parameter: click.Parameter, asked: bool) -> None:
    from benchbox.errors import UsageError

    flag = parameter.opts[0]
    if asked:
        raise UsageError(
            f"{flag} would let the builder choose the types",
            values="TensorRT 11 removed weak typing, and benchbox uses it on no version: the graph defines the types",
            remedy=f"use a graph of that precision: --precision {_WEAK[flag]}",
        )


def _refuse_dla(_: click.Context, parameter: click.Parameter, asked: object) -> None:
    from benchbox.errors import UsageError

    if asked:
        raise UsageError(
            "engines for DLA are not supported",
            values=f"{max(parameter.opts, key=len)}: DLA is on Jetson and Drive boards only, which benchbox does not "
            "support: their TensorRT lacks what it calls, and nothing there reports clocks, throttling or energy",
            remedy="build it with trtexec --useDLACore=0 --saveEngine=net.plan, and measure it with trtexec",
        )


def _weak_typing_options(function: Callable[..., None]) -> Callable[..., None]:
    """Hidden flags of trtexec that have no meaning here: the error names what replaced each, or why there is none."""
    for flag in _WEAK:
        option = click.option(
            flag, is_flag=True, hidden=True, expose_value=False, callback=_refuse_weak_typing, is_eager=True
        )
        function = option(function)
    return click.option(
        "--dla",
        "--use-dla-core",
        metavar="N",
        hidden=True,
        expose_value=False,
        callback=_refuse_dla,
        is_eager=True,
    )(function)


@network_command("build", required=False)
@device_option()
@click.option(
    "--backend",
    metavar="B",
    type=COMPILER,
    help="tensorrt or tensorrt-rtx [default: the first that builds here].",
)
@precisions_option("fp32 (TF32 forbidden), tf32 (allowed), fp16, bf16, int8, fp8 or int4, for example fp16,int8")
@click.option(
    "--batch",
    metavar="MIN:OPT:MAX",
    type=BATCHES,
    help="Batch sizes that the engine accepts, for example 1:8:32 [default: 1].",
)
@click.option(
    "--target",
    "targets",
    metavar="SM,...",
    type=Listed(TEXT),
    help="Compute capabilities, for example sm86,sm89; tensorrt-rtx only [default: every one that it supports].",
)
@click.option(
    "--timing-cache",
    metavar="FILE",
    type=click.Path(),
    help="Measured tactics of an earlier build; tensorrt only.",
)
@builder_options
@click.option("--save-engine", "saved", metavar="FILE", type=click.Path(), help="Also write the engine to FILE.")
@click.option("--list", "listing", is_flag=True, help="List the stored engines, and why some cannot be used.")
@click.option("--prune", "pruning", is_flag=True, help="Delete engines that can no longer be used.")
@plugin_option
@_weak_typing_options
def command(
    network: NetworkFlags,
    backend: str | None,
    precisions: tuple[Precision, ...] | None,
    batch: BatchRange | None,
    targets: tuple[str, ...] | None,
    timing_cache: str | None,
    builder: BuilderFlags,
    saved: str | None,
    listing: bool,
    pruning: bool,
    as_json: bool,
) -> None:
    """Build MODEL's engine in engines/tensorrt/ or engines/tensorrt-rtx/, once.

    The engine is built from the checked ONNX file, which is exported first where necessary. It is cached by
    everything that decides it: the file, the vendor's version, batch sizes, targets or GPU, and flags. The
    builder's log is next to it. tensorrt-rtx builds without a GPU; tensorrt tunes on the GPU of this machine.

    \b
    Examples:
      benchbox build resnet50 --backend tensorrt-rtx
      benchbox build resnet50 --backend tensorrt-rtx --precision fp16 --target sm86,sm89
      benchbox build resnet50 --backend tensorrt-rtx --precision int8,fp8 --calibration photos/
      benchbox build resnet18 --precision fp32,tf32,fp16 --batch 1:8:32 --json
      benchbox build resnet50 --backend tensorrt --builder-level 5 --save-engine resnet50.plan
      benchbox build --list
      benchbox build --prune
    """
    from pathlib import Path

    from benchbox.errors import UsageError

    if listing or pruning:
        if network.models or (listing and pruning):
            raise UsageError("--list and --prune take no MODEL and cannot be combined")
        (_list if listing else _prune)(project_root(), backend, as_json)
        return
    if not network.models:
        raise UsageError("build needs a MODEL", remedy="for example: benchbox build resnet50")
    built = _built(
        network,
        backend=backend,
        precisions=precisions,
        batch=batch,
        targets=tuple(target.lower() for target in targets or ()),
        timing_cache=Path(timing_cache) if timing_cache else None,
        options=builder.options,
        as_json=as_json,
    )
    if saved:
        _save(built, Path(saved), project_root())
    if as_json:
        from benchbox.report.views.engines import document_from_built

        write_json(document_from_built([(entry.engine, entry.cached) for entry in built]))


def _built(
    network: NetworkFlags,
    *,
    backend: str | None,
    precisions: tuple[Precision, ...] | None,
    batch: BatchRange | None,
    targets: tuple[str, ...],
    timing_cache: Path | None,
    options: tuple[str, ...],
    as_json: bool,
) -> list[Built]:
    from benchbox.cli.progress import shown_progress
    from benchbox.export.engines import builder_named
    from benchbox.jobs.prepare import engine_from_source, own_precision
    from benchbox.report.views.engines import render_built

    source = network.source()
    precisions = precisions or (own_precision(source),)
    derivation = network.derivation_for(precisions)
    compiler = builder_named(backend)
    root = project_root()
    built = []
    with shown_progress() as progress:
        for precision in precisions:
            entry = engine_from_source(
                source,
                compiler=compiler,
                precision=precision,
                root=root,
                batch=batch,
                targets=targets,
                timing_cache=timing_cache,
                options=options,
                derivation=derivation.for_precision(precision),
                say=progress.say,
            )
            built.append(entry)
            if not as_json:
                click.echo(render_built(entry.engine, cached=entry.cached, root=root))
    return built


def _save(built: list[Built], target: Path, root: Path) -> None:
    """Copies the engine to where the user wants it."""
    import shutil

    from benchbox.errors import StoreError, UsageError

    if len(built) != 1:
        raise UsageError("--save-engine writes one engine", values=f"{len(built)} were built", remedy="one --precision")
    try:
        shutil.copyfile(root / built[0].engine.path, target)
    except OSError as error:
        raise StoreError("the engine cannot be written", values=f"{target}: {error.strerror or error}") from error


def _list(root: Path, backend: str | None, as_json: bool) -> None:
    from benchbox.export.engines import compilers, installed_versions
    from benchbox.report.views.engines import Listed, document_from_listed, render_listed
    from benchbox.store.engines import faults_of, kept_engines

    versions = installed_versions()
    listed = [
        Listed(
            name=f"{kept.card.parent.name}/{kept.card.name.removesuffix('.json')}",
            engine=kept.artifact,
            fault=faults_of(kept, root, versions=versions),
        )
        for kept in kept_engines(root, backends=compilers(backend))
    ]
    if as_json:
        write_json(document_from_listed(listed))
        return
    click.echo(render_listed(listed))


def _prune(root: Path, backend: str | None, as_json: bool) -> None:
    from benchbox.export.engines import compilers, installed_versions
    from benchbox.report.views.engines import document_from_pruned, render_pruned
    from benchbox.store.engines import prune_engines
    from benchbox.store.runtime_engines import prune_runtime_engines

    removed = prune_engines(root, backends=compilers(backend), versions=installed_versions())
    if backend is None:
        removed += prune_runtime_engines(root)
    if as_json:
        write_json(document_from_pruned(removed))
        return
    click.echo(render_pruned(removed))
