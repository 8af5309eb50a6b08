"""What does a graph look like in another precision, without its weights and without calibration?

The passes are those of the real derivation (``casting.py``, ``quantization.py``), so that the same rules decide what is
cast, quantised and left alone; only weights stay without data, and every range is 1. That is enough to count bytes.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np

from benchbox.errors import UsageError
from benchbox.export.opsets import raised_to
from benchbox.export.precision.casting import cast_from_float, rounded_weight
from benchbox.export.precision.contents import contents_of
from benchbox.export.precision.deriving import DERIVING, require_consistent
from benchbox.export.precision.eightbit import Format
from benchbox.export.precision.fourbit import OPSET_NEEDED as FOUR_BIT_OPSET
from benchbox.export.precision.fourbit import four_bit_structure
from benchbox.export.precision.quantization import Encoded, observed_tensors, quantized_from_float
from benchbox.export.precision.sixteenbit_formats import FORMATS as SIXTEEN_BIT
from benchbox.export.precision.sixteenbit_formats import Rounding
from benchbox.graph.stored import sparse_names, with_dense_weights
from benchbox.schema.derivation import Derivation
from benchbox.schema.model import Precision

if TYPE_CHECKING:
    import onnx


def structure_in_precision(proto: onnx.ModelProto, precision: Precision, derivation: Derivation) -> onnx.ModelProto:
    """The structure of a network in a precision: fp32 and tf32 as it is, the others derived.

    A file that is in the precision already is returned as it is.

    Args:
        proto: an ONNX graph; the data of large weights may be missing. Not changed.
        precision: of the result.
        derivation: what is left out and what the rest computes in.

    Raises:
        UsageError: the file is in a third precision; choices that do not apply to the precision.
        ArtifactError: the graph cannot be cast or quantised.
    """
    wanted = Precision.FP32 if precision is Precision.TF32 else precision
    require_consistent(wanted, derivation)
    given = contents_of(proto).precision
    if given is wanted:
        return proto
    if given is not Precision.FP32 or wanted is Precision.FP64:
        raise UsageError(
            f"the file is in {given}, not in {precision}",
            values="the precision of a network is in its graph",
            remedy=f"ask for --precision {given}, or give the fp32 file",
        )
    if sparse_names(proto.graph):
        proto = with_dense_weights(copy.deepcopy(proto))
    if wanted in SIXTEEN_BIT:
        return cast_from_float(proto, wanted, exclude=derivation.exclude, round_weight=_retyped)[0]
    half = derivation.fallback is Precision.FP16
    if wanted is Precision.INT4:
        given_proto = cast_from_float(proto, Precision.FP16, round_weight=_retyped)[0] if half else copy.deepcopy(proto)
        return four_bit_structure(raised_to(given_proto, FOUR_BIT_OPSET), derivation.exclude)
    assert wanted in DERIVING, "all other precisions have a derivation"
    ranges = dict.fromkeys(observed_tensors(proto, precision=wanted, exclude=derivation.exclude), 1.0)
    made = quantized_from_float(
        proto,
        ranges,
        precision=wanted,
        exclude=derivation.exclude,
        scale_type=np.float16 if half else np.float32,
        encode=_reencoded,
    ).proto
    return cast_from_float(made, Precision.FP16, round_weight=_retyped)[0] if half else made


def _retyped(tensor: onnx.TensorProto, rounding: Rounding) -> onnx.TensorProto:
    """A weight in 16 bits; only the type changes where there is no data."""
    if _has_data(tensor):
        return rounded_weight(tensor, rounding)
    return _empty(tensor, rounding.form.onnx_type)


def _reencoded(tensor: onnx.TensorProto, axis: int | None, form: Format, _: type[np.floating]) -> Encoded:
    """A weight without data in eight bits; every scale is 1."""
    shape = () if axis is None else (tensor.dims[axis],)
    kind = form.tensor(np.zeros(()), "").data_type
    return Encoded(tensor=_empty(tensor, kind), scale=np.ones(shape, dtype=np.float32))


def _has_data(tensor: onnx.TensorProto) -> bool:
    """Whether a tensor holds its values, rather than only their type and shape."""
    fields = {field.name for field, _ in tensor.ListFields()}
    return tensor.data_location != tensor.EXTERNAL and any(
        name.endswith("_data") for name in fields - {"external_data"}
    )


def _empty(tensor: onnx.TensorProto, kind: int) -> onnx.TensorProto:
    """A tensor of the same name and shape without data."""
    import onnx

    return onnx.TensorProto(name=tensor.name, dims=tensor.dims, data_type=kind)
