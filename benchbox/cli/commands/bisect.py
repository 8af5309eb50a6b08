"""Which layers lose a network's accuracy in a precision?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from benchbox.cli.options import (
    common_options,
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
    from benchbox.schema.bisection import Bisection
    from benchbox.schema.model import Precision
    from benchbox.stats.agreement import Tolerance


@click.command("bisect")
@models_argument(many=False, required=True)
@click.option("--precision", "precision_text", metavar="P", required=True, help="fp16, int8 or fp8.")
@click.option("--against", metavar="P", default="fp32", show_default=True, help="Precision to compare with: fp32.")
@click.option(
    "--tolerance",
    metavar="X",
    help="Largest relative L2 error of the outputs [default: what export allows in this precision].",
)
@click.option("--top", metavar="N", default="10", show_default=True, help="Layers to list.")
@derivation_options
@source_options
@json_option
@common_options
def command(
    model: str,
    precision_text: str,
    against: str,
    tolerance: str | None,
    top: str,
    excludes: tuple[str, ...],
    fallback: str,
    calibration: str | None,
    method: str,
    input_shape: str | None,
    weights: str | None,
    as_json: bool,
) -> None:
    """Find the layers of MODEL that lose most in a precision, and the smallest list of them to exclude.

    Both graphs run on the same samples in ONNX Runtime with every layer's output visible. The list is what --exclude
    needs so that the outputs are within tolerance; each candidate is converted and run.

    \b
    Examples:
      benchbox bisect resnet50 --precision int8 --calibration photos/
      benchbox bisect mobilenet_v3_small --precision int8 --tolerance 0.01
    """
    from benchbox.cli.progress import shown_progress
    from benchbox.errors import UsageError
    from benchbox.export.bisection import bisection_from_artifact
    from benchbox.models.sources import parse_shape, resolve
    from benchbox.pipeline import onnx_from_source
    from benchbox.schema.model import Precision

    precision = parse_precision(precision_text)
    if parse_precision(against) is not Precision.FP32:
        raise UsageError("layers are compared with fp32 only", values=f"got --against {against}")
    choice = parse_derivation(calibration=calibration, method=method, fallback=fallback, excludes=excludes)
    require_use((precision,), choice)
    shown = parse_count(top, flag="--top")
    source = resolve(model, input_shape=parse_shape(input_shape) if input_shape else None, weights=weights)
    root = project_root()
    with shown_progress() as progress:
        original = onnx_from_source(source, precision=Precision.FP32, root=root, say=progress.say)
        found = bisection_from_artifact(
            original,
            source=source,
            precision=precision,
            derivation=choice,
            tolerance=_tolerance(tolerance, precision),
            root=root,
            say=progress.say,
        )
    if as_json:
        from benchbox.store.documents import document_from_bisection

        write_json({"schema": "benchbox.bisect/1", **document_from_bisection(found)})
        return
    click.echo(_text(found, shown))


def _tolerance(text: str | None, precision: Precision) -> Tolerance:
    from benchbox.errors import UsageError
    from benchbox.stats.agreement import TOLERANCES, Tolerance

    if text is None:
        if precision not in TOLERANCES:
            raise UsageError(f"there is no tolerance for {precision}", remedy="give one: --tolerance 0.01")
        return TOLERANCES[precision]
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1:
        raise UsageError("--tolerance takes a number between 0 and 1", values=f"got '{text}'")
    return Tolerance(rel_l2_error=value, cosine=-1.0)


def _text(found: Bisection, shown: int) -> str:
    before, after = found.before, found.restored
    verdict = "within" if before.passed else "beyond"
    lines = [
        f"{found.model} {found.precision} against fp32: relative L2 {before.rel_l2_error:.3g}, "
        f"cosine {before.cosine:.6f}, {verdict} tolerance (relative L2 {found.rel_l2_tolerance:g})",
        "",
        f"{'adds':>8}  {'before':>8}  {'after':>8}  layer",
    ]
    lines += [
        f"{layer.added:8.4f}  {layer.before:8.4f}  {layer.after:8.4f}  {layer.node} ({layer.op})"
        for layer in found.layers[:shown]
    ]
    if found.exclude:
        flags = " ".join(f"--exclude '{name}'" for name in found.exclude)
        lines += [
            "",
            f"restored to relative L2 {after.rel_l2_error:.3g} with {len(found.exclude)} left out "
            f"({found.conversions} graphs converted and run):",
            f"  {flags}",
        ]
    return "\n".join(lines)
