"""Which measured configuration meets the limits?"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from benchbox.cli.flags.kinds import RATIO, Word
from benchbox.cli.flags.shared import common_options, json_option, project_root, stored_root, warn, write_json
from benchbox.cli.flags.stored import where_option

if TYPE_CHECKING:
    from benchbox.jobs.choose import Chosen

F = TypeVar("F", bound=Callable[..., Any])
EMITTED = "results/choice.json"


def _qualities() -> dict[str, str]:
    from benchbox.choose.limits import QUALITIES

    return {name: name for name in QUALITIES}


_QUALITY = Word("quality", _qualities)


def _limit_options(function: F) -> F:
    for name, example, words in (
        ("throughput", ">= 200 /s", "Samples per second."),
        ("energy", "<= 50 mJ", "Energy per sample."),
        ("accuracy", ">= 0.75", "Top-1: measured by 'benchbox accuracy', else published (fp32 only)."),
        ("memory", "<= 2 GB", "Peak memory: of the device, on a CPU of the process."),
        ("latency-p99", "<= 8 ms", "99th percentile of the latency."),
        ("latency", "<= 5 ms", "Median latency."),
    ):
        function = click.option(f"--{name}", metavar="LIMIT", multiple=True, help=f"{words} For example '{example}'.")(
            function
        )
    return function


@click.command("choose")
@_limit_options
@click.option("--maximize", metavar="NAME", type=_QUALITY, help="Quantity to maximise: throughput or accuracy.")
@click.option(
    "--minimize", metavar="NAME", type=_QUALITY, help="Quantity to minimise, for example memory [default: latency]."
)
@click.option(
    "--confidence",
    metavar="C",
    type=RATIO,
    default="0.95",
    show_default=True,
    help="Probability that the answer meets all limits together.",
)
@where_option()
@click.option("--across", is_flag=True, help="One answer over all machines and modes, not one for each.")
@click.option(
    "--emit",
    metavar="[FILE]",
    is_flag=False,
    flag_value=EMITTED,
    help=f"Write digests and commands of the answer as JSON [without FILE: {EMITTED}].",
)
@json_option
@common_options
def command(
    maximize: str | None,
    minimize: str | None,
    confidence: float,
    where: tuple[str, ...],
    across: bool,
    emit: str | None,
    as_json: bool,
    **limits: tuple[str, ...],
) -> int:
    """Choose among stored records the configuration that meets limits. Nothing is measured.

    A configuration qualifies if the confidence bounds of its numbers meet all limits, not only its estimates. Of those
    the best in latency (or --minimize, --maximize) is the answer. Configurations whose outputs were not found right,
    whose numbers are void, or that did not run in their precision are left out and counted.

    Exit status: 0 an answer · 7 nothing surely qualifies, more measuring would decide · 9 nothing can qualify ·
    2 usage · 6 the store cannot be read

    \b
    Examples:
      benchbox choose --latency '<= 20 ms' --memory '<= 500 MB'
      benchbox choose --latency-p99 '<= 50 ms' --accuracy '>= 75 %' --maximize throughput
      benchbox choose --latency '<= 20 ms' --where backend=onnxruntime --emit choice.json
    """
    from benchbox.choose.choosing import Request
    from benchbox.choose.document import document_from_choices
    from benchbox.choose.limits import limits_from_texts, objective_from_names
    from benchbox.choose.text import WIDTH, render_choices
    from benchbox.errors import StoreError
    from benchbox.jobs.choose import choose_stored
    from benchbox.jobs.selecting import nothing_fits
    from benchbox.report.screen import screen_width
    from benchbox.store.records import FOLDER, count_records

    request = Request(
        limits=limits_from_texts({name.replace("_", "-"): texts for name, texts in limits.items()}),
        objective=objective_from_names(maximize, minimize),
        confidence=confidence,
    )
    root = stored_root()
    chosen = choose_stored(root, request, where=where, across=across, warn=warn)
    if not chosen.records and where and count_records(root):
        fault = nothing_fits(root, where)
        if not as_json:
            raise fault
        warn("; ".join(filter(None, (fault.what, *fault.values.splitlines()))))
    elif not chosen.records and not as_json:
        raise StoreError(
            "there is nothing to choose among",
            values=f"no record lies under {root / FOLDER}",
            remedy="measure first: benchbox run MODEL",
        )
    if as_json:
        write_json(document_from_choices(chosen.choices, request.limits, command_of=chosen.command_of))
    else:
        width = min(WIDTH, screen_width() or WIDTH)
        click.echo(
            render_choices(chosen.choices, command_of=chosen.command_of, measuring=chosen.measuring, width=width)
        )
    if emit is not None:
        _emit(emit, chosen)
    return _status(chosen)


def _emit(file: str, chosen: Chosen) -> None:
    from pathlib import Path

    from benchbox.errors import StoreError
    from benchbox.jobs.choose import emitted
    from benchbox.store.atomic import write_text
    from benchbox.store.documents import json_text

    choice = next((choice for choice in chosen.choices if choice.answer is not None), None)
    if choice is None or choice.answer is None:
        warn("no answer, nothing was emitted")
        return
    target = project_root() / file if file == EMITTED else Path(file)
    try:
        if file == EMITTED:
            target.parent.mkdir(parents=True, exist_ok=True)
        write_text(target, json_text(emitted(choice.answer, choice, chosen.artifacts)) + "\n")
    except OSError as error:
        raise StoreError("the file cannot be written", values=f"{target}: {error.strerror or error}") from error
    warn(f"wrote {target}: {choice.answer.candidate.name}")


def _status(chosen: Chosen) -> int:
    from benchbox.errors import EXIT_DONE, EXIT_INCONCLUSIVE, EXIT_NOTHING_QUALIFIES

    if any(choice.answer is not None for choice in chosen.choices):
        return EXIT_DONE
    open_ = any(choice.undecided or choice.unknown for choice in chosen.choices)
    return EXIT_INCONCLUSIVE if open_ else EXIT_NOTHING_QUALIFIES
