"""Which flags do several commands share, and how is their text turned into values?"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from pathlib import Path

    from benchbox.schema.artifact import BatchRange
    from benchbox.schema.derivation import Derivation
    from benchbox.schema.model import Precision

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")
_CONVERTER = "benchbox.converter"


def common_options(function: F) -> F:
    """``--root`` and ``--debug``, accepted before and after the command's name."""

    def keep_root(ctx: click.Context, _: click.Parameter, value: str | None) -> None:
        if value is not None:
            ctx.find_root().meta["benchbox.root"] = value

    function = click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error.")(
        function
    )
    return click.option(
        "--root",
        metavar="DIR",
        expose_value=False,
        is_eager=True,
        callback=keep_root,
        type=click.Path(),
        help="Project root that holds engines/ and results/ [default: BENCHBOX_ROOT, else the current directory].",
    )(function)


def project_root() -> Path:
    """The folder that holds engines/ and results/: ``--root``, else BENCHBOX_ROOT, else the current directory."""
    from pathlib import Path

    asked = click.get_current_context().find_root().meta.get("benchbox.root")
    return Path(asked or os.environ.get("BENCHBOX_ROOT") or ".")


json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")


def _complete_models(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    from benchbox.models.zoo.zoo import specs

    return [name for name in specs() if name.startswith(incomplete)]


def _complete_backends(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    from benchbox.backends.base import BACKENDS

    *done, last = incomplete.split(",")
    return [",".join([*done, name]) for name in BACKENDS.names() if name.startswith(last)]


def cuda_option(function: F) -> F:
    """``--cuda``: the package that CUDA is driven through; handed on in the environment, as workers read it there."""

    def choose(_: click.Context, __: click.Parameter, value: str | None) -> None:
        if value is not None:
            from benchbox.backends.cuda.choice import CHOICE_VARIABLE, chosen_layer

            os.environ[CHOICE_VARIABLE] = value
            chosen_layer()

    return click.option(
        "--cuda",
        metavar="LAYER",
        expose_value=False,
        callback=choose,
        help="CUDA through cuda-bindings or pycuda [default: BENCHBOX_CUDA, else cuda-bindings].",
    )(function)


def models_argument(*, many: bool, required: bool) -> Callable[[F], F]:
    """The MODEL argument: a zoo name, path/net.onnx or package.module:factory."""
    name = "MODEL..." if many else "MODEL"
    return click.argument(
        "models" if many else "model",
        metavar=name if required else f"[{name}]",
        nargs=-1 if many else 1,
        required=required,
        shell_complete=_complete_models,
    )


weights_option = click.option(
    "--weights", metavar="FILE", type=click.Path(), help="State dict to load (.pt, .pth, .safetensors), safely."
)


def source_options(function: F) -> F:
    """``--input`` and ``--weights``: what a model reference does not say itself."""
    function = weights_option(function)
    return click.option(
        "--input", "input_shape", metavar="CxHxW", help="Input shape without the batch, for example 3x224x224."
    )(function)


def derivation_options(function: F) -> F:
    """``--exclude``, ``--fallback``, ``--calibration`` and ``--calibration-method``: how low precisions are derived."""
    for option in (
        click.option(
            "--calibration-method",
            "method",
            metavar="M",
            default="minmax",
            show_default=True,
            help="How ranges follow from the values seen: minmax, entropy or percentile.",
        ),
        click.option(
            "--calibration",
            metavar="DIR",
            type=click.Path(),
            help="Images, or .npy or .npz files, to calibrate int8 and fp8 on [default: synthetic inputs, flagged].",
        ),
        click.option(
            "--fallback",
            metavar="P",
            default="fp32",
            show_default=True,
            help="Precision of what is not quantised: fp32 or fp16.",
        ),
        click.option(
            "--exclude",
            "excludes",
            metavar="PATTERN",
            multiple=True,
            help="Nodes that stay out of a low precision, for example 'layer4.*'; can be repeated.",
        ),
    ):
        function = option(function)
    return function


def converter_option(function: F) -> F:
    """``--converter``: who makes the low precision; ``parse_derivation`` finds the choice."""

    def keep(ctx: click.Context, _: click.Parameter, value: str) -> None:
        ctx.meta[_CONVERTER] = value

    return click.option(
        "--converter",
        metavar="C",
        default="benchbox",
        show_default=True,
        expose_value=False,
        callback=keep,
        help="Who converts to the precision: benchbox, or modelopt (extra modelopt).",
    )(function)


def parse_derivation(*, calibration: str | None, method: str, fallback: str, excludes: tuple[str, ...]) -> Derivation:
    """The choices of ``derivation_options`` and ``converter_option``; raises UsageError for an unknown word."""
    from benchbox.registry import require_known
    from benchbox.schema.derivation import CalibrationMethod, Converter, Derivation

    known = [choice.value for choice in CalibrationMethod]
    converters = [choice.value for choice in Converter]
    converter = click.get_current_context().meta.get(_CONVERTER, Converter.BENCHBOX)
    if calibration is not None:
        from benchbox.export.precision.samples import require_there

        require_there(calibration)
    return Derivation(
        exclude=tuple(dict.fromkeys(excludes)),
        fallback=parse_precision(fallback),
        calibration=calibration,
        method=CalibrationMethod(require_known("calibration method", method, known)),
        converter=Converter(require_known("converter", converter, converters)),
    )


def require_use(precisions: tuple[Precision, ...], choice: Derivation) -> None:
    """Raises UsageError if none of the precisions has a use for what was chosen."""
    from benchbox.errors import UsageError
    from benchbox.schema.derivation import USUAL

    if choice != USUAL and all(choice.for_precision(precision) == USUAL for precision in precisions):
        raise UsageError(
            f"--precision {','.join(precisions)} has no use for the way of conversion that was chosen",
            values=f"got {choice.variant}",
            remedy="--exclude and --converter: fp16, bf16, int8 and fp8; --fallback and --calibration: int8 and fp8",
        )


backend_option = click.option(
    "--backend",
    "backends",
    metavar="B,...",
    shell_complete=_complete_backends,
    help="Backends to run on, comma-separated [default: the best one available].",
)


def comma_list(text: str, parse: Callable[[str], T]) -> tuple[T, ...]:
    """The values of a comma-separated flag, in order, without repeats; raises what ``parse`` raises."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    return tuple(dict.fromkeys(parse(word) for word in words))


def parse_precision(text: str) -> Precision:
    """The precision of that name; an unknown one raises UsageError with the nearest known."""
    from benchbox.registry import require_known
    from benchbox.schema.model import Precision

    return Precision(require_known("precision", text, [precision.value for precision in Precision]))


def parse_count(text: str, *, flag: str) -> int:
    """A whole number of at least 1; anything else raises UsageError that names the flag."""
    from benchbox.errors import UsageError

    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise UsageError(f"{flag} takes whole numbers of at least 1", values=f"got '{text}'")
    return int(text)


def parse_share(text: str, *, flag: str) -> float:
    """A number from 0 to 1; anything else raises UsageError that names the flag."""
    from benchbox.errors import UsageError

    value = _number(text)
    if not 0 <= value <= 1:
        raise UsageError(f"{flag} takes a share from 0 to 1", values=f"got '{text}'", remedy="0.9 is 90 %")
    return value


def parse_seconds(text: str, *, flag: str) -> float:
    """A positive number of seconds; anything else raises UsageError that names the flag."""
    from benchbox.errors import UsageError

    value = _number(text)
    if not 0 < value < float("inf"):
        raise UsageError(f"{flag} takes a positive number of seconds", values=f"got '{text}'")
    return value


def _number(text: str) -> float:
    """The number that a text is, negative where it is none."""
    try:
        return float(text)
    except ValueError:
        return -1.0


def parse_batch_range(text: str) -> BatchRange:
    """MIN:OPT:MAX, or one number for a single batch size; raises UsageError unless 1 <= MIN <= OPT <= MAX."""
    from benchbox.errors import UsageError
    from benchbox.schema.artifact import BatchRange

    numbers = [parse_count(part, flag="--batch") for part in text.split(":")]
    if len(numbers) == 1:
        numbers *= 3
    if len(numbers) != 3 or sorted(numbers) != numbers:
        raise UsageError(
            "--batch takes MIN:OPT:MAX in growing order", values=f"got '{text}'", remedy="for example --batch 1:8:32"
        )
    return BatchRange(minimum=numbers[0], optimum=numbers[1], maximum=numbers[2])


def warn(line: str) -> None:
    """Prints one line to standard error."""
    click.echo(line, err=True)


def write_json(document: object) -> None:
    """Prints one JSON document to standard output; numbers that are not finite become null."""
    from benchbox.store.documents import json_text

    click.echo(json_text(document))
