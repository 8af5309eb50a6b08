"""How does NVIDIA ModelOpt make a low precision of the same fp32 graph?

An alternative to the passes of this package, chosen by name (``--converter modelopt``): AutoCast for fp16 and bf16,
its explicit quantisation for int8 and fp8, weights of four bits for int4, all on the CPU, from the same file, on the
same calibration data. Its graphs are checked and measured like all others. It drops the metadata of nodes, so that
executed layers are found again by their names only.
"""

from __future__ import annotations

import contextlib
import fnmatch
import glob
import importlib.metadata
import importlib.util
import io
import logging
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchbox.errors import ArtifactError, EnvironmentLackError, UsageError, one_line
from benchbox.export.precision.casting import cast_from_float
from benchbox.export.precision.fourbit import PRODUCTS, Storable, storable, with_rows_first
from benchbox.export.precision.quantization import QUANTIZABLE
from benchbox.schema.derivation import CalibrationMethod
from benchbox.schema.model import Precision
from benchbox.temporary import temporary_folder

if TYPE_CHECKING:
    import onnx

    from benchbox.export.precision.request import DerivingRequest

REMEDY = "pip install 'benchbox[modelopt]'"
_DISTRIBUTION = "nvidia-modelopt"
_METHODS = {CalibrationMethod.MINMAX: "max", CalibrationMethod.ENTROPY: "entropy"}


def version() -> str:
    """The installed version; raises EnvironmentLackError where ModelOpt is missing."""
    try:
        found = importlib.metadata.version(_DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError as error:
        raise EnvironmentLackError("NVIDIA ModelOpt is not installed", values=str(error), remedy=REMEDY) from error
    if importlib.util.find_spec("modelopt") is None:
        raise EnvironmentLackError("NVIDIA ModelOpt does not import", values="no module modelopt", remedy=REMEDY)
    return found


def converted_by_modelopt(request: DerivingRequest) -> tuple[onnx.ModelProto, int, int]:
    """ModelOpt's graph of another precision; how many of its convolutions and products read quantised values, of all.

    Raises:
        EnvironmentLackError: ModelOpt or something that it needs is not installed.
        UsageError: a calibration method that it does not have.
        ArtifactError: whatever it raises on this graph.
    """
    version()
    if request.precision is Precision.INT4:
        request = _oriented(request)
    elif request.data is not None and request.derivation.method not in _METHODS:
        raise UsageError(
            f"ModelOpt has no calibration method {request.derivation.method}",
            values=f"it has {', '.join(_METHODS)}",
            remedy="choose another --calibration-method, or remove --converter",
        )
    chosen = storable(request.proto, request.derivation.exclude) if request.precision is Precision.INT4 else None
    with temporary_folder("benchbox-modelopt-") as folder:
        path = folder / "fp32.onnx"
        path.write_bytes(request.proto.SerializeToString())
        try:
            with _quiet():
                proto = _cast(path, request) if request.data is None else _quantised(path, request, folder, chosen)
        except ImportError as error:
            raise EnvironmentLackError("ModelOpt lacks a package", values=str(error), remedy=REMEDY) from error
        except Exception as error:  # its errors and those of the packages below it share no base class
            raise ArtifactError(
                f"ModelOpt does not convert this network to {request.precision}",
                values=f"{type(error).__name__}: {one_line(error)}",
                remedy="remove --converter",
            ) from error
    proto.graph.name = request.proto.graph.name
    return proto, *_counts(proto, weights_alone=chosen is not None)


def _cast(path: Path, request: DerivingRequest) -> onnx.ModelProto:
    from modelopt.onnx.autocast import convert_to_mixed_precision

    made: onnx.ModelProto = convert_to_mixed_precision(
        str(path),
        low_precision_type=str(request.precision),
        keep_io_types=True,
        nodes_to_exclude=_expressions(request.derivation.exclude),
        providers=["cpu"],
    )
    return made


def _oriented(request: DerivingRequest) -> DerivingRequest:
    """The graph as its conversion to int4 needs it: weights with their rows first, in the type of the fallback."""
    import onnx

    proto = onnx.ModelProto()
    proto.CopyFrom(request.proto)
    proto = with_rows_first(proto)
    if request.derivation.fallback is Precision.FP16:  # ModelOpt keeps the type of the weights
        proto, _ = cast_from_float(proto, Precision.FP16)
    return replace(request, proto=proto)


def _quantised(path: Path, request: DerivingRequest, folder: Path, chosen: Storable | None) -> onnx.ModelProto:
    import onnx
    from modelopt.onnx.quantization import quantize

    assert request.data is not None
    samples = list(request.data.load())
    arrays = {spec.name: np.stack([sample[spec.name] for sample in samples]) for spec in request.inputs}
    made = folder / "quantised.onnx"
    method, exclude, options = _METHODS.get(request.derivation.method, ""), request.derivation.exclude, {}
    if chosen is not None:
        products = [node.name for node in request.proto.graph.node if node.op_type in PRODUCTS]
        exclude = tuple(glob.escape(name) for name in products if name not in chosen.nodes)
        method, options = CalibrationMethod.AWQ_CLIP, {"block_size": chosen.block}
    quantize(
        str(path),
        quantize_mode=str(request.precision),
        calibration_data=arrays,
        calibration_method=str(method),
        calibration_eps=["cpu"],
        nodes_to_exclude=_expressions(exclude),
        high_precision_dtype=str(request.derivation.fallback),
        output_path=str(made),
        log_level="ERROR",
        **options,
    )
    return onnx.load(str(made))


def _expressions(patterns: tuple[str, ...]) -> list[str]:
    """Shell patterns as the regular expressions that ModelOpt takes."""
    return [fnmatch.translate(pattern) for pattern in patterns]


def _counts(proto: onnx.ModelProto, *, weights_alone: bool) -> tuple[int, int]:
    made_by = {value: node.op_type for node in proto.graph.node for value in node.output}
    products = [node for node in proto.graph.node if node.op_type in QUANTIZABLE]
    quantised = [
        node
        for node in products
        if all(_dequantised(value, made_by, proto) for value in node.input[weights_alone:2] if value)
    ]
    return len(quantised), len(products)


def _dequantised(value: str, made_by: dict[str, str], proto: onnx.ModelProto) -> bool:
    """Whether a value comes out of a DequantizeLinear, casts in between or not."""
    if made_by.get(value) != "Cast":
        return made_by.get(value) == "DequantizeLinear"
    source = next(node.input[0] for node in proto.graph.node if value in node.output)
    return _dequantised(source, made_by, proto)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """ModelOpt's progress and warnings kept off the terminal."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        silent = io.StringIO()
        with contextlib.redirect_stdout(silent), contextlib.redirect_stderr(silent), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
