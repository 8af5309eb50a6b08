"""How is each precision derived from the canonical fp32 graph?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from benchbox.errors import UsageError
from benchbox.export.opsets import raised_to
from benchbox.export.precision import modelopt
from benchbox.export.precision.calibration import ranges_from_data
from benchbox.export.precision.casting import cast_from_float
from benchbox.export.precision.fourbit import require_converter
from benchbox.export.precision.quantization import OPSET_NEEDED, observed_tensors, quantized_from_float
from benchbox.export.precision.request import Derived, DerivingRequest
from benchbox.export.precision.samples import CalibrationData, data_from_choice
from benchbox.progress import Say
from benchbox.schema.artifact import OnnxArtifact, TensorSpec
from benchbox.schema.derivation import USUAL, CalibrationMethod, Converter, Derivation, Quantization
from benchbox.schema.model import ModelSource, Precision

if TYPE_CHECKING:
    import onnx

CALIBRATED = frozenset({Precision.INT8, Precision.FP8, Precision.INT4})


def derived_from_float(request: DerivingRequest, *, say: Say = lambda _: None) -> Derived:
    """The graph in the requested precision.

    Raises:
        ArtifactError: the graph cannot be derived, or bad calibration data.
        UsageError: nothing can be derived in this precision.
    """
    if request.derivation.converter is Converter.MODELOPT:
        return _by_modelopt(request, say)
    return DERIVING[request.precision](request, say)


def require_consistent(precision: Precision, derivation: Derivation) -> None:
    """Raises UsageError for choices that do not apply to this precision."""
    usual = USUAL
    if precision not in CALIBRATED:
        given = [
            flag
            for flag, value, other in (
                ("--calibration", derivation.calibration, usual.calibration),
                ("--calibration-method", derivation.method, usual.method),
                ("--fallback", derivation.fallback, usual.fallback),
            )
            if value != other
        ]
        if given:
            raise UsageError(
                f"{', '.join(given)} applies to int8, fp8 and int4 only",
                values=f"{precision} needs no calibration and no fallback",
            )
    if precision not in DERIVING and derivation.converter is not usual.converter:
        raise UsageError(f"--converter {derivation.converter} does not convert to {precision}")
    if precision not in DERIVING and derivation.exclude:
        raise UsageError(
            f"--exclude does not apply to {precision}", values="nodes are excluded from derived precisions"
        )
    if derivation.fallback not in (Precision.FP32, Precision.FP16):
        raise UsageError(f"--fallback is fp32 or fp16, not {derivation.fallback}")


def require_nothing_to_derive(original: OnnxArtifact, derivation: Derivation) -> None:
    """Raises UsageError for choices of a conversion where the file is converted already."""
    if derivation != USUAL:
        raise UsageError(
            f"{original.source} is in {original.precision} already: there is nothing to convert",
            values=f"got {derivation.variant}",
            remedy="remove --exclude, --fallback and --calibration, or give the fp32 file",
        )


def ingredients_of(derivation: Derivation, data: CalibrationData | None) -> dict[str, object]:
    """What decides a derived graph beside its fp32 graph; empty for the defaults of a precision without calibration."""
    found: dict[str, object] = {"exclude": derivation.exclude} if derivation.exclude else {}
    if data is not None:
        found |= {"method": derivation.method, "fallback": derivation.fallback, "data": data.digest}
    if derivation.converter is Converter.MODELOPT:
        found["converter"] = f"{derivation.converter} {modelopt.version()}"
    return found


def calibration_of(
    source: ModelSource, *, precision: Precision, derivation: Derivation, inputs: Sequence[TensorSpec], seed: int
) -> CalibrationData | None:
    """The data that a precision is calibrated on, not loaded yet; None where it needs none."""
    if precision not in CALIBRATED:
        return None
    return data_from_choice(derivation.calibration, source=source, inputs=inputs, seed=seed)


def newer_for(precision: Precision, proto: onnx.ModelProto) -> onnx.ModelProto:
    """A graph in the operators that a precision needs, itself where its own are as new; raises as ``raised_to``."""
    return raised_to(proto, OPSET_NEEDED) if precision in (Precision.INT8, Precision.FP8) else proto


def _sixteen_bit(request: DerivingRequest, say: Say) -> Derived:
    say(f"casting the graph to {request.precision}")
    proto, warnings = cast_from_float(request.proto, request.precision, exclude=request.derivation.exclude)
    return Derived(proto=proto, warnings=warnings)


def _eight_bit(request: DerivingRequest, say: Say) -> Derived:
    """Calibrated, quantised, and where the fallback is fp16 cast around the Q/DQ pairs."""
    request = replace(request, proto=newer_for(request.precision, request.proto))
    data, choice = request.data, request.derivation
    assert data is not None, "calibration_of gives data for every precision that is calibrated"
    ranges = request.ranges
    if ranges is None:
        tensors = observed_tensors(request.proto, precision=request.precision, exclude=choice.exclude)
        say(f"calibrating on {data.text}")
        ranges = ranges_from_data(request.proto, tensors, data, inputs=request.inputs, method=choice.method)
    say(f"quantising the graph to {request.precision}")
    half = choice.fallback is Precision.FP16
    made = quantized_from_float(
        request.proto,
        ranges,
        precision=request.precision,
        exclude=choice.exclude,
        scale_type=np.float16 if half else np.float32,
    )
    proto, warnings = made.proto, made.warnings
    if half:
        proto, losses = cast_from_float(proto, Precision.FP16)
        warnings += losses
    return _calibrated(proto, warnings, choice, data, made.quantized, made.quantizable)


def _not_here(request: DerivingRequest, say: Say) -> Derived:
    require_converter("NET", request.precision, request.derivation)
    raise AssertionError("ModelOpt's conversions are elsewhere")


def _by_modelopt(request: DerivingRequest, say: Say) -> Derived:
    say(f"ModelOpt converts the graph to {request.precision}")
    proto, quantized, quantizable = modelopt.converted_by_modelopt(request)
    if request.data is None:
        return Derived(proto=proto)
    choice = request.derivation
    if request.precision is Precision.INT4:
        choice = replace(choice, method=CalibrationMethod.AWQ_CLIP)
    return _calibrated(proto, (), choice, request.data, quantized, quantizable)


def _calibrated(
    proto: onnx.ModelProto,
    warnings: tuple[str, ...],
    choice: Derivation,
    data: CalibrationData,
    quantized: int,
    quantizable: int,
) -> Derived:
    """A quantised graph and how it was made; with a warning where the data were synthetic."""
    return Derived(
        proto=proto,
        warnings=(SYNTHETIC_WARNING, *warnings) if data.synthetic else warnings,
        quantization=Quantization(
            method=choice.method,
            data=data.text,
            synthetic=data.synthetic,
            digest=data.digest,
            samples=data.samples,
            exclude=choice.exclude,
            fallback=choice.fallback,
            quantized=quantized,
            quantizable=quantizable,
            folder=data.folder,
        ),
    )


SYNTHETIC_WARNING = (
    "CALIBRATED ON SYNTHETIC INPUTS: ranges fit random numbers, not pictures; speed is representative, accuracy is "
    "not. Give real data with --calibration"
)

DERIVING: Mapping[Precision, Callable[[DerivingRequest, Say], Derived]] = {
    Precision.FP16: _sixteen_bit,
    Precision.BF16: _sixteen_bit,
    Precision.INT8: _eight_bit,
    Precision.FP8: _eight_bit,
    Precision.INT4: _not_here,
}
