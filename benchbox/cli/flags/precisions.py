"""Which flags ask for the cost of a network in other precisions, and how is that answered?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from benchbox.cli.flags.kinds import DEVICE, GIGA, PRECISION, Listed
from benchbox.cli.flags.network import EXCLUDE, FALLBACK, NetworkFlags, require_effect
from benchbox.cli.flags.shared import grouped, project_root, warn

if TYPE_CHECKING:
    from benchbox.schema.device import Device
    from benchbox.schema.model import ModelSource, Precision


@dataclass(frozen=True, kw_only=True)
class PrecisionFlags:
    """``--precision`` and what belongs to it; rates in bytes and FLOP per second."""

    precisions: tuple[Precision, ...] | None
    excludes: tuple[str, ...]
    fallback: Precision
    device: str
    bandwidth: float | None
    flops: float | None


precision_options = grouped(
    "flags",
    PrecisionFlags,
    click.option(
        "--precision",
        "precisions",
        metavar="P,...",
        type=Listed(PRECISION),
        help="Bytes in these precisions, and how much faster than fp32 each can be at most, for example fp16,int8: "
        "fp32, tf32, fp16, bf16, int8, fp8, int4.",
    ),
    EXCLUDE,
    FALLBACK,
    click.option(
        "--device",
        metavar="NAME",
        type=DEVICE,
        default="cpu",
        show_default=True,
        help="With --precision: whose peak rates bound the speed-up: cpu (this machine's, by its instruction sets), "
        "here (its measured ceilings), a GPU such as h100-sxm, or instruction sets such as avx512-vnni.",
    ),
    click.option(
        "--bandwidth",
        metavar="GB/S",
        type=GIGA,
        help="With --precision: memory bandwidth, for example 300 [default: as published].",
    ),
    click.option(
        "--flops",
        metavar="GFLOP/S",
        type=GIGA,
        help="With --precision: the device's rate in fp32, a multiply-add being 2, for example 30300 "
        "[default: as published].",
    ),
)


def require_unused(flags: PrecisionFlags) -> None:
    """Raises UsageError for flags that belong to --precision where it was not given."""
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
    by: str,
    form: str,
) -> str:
    """The network's cost in the precisions asked for, as text.

    Raises:
        UsageError: an unknown precision, device or grouping; flags without effect on any of the precisions.
        ArtifactError: the graph cannot be counted, cast or quantised.
    """
    from benchbox.cli.progress import shown_progress
    from benchbox.cost.grouping import GROUPINGS
    from benchbox.cost.precision.roofline import layer_pairs, pair_key, row_from_pairs, rows_from_pairs
    from benchbox.jobs.prepare import precision_costs_from_source
    from benchbox.registry import require_known
    from benchbox.report.views.precisions import PrecisionRows, render_precisions

    wanted = flags.precisions or ()
    choice = NetworkFlags(excludes=flags.excludes, fallback=flags.fallback).derivation
    require_effect(choice, wanted, model=None)
    key = pair_key(require_known("grouping with --precision", by, GROUPINGS))
    device = chosen_device(flags)
    with shown_progress() as progress:
        costs = precision_costs_from_source(
            source,
            precisions=wanted,
            derivation=choice,
            batch=batch,
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
                operators=rows_from_pairs(pairs, device, key=pair_key("op")),
            )
        )
    return render_precisions(costs.cost, parts, device, named=flags.device, form=form)


def chosen_device(flags: PrecisionFlags) -> Device | None:
    """The device whose rates count, with given rates in place of its own; None where it is unknown."""
    from benchbox.errors import UsageError
    from benchbox.jobs.known_ceilings import measured_device
    from benchbox.machine.environment import capture
    from benchbox.machine.rates import MEASURED, device_from_name, with_rates

    hardware = capture().hardware
    found = device_from_name(flags.device, isa=hardware.get("isa", ""), cpu=hardware.get("cpu", "this processor"))
    rates = {"--flops": flags.flops, "--bandwidth": flags.bandwidth}
    if flags.device == MEASURED:
        found = measured_device(project_root(), found) or found
        if found is None or found.fp32_flops_per_s is None:
            warn(
                "no ceilings are stored for this machine and its software as they are: rates follow from the "
                "instruction sets; 'benchbox ceilings' measures them"
            )
    if found is None:
        given = [flag for flag, rate in rates.items() if rate is not None]
        if given:
            raise UsageError(
                f"{' and '.join(given)}: this processor's rates in low precisions are unknown",
                values=f"instruction sets: {hardware.get('isa') or 'not reported by the system'}",
                remedy="name a known device with --device",
            )
        return None
    return with_rates(found, flops_per_s=rates["--flops"], bytes_per_s=rates["--bandwidth"])
