"""Which flags ask for the cost of a network in other precisions, and how is that answered?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from benchbox.schema.device import Device
    from benchbox.schema.model import ModelSource

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, kw_only=True)
class PrecisionFlags:
    """The flags as text."""

    precisions: str | None
    excludes: tuple[str, ...]
    fallback: str
    device: str
    bandwidth: str | None
    flops: str | None


def precision_options(function: F) -> F:
    """``--precision`` and what goes with it (exclude, fallback, device, bandwidth, flops) as one ``flags``."""

    def gathered(**given: Any) -> Any:
        fields = {name: given.pop(name) for name in PrecisionFlags.__dataclass_fields__}
        return function(**given, flags=PrecisionFlags(**fields))

    gathered.__doc__, gathered.__click_params__ = function.__doc__, getattr(function, "__click_params__", [])  # type: ignore[attr-defined]
    for option in (
        click.option(
            "--flops",
            metavar="GFLOP/S",
            help="With --precision: rate of the device in fp32, a multiply-add being 2 [default: as published].",
        ),
        click.option(
            "--bandwidth", metavar="GB/S", help="With --precision: its memory's rate [default: as published]."
        ),
        click.option(
            "--device",
            metavar="NAME",
            default="cpu",
            show_default=True,
            help="With --precision: whose peak rates bound the speed-up: cpu (this machine's), a GPU such as h100-sxm, "
            "or instruction sets such as avx512-vnni.",
        ),
        click.option(
            "--fallback", metavar="P", default="fp32", show_default=True, help="Precision of what is not quantised."
        ),
        click.option(
            "--exclude",
            "excludes",
            metavar="PATTERN",
            multiple=True,
            help="With --precision: nodes that stay out of a low precision; can be repeated.",
        ),
        click.option(
            "--precision",
            "precisions",
            metavar="P,...",
            help="Bytes in these precisions, and how much faster than fp32 each can be at most: fp32, tf32, fp16, "
            "bf16, int8, fp8.",
        ),
    ):
        gathered = option(gathered)
    return gathered  # type: ignore[return-value]


def require_unused(flags: PrecisionFlags) -> None:
    """Raises UsageError if something was asked for that only --precision has a use for."""
    from benchbox.errors import UsageError

    given = {
        "--exclude": flags.excludes,
        "--fallback": flags.fallback != "fp32",
        "--device": flags.device != "cpu",
        "--bandwidth": flags.bandwidth,
        "--flops": flags.flops,
    }
    if any(given.values()):
        raise UsageError(
            f"{', '.join(flag for flag, there in given.items() if there)} goes with --precision",
            remedy="for example --precision int8",
        )


def shown_in_precisions(
    source: ModelSource,
    flags: PrecisionFlags,
    *,
    batch: int | None,
    named: Mapping[str, tuple[int, ...]],
    by: str,
    form: str,
) -> str:
    """The network's cost in the precisions asked for, as text.

    Raises:
        UsageError: an unknown precision, device or grouping; choices that no precision has a use for.
        ArtifactError: the graph cannot be counted, cast or quantised.
    """
    from benchbox.cli.flags.shared import comma_list, parse_derivation, parse_precision, project_root, require_use
    from benchbox.cli.progress import shown_progress
    from benchbox.cost.precision.roofline import GROUPINGS, by_operator, layer_pairs, row_from_pairs, rows_from_pairs
    from benchbox.errors import UsageError
    from benchbox.jobs.prepare import precision_costs_from_source
    from benchbox.registry import require_known
    from benchbox.report.views.precisions import PrecisionRows, render_precisions

    wanted = comma_list(flags.precisions or "", parse_precision)
    if not wanted:
        raise UsageError("--precision names no precision", values=f"got '{flags.precisions}'")
    choice = parse_derivation(calibration=None, method="minmax", fallback=flags.fallback, excludes=flags.excludes)
    require_use(wanted, choice)
    key = GROUPINGS[require_known("grouping with --precision", by, tuple(GROUPINGS))]
    device = chosen_device(flags)
    with shown_progress() as progress:
        costs = precision_costs_from_source(
            source,
            precisions=wanted,
            derivation=choice,
            batch=batch,
            named=named,
            root=project_root(),
            say=progress.say,
        )
    parts = []
    for found in costs.precisions:
        pairs = layer_pairs(costs.fp32, found)
        parts.append(
            PrecisionRows(
                cost=found,
                rows=rows_from_pairs(pairs, device, key=key),
                whole=row_from_pairs("total", pairs, device),
                operators=rows_from_pairs(pairs, device, key=by_operator),
            )
        )
    return render_precisions(costs.cost, parts, device, named=flags.device, form=form)


def chosen_device(flags: PrecisionFlags) -> Device | None:
    """The device whose rates count, with rates given by hand in place of its own; None where nothing is known of it."""
    from benchbox.errors import UsageError
    from benchbox.machine.environment import capture
    from benchbox.machine.rates import device_from_name, with_rates

    hardware = capture().hardware
    found = device_from_name(flags.device, isa=hardware.get("isa", ""), cpu=hardware.get("cpu", "this processor"))
    rates = {"--flops": _giga(flags.flops, "--flops"), "--bandwidth": _giga(flags.bandwidth, "--bandwidth")}
    if found is None:
        given = [flag for flag, rate in rates.items() if rate is not None]
        if given:
            raise UsageError(
                f"{' and '.join(given)}: nothing is known of this processor's rates in low precisions",
                values=f"instruction sets: {hardware.get('isa') or 'not told by the system'}",
                remedy="name one that is known with --device",
            )
        return None
    return with_rates(found, flops_per_s=rates["--flops"], bytes_per_s=rates["--bandwidth"])


def _giga(text: str | None, flag: str) -> float | None:
    from benchbox.errors import UsageError

    if text is None:
        return None
    try:
        return float(text) * 1e9
    except ValueError as error:
        raise UsageError(f"{flag} takes a number", values=f"got '{text}'") from error
