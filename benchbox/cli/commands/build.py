"""Which engine does a network become?"""

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
    parse_batch_range,
    parse_derivation,
    parse_precision,
    project_root,
    require_use,
    source_options,
    write_json,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchbox.export.engines import Built
    from benchbox.schema.derivation import Derivation
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
            f"{flag} would let the builder choose types by itself",
            values="TensorRT 11 removed weak typing, and it is used on no version: the types in the graph decide",
            remedy=f"ask for a graph of that precision: --precision {_WEAK[flag]}",
        )


def _weak_typing_options(function: Callable[..., None]) -> Callable[..., None]:
    """Hidden flags of weak typing, as trtexec had them: who is used to them is told what took their place."""
    for flag in _WEAK:
        option = click.option(
            flag, is_flag=True, hidden=True, expose_value=False, callback=_refuse_weak_typing, is_eager=True
        )
        function = option(function)
    return function


@click.command("build")
@models_argument(many=False, required=False)
@click.option("--backend", metavar="B", help="tensorrt or tensorrt-rtx [default: the first that builds here].")
@click.option(
    "--precision",
    "precisions",
    metavar="P,...",
    default="fp32",
    show_default=True,
    help="fp32 (TF32 forbidden), tf32 (allowed), fp16, bf16, int8 or fp8; comma-separated.",
)
@click.option("--batch", metavar="MIN:OPT:MAX", help="Batch sizes the engine accepts [default: 1].")
@click.option(
    "--target",
    "targets",
    metavar="SM,...",
    help="Compute capabilities, for example sm86,sm89; tensorrt-rtx only [default: every one that it supports].",
)
@click.option(
    "--timing-cache", metavar="FILE", type=click.Path(), help="Tactics that an earlier build measured; tensorrt only."
)
@click.option("--list", "listing", is_flag=True, help="List the engines that are kept, and what is wrong with them.")
@click.option("--prune", "pruning", is_flag=True, help="Delete engines that are of no use any more.")
@_weak_typing_options
@derivation_options
@converter_option
@source_options
@json_option
@common_options
def command(
    model: str | None,
    backend: str | None,
    precisions: str,
    batch: str | None,
    targets: str | None,
    timing_cache: str | None,
    listing: bool,
    pruning: bool,
    excludes: tuple[str, ...],
    fallback: str,
    calibration: str | None,
    method: str,
    input_shape: str | None,
    weights: str | None,
    as_json: bool,
) -> None:
    """Build MODEL's engine in engines/tensorrt/ or engines/tensorrt-rtx/, once.

    The engine is made of the checked ONNX file, which is exported first if need be. It is found again by
    everything that decides it: the file, the vendor's version, batch sizes, targets or GPU, and flags. The
    builder's log lies beside it. tensorrt-rtx builds without a GPU; tensorrt tunes on the GPU of this machine.

    \b
    Examples:
      benchbox build resnet50 --backend tensorrt-rtx
      benchbox build resnet50 --backend tensorrt-rtx --precision fp16 --target sm86,sm89
      benchbox build resnet50 --backend tensorrt-rtx --precision int8,fp8 --calibration photos/
      benchbox build resnet18 --precision fp32,tf32,fp16 --batch 1:8:32 --json
      benchbox build --list
      benchbox build --prune
    """
    from pathlib import Path

    from benchbox.errors import UsageError

    if listing or pruning:
        if model is not None or (listing and pruning):
            raise UsageError("--list and --prune stand alone", values="neither takes a MODEL or the other")
        (_list if listing else _prune)(project_root(), backend, as_json)
        return
    if model is None:
        raise UsageError("which MODEL is to be built?", remedy="for example: benchbox build resnet50")
    wanted = comma_list(precisions, parse_precision)
    choice = parse_derivation(calibration=calibration, method=method, fallback=fallback, excludes=excludes)
    require_use(wanted, choice)
    built = _built(
        model,
        backend=backend,
        precisions=wanted,
        derivation=choice,
        batch=batch,
        targets=comma_list(targets.lower(), str) if targets else (),
        timing_cache=Path(timing_cache) if timing_cache else None,
        input_shape=input_shape,
        weights=weights,
        as_json=as_json,
    )
    if as_json:
        from benchbox.report.views.engines import document_from_built

        write_json(document_from_built([(entry.engine, entry.cached) for entry in built]))


def _built(
    model: str,
    *,
    backend: str | None,
    precisions: tuple[Precision, ...],
    derivation: Derivation,
    batch: str | None,
    targets: tuple[str, ...],
    timing_cache: Path | None,
    input_shape: str | None,
    weights: str | None,
    as_json: bool,
) -> list[Built]:
    from benchbox.cli.progress import shown_progress
    from benchbox.export.engines import builder_named
    from benchbox.jobs.prepare import engine_from_source
    from benchbox.models.sources import parse_shape, resolve
    from benchbox.report.views.engines import render_built

    compiler = builder_named(backend)
    sizes = parse_batch_range(batch) if batch else None
    source = resolve(model, input_shape=parse_shape(input_shape) if input_shape else None, weights=weights)
    root = project_root()
    built = []
    with shown_progress() as progress:
        for precision in precisions:
            entry = engine_from_source(
                source,
                compiler=compiler,
                precision=precision,
                root=root,
                batch=sizes,
                targets=targets,
                timing_cache=timing_cache,
                derivation=derivation.for_precision(precision),
                say=progress.say,
            )
            built.append(entry)
            if not as_json:
                click.echo(render_built(entry.engine, cached=entry.cached, root=root))
    return built


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

    removed = prune_engines(root, backends=compilers(backend), versions=installed_versions())
    if as_json:
        write_json(document_from_pruned(removed))
        return
    click.echo(render_pruned(removed))
