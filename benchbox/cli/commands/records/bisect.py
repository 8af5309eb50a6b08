"""Which layers lose a network's accuracy in a precision?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from benchbox.cli.flags.kinds import COUNT, PRECISION, RATIO
from benchbox.cli.flags.network import NetworkFlags, network_command
from benchbox.cli.flags.shared import project_root, write_json

if TYPE_CHECKING:
    from benchbox.schema.model import Precision
    from benchbox.stats.agreement import Tolerance


_BISECTED = "fp16, bf16, int8 or fp8"


@network_command("bisect", converter=False)
@click.option("--precision", metavar="P", type=PRECISION, required=True, help="fp16, bf16, int8 or fp8.")
@click.option(
    "--against",
    metavar="P",
    type=PRECISION,
    default="fp32",
    show_default=True,
    help="Precision to compare with: fp32.",
)
@click.option(
    "--tolerance",
    metavar="X",
    type=RATIO,
    help="Largest relative L2 error of the outputs, for example 0.02 [default: what export allows in this precision].",
)
@click.option("--top", metavar="N", type=COUNT, default="10", show_default=True, help="Number of layers to list.")
def command(
    network: NetworkFlags,
    precision: Precision,
    against: Precision,
    tolerance: float | None,
    top: int,
    as_json: bool,
) -> None:
    """Find the layers of MODEL that lose most accuracy in a precision, and the smallest list of them to exclude.

    Both graphs run on the same samples in ONNX Runtime with every layer's output visible (bf16 emulated: every tensor
    rounded). The list is what --exclude needs so that the outputs are within tolerance; every list that is tried is
    converted and run. Exit status 0 also where nothing needs to be excluded, 4 where no list restores the tolerance.

    \b
    Examples:
      benchbox bisect resnet50 --precision int8 --calibration photos/
      benchbox bisect mobilenet_v3_small --precision int8 --tolerance 0.02 --top 20
      benchbox bisect net.onnx --precision fp16 --json
    """
    from benchbox.cli.progress import shown_progress
    from benchbox.errors import UsageError
    from benchbox.export.precision.bisection import BisectionRequest, bisection_from_request
    from benchbox.jobs.prepare import onnx_from_source
    from benchbox.schema.model import Precision

    if against is not Precision.FP32:
        raise UsageError("layers are compared with fp32 only", values=f"got --against {against}")
    allowed = _tolerance(tolerance, precision)
    choice = network.derivation_for([precision])
    source = network.source()
    root = project_root()
    with shown_progress() as progress:
        original = onnx_from_source(source, precision=Precision.FP32, root=root, say=progress.say)
        found = bisection_from_request(
            BisectionRequest(
                original=original,
                source=source,
                precision=precision,
                derivation=choice,
                tolerance=allowed,
                root=root,
            ),
            say=progress.say,
        )
    if as_json:
        from benchbox.store.documents import plain

        write_json(
            {
                "schema": "benchbox.bisect/1",
                **plain(found),
                "arguments": _arguments(network.excludes, found.exclude),
            }
        )
        return
    from benchbox.report.views.bisection import render_bisection

    click.echo(render_bisection(found, shown=top, arguments=_arguments(network.excludes, found.exclude)))


def _tolerance(rel_l2_error: float | None, precision: Precision) -> Tolerance:
    from benchbox.errors import UsageError
    from benchbox.schema.model import Precision
    from benchbox.stats.agreement import TOLERANCES, Tolerance

    if precision in (Precision.FP64, Precision.FP32, Precision.TF32):
        raise UsageError(
            f"{precision} cannot be bisected",
            values="nothing is converted to fp64" if precision is Precision.FP64 else "it is the fp32 graph itself",
            remedy=_BISECTED,
        )
    if precision is Precision.INT4:
        raise UsageError(
            "int4 cannot be bisected",
            values="the lists that a bisection tries are converted by benchbox, and int4 is NVIDIA ModelOpt's",
            remedy=f"benchbox export NET --precision int4 --converter modelopt --exclude PATTERN; {_BISECTED} here",
        )
    if rel_l2_error is None:
        return TOLERANCES[precision]
    return Tolerance(rel_l2_error=rel_l2_error, cosine=-1.0)


def _arguments(excludes: tuple[str, ...], found: tuple[str, ...]) -> list[str]:
    """What to paste behind ``benchbox export``: the patterns that were given, and the layers that were found."""
    import glob
    import shlex

    patterns = [*excludes, *(glob.escape(name) for name in found)]
    return [word for pattern in patterns for word in ("--exclude", shlex.quote(pattern))]
