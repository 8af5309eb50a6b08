"""Which flags does every command about a MODEL have, and which network and low precision do they mean?"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from benchbox.cli.flags.kinds import CONVERTER, METHOD, MODEL, PRECISION, TASK, Listed
from benchbox.cli.flags.shared import common_options, grouped, json_option, parameters_of, set_parameters

if TYPE_CHECKING:
    from pathlib import Path

    from benchbox.schema.derivation import CalibrationMethod, Converter, Derivation
    from benchbox.schema.model import ModelSource, Precision

DEFAULT_MODEL = "resnet50"


@dataclass(frozen=True, kw_only=True)
class NetworkFlags:
    """What the command line says of its networks: which, their inputs and weights, how low precisions are derived.

    ``inputs`` are the shape of the only or first input, without the batch, and by name those of further inputs and
    sizes of named dimensions; ``batch_axes`` the axis that counts samples, by input; ``samples`` a file of real inputs.
    ``task`` says which network of a library's model, ``part`` which module of it.
    """

    models: tuple[str, ...] = ()
    inputs: tuple[tuple[int, ...] | None, Mapping[str, tuple[int, ...]]] = (None, {})
    batch_axes: tuple[tuple[str, int], ...] = ()
    samples: str | None = None
    weights: str | None = None
    task: str | None = None
    part: str | None = None
    excludes: tuple[str, ...] = ()
    fallback: Precision | None = None
    calibration: str | None = None
    method: CalibrationMethod | None = None
    converter: Converter | None = None

    def source(self, *, engines: bool = False) -> ModelSource:
        """The one network, or engine where such are taken; raises UsageError for what does not exist."""
        (model,) = self.models
        return self._resolved(model, engines=engines)

    def _resolved(self, model: str, *, engines: bool = False) -> ModelSource:
        from benchbox.models.sources import resolve
        from benchbox.schema.model import InputChoice

        shape, named = self.inputs
        choice = InputChoice(named=tuple(sorted(named.items())), batch_axes=self.batch_axes, samples=self.samples)
        return resolve(
            model,
            input_shape=shape,
            weights=self.weights,
            inputs=choice,
            task=self.task or "",
            part=self.part or "",
            engines=engines,
        )

    def sources(self, *, engines: bool = False) -> tuple[ModelSource, ...]:
        """Every network, each once; raises UsageError for what does not exist, and for weights of several.

        ``engines`` says whether files of engines are taken for networks.
        """
        from benchbox.errors import UsageError

        if self.weights and len(self.models) != 1:
            raise UsageError("--weights belongs to one MODEL", values=f"got {len(self.models)} models")
        return tuple(dict.fromkeys(self._resolved(model, engines=engines) for model in self.models))

    def sources_or_exported(self, root: Path) -> tuple[ModelSource, ...]:
        """Every network and engine that is named; where none is, those exported under the root, else resnet50."""
        from dataclasses import replace

        from benchbox.jobs.prepare import exported_sources

        if self.models or self.weights:
            return self.sources(engines=True)
        found = exported_sources(root, say=lambda text: click.echo(text, err=True))
        return found or replace(self, models=(DEFAULT_MODEL,)).sources()

    @property
    def derivation(self) -> Derivation:
        """How a low precision is made of the fp32 graph; raises UsageError where there is no calibration data."""
        from benchbox.schema.derivation import USUAL, Derivation

        if self.calibration is not None:
            from benchbox.export.precision.samples import require_there

            require_there(self.calibration)
        return Derivation(
            exclude=tuple(dict.fromkeys(self.excludes)),
            fallback=self.fallback or USUAL.fallback,
            calibration=self.calibration,
            method=self.method or USUAL.method,
            converter=self.converter or USUAL.converter,
        )

    def derivation_for(self, precisions: Collection[Precision]) -> Derivation:
        """The same; raises what ``require_effect`` does."""
        choice = self.derivation
        require_effect(choice, precisions, model=self.models[0] if self.models else DEFAULT_MODEL)
        return choice


def require_effect(choice: Derivation, precisions: Collection[Precision], *, model: str | None) -> None:
    """Raises UsageError if the way of conversion has no effect on any of the precisions, or cannot make one of them.

    Args:
        choice: the way of conversion.
        precisions: that are asked for.
        model: a network for the command that works instead; None where nothing is converted, only counted.
    """
    from benchbox.errors import UsageError
    from benchbox.schema.derivation import USUAL

    if choice != USUAL and all(choice.for_precision(precision) == USUAL for precision in precisions):
        raise UsageError(
            "--exclude, --fallback, --calibration and --converter have no effect with "
            f"--precision {','.join(dict.fromkeys(precisions))}",
            values=f"got {choice.variant}",
            remedy="--exclude and --converter: fp16, bf16, int8, fp8 and int4; --fallback and --calibration: int8, "
            "fp8 and int4",
        )
    if model is not None and "int4" in precisions:
        from benchbox.export.precision.fourbit import require_converter

        for precision in precisions:
            require_converter(model, precision, choice)


def network_command(
    name: str,
    *,
    many: bool = False,
    required: bool = True,
    derived: bool = True,
    converter: bool = True,
) -> Callable[[Callable[..., Any]], click.Command]:
    """A command about MODEL: its argument and the flags that all such commands share, as one ``network``.

    The command's function also gets ``as_json``. Its own flags come first in the help.

    Args:
        name: of the command.
        many: whether it takes several MODELs.
        required: whether it needs one.
        derived: whether it has the flags that say how a low precision is derived.
        converter: whether ``--converter`` is one of them.
    """
    options = [_model(many=many, required=required)]
    if derived:
        options += [*_DERIVATION, *([_CONVERTER] if converter else [])]
    options += [_INPUTS, _BATCH_AXIS, _SAMPLES, _WEIGHTS, _TASK, _PART]

    def decorate(function: Callable[..., Any]) -> click.Command:
        own = parameters_of(function)
        set_parameters(function, [])
        command = grouped("network", NetworkFlags, *options)(json_option(common_options(function)))
        set_parameters(command, [*parameters_of(command), *own])  # the help shows them from the last to the first
        return click.command(name)(command)

    return decorate


def _model(*, many: bool, required: bool) -> Callable[[Any], Any]:
    shown = "MODEL..." if many else "MODEL"

    def as_tuple(_: click.Context, __: click.Parameter, value: str | tuple[str, ...] | None) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        return () if value is None else (value,)

    return click.argument(
        "models",
        metavar=shown if required else f"[{shown}]",
        nargs=-1 if many else 1,
        required=required,
        type=MODEL,
        callback=as_tuple,
    )


def _shapes(_: click.Context, __: click.Parameter, value: tuple[str, ...]) -> Any:
    from benchbox.models.sources import parse_shapes

    return parse_shapes(value)


def _axes(_: click.Context, __: click.Parameter, value: tuple[str, ...]) -> Any:
    from benchbox.models.sources import parse_axes

    return parse_axes(value)


EXCLUDE = click.option(
    "--exclude",
    "excludes",
    metavar="PATTERN",
    multiple=True,
    help="Nodes to keep out of a low precision, for example 'layer4.*'; can be repeated.",
)
FALLBACK = click.option(
    "--fallback",
    metavar="P",
    type=PRECISION,
    default="fp32",
    show_default=True,
    help="Precision of what int8, fp8 and int4 leave unquantised: fp32 or fp16.",
)
_DERIVATION = (
    EXCLUDE,
    FALLBACK,
    click.option(
        "--calibration",
        metavar="DIR",
        type=click.Path(),
        help="Images, or .npy or .npz files, to calibrate int8, fp8 and int4 with [default: synthetic inputs, "
        "flagged].",
    ),
    click.option(
        "--calibration-method",
        "method",
        metavar="M",
        type=METHOD,
        default="minmax",
        show_default=True,
        help="How calibration sets the ranges: minmax, entropy or percentile.",
    ),
)
_CONVERTER = click.option(
    "--converter",
    metavar="C",
    type=CONVERTER,
    default="benchbox",
    show_default=True,
    help="Tool that converts to the precision: benchbox, or modelopt (extra modelopt), which alone makes int4.",
)
_INPUTS = click.option(
    "--input",
    "inputs",
    metavar="SIZES",
    multiple=True,
    callback=_shapes,
    help="Sizes without the batch: 3x224x224 of the first input, NAME=3x224x224 of one of several, DIMENSION=128 of a "
    "named free size wherever it occurs; can be repeated.",
)
_BATCH_AXIS = click.option(
    "--batch-axis",
    "batch_axes",
    metavar="NAME=AXIS",
    multiple=True,
    callback=_axes,
    help="The axis of an input that counts samples, from 0, where the file does not show it; can be repeated.",
)
_SAMPLES = click.option(
    "--inputs",
    "samples",
    metavar="FILE.npz",
    type=click.Path(),
    help="Real inputs: arrays by input name, samples along their first axis, fed in turn [default: seeded values].",
)
_WEIGHTS = click.option(
    "--weights",
    metavar="FILE",
    type=click.Path(),
    help="State dict to load (.pt, .pth or .safetensors); pickled code is never executed.",
)
_TASK = click.option(
    "--task",
    metavar="TASK",
    type=TASK,
    help="Which network of a Hugging Face model (hf:...), for example text-classification [default: its own].",
)
_PART = click.option(
    "--module",
    "part",
    metavar="NAME",
    help="Measure this module of the network alone, for example encoder.layer.0, with the inputs that it gets.",
)


def precisions_option(meaning: str) -> Callable[[Any], Any]:
    """``--precision P,...`` with what it means for a command; None where it was not given (``own_precision``)."""
    return click.option(
        "--precision",
        "precisions",
        metavar="P,...",
        type=Listed(PRECISION),
        help=f"{meaning} [default: what the ONNX file is in, else fp32].",
    )
