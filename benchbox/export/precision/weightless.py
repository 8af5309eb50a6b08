"""What does a graph look like in another precision, when nobody has its weights and nothing was calibrated?

The passes are those of the real derivation (``casting.py``, ``quantization.py``), so that what is cast, quantised and
left alone follows from the same rules; only weights stay without data, and every range is 1. That is enough to count
bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from typing_extensions import override

from benchbox.errors import UsageError
from benchbox.export.precision.casting import _CastPass, at_needed_opset
from benchbox.export.precision.contents import contents_of
from benchbox.export.precision.deriving import DERIVING, require_consistent
from benchbox.export.precision.eightbit import FORMATS as EIGHT_BIT
from benchbox.export.precision.quantization import _channel_axis, _module_of, _Plan, _QuantizePass
from benchbox.export.precision.sixteenbit_formats import FORMATS as SIXTEEN_BIT
from benchbox.schema.derivation import Derivation
from benchbox.schema.model import Precision

if TYPE_CHECKING:
    import onnx


def structure_in_precision(proto: onnx.ModelProto, precision: Precision, derivation: Derivation) -> onnx.ModelProto:
    """The structure of a network in a precision: fp32 and tf32 as it is, the others derived.

    A file that is in the precision already is returned as it is.

    Args:
        proto: an ONNX graph; the data of large weights may be missing. Not changed.
        precision: what it is to become.
        derivation: what is left out and what the rest computes in.

    Raises:
        UsageError: the file is in a third precision; choices that the precision has no use for.
        ArtifactError: the graph cannot be cast or quantised.
    """
    wanted = Precision.FP32 if precision is Precision.TF32 else precision
    require_consistent(wanted, derivation)
    given = contents_of(proto).precision
    if given is wanted:
        return proto
    if given is not Precision.FP32:
        raise UsageError(
            f"the file is in {given}, not in {precision}",
            values="the precision of a network is in its graph",
            remedy=f"ask for --precision {given}, or give the fp32 file",
        )
    if wanted in SIXTEEN_BIT:
        return _cast(proto, wanted, derivation.exclude)
    assert wanted in DERIVING, "all other precisions have a derivation"
    half = derivation.fallback is Precision.FP16
    made = _quantized(proto, wanted, derivation.exclude, np.float16 if half else np.float32)
    return _cast(made, Precision.FP16, ()) if half else made


def _cast(proto: onnx.ModelProto, precision: Precision, exclude: Sequence[str]) -> onnx.ModelProto:
    made, weights = at_needed_opset(proto, precision)
    _WeightlessCast(made, SIXTEEN_BIT[precision], tuple(exclude), weights).run()
    return made


def _quantized(
    proto: onnx.ModelProto, precision: Precision, exclude: Sequence[str], scale_type: type[np.floating]
) -> onnx.ModelProto:
    import onnx

    plan = _Plan(proto, precision, tuple(exclude))
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    ranges = dict.fromkeys(plan.observed(), 1.0)
    _WeightlessQuantize(copy.graph, plan, EIGHT_BIT[precision], scale_type).run(ranges)
    return copy


class _WeightlessCast(_CastPass):
    """Gives weights without data the type that they would have."""

    @override
    def _convert_weights(self) -> None:
        everything = self.weights
        self.weights = [tensor for tensor in everything if _has_data(tensor)]
        super()._convert_weights()
        for tensor in everything:
            if _has_data(tensor):
                continue
            is_float, narrow = tensor.data_type == tensor.FLOAT, tensor.name in self.read_narrow
            if is_float and narrow:
                self.graph.initializer.append(_empty(tensor.name, tensor.dims, self.form.onnx_type))
            if not is_float or not narrow or tensor.name in self.read_wide:
                name = self._name(tensor.name, wide=True)
                self.graph.initializer.append(_empty(name, tensor.dims, tensor.data_type))


class _WeightlessQuantize(_QuantizePass):
    """Gives weights without data the shape and type that they would have; every scale is 1."""

    @override
    def _quantize_weights(self, node: onnx.NodeProto) -> None:
        for position, name in enumerate(node.input[:2]):
            tensor = self.constants.get(name)
            if tensor is None:
                continue
            axis = _channel_axis(node, position, len(tensor.dims))
            if (name, axis) not in self.weights_made:
                self.weights_made[name, axis] = self._pair_of_weights(tensor, axis, _module_of(node))
            node.input[position] = self.weights_made[name, axis]

    def _pair_of_weights(self, tensor: onnx.TensorProto, axis: int | None, module: str) -> str:
        import onnx

        kind = self.format.tensor(np.zeros(()), "").data_type
        shape = () if axis is None else (tensor.dims[axis],)
        eight, back = self._free(f"{tensor.name}.q"), self._free(f"{tensor.name}.dq")
        self.graph.initializer.append(_empty(eight, tensor.dims, kind))
        scale = self._constant(f"{tensor.name}.scale", np.ones(shape, dtype=np.float32))
        inputs = [eight, scale, self._zero(f"{tensor.name}.zero", shape)]
        node = self._add("DequantizeLinear", inputs, back, f"{tensor.name}.dequantize", module)
        if axis is not None:
            node.attribute.append(onnx.helper.make_attribute("axis", axis))
        return back


def _has_data(tensor: onnx.TensorProto) -> bool:
    fields = {field.name for field, _ in tensor.ListFields()}
    return tensor.data_location != tensor.EXTERNAL and any(
        name.endswith("_data") for name in fields - {"external_data"}
    )


def _empty(name: str, dims: Sequence[int], kind: int) -> onnx.TensorProto:
    """A tensor without data."""
    import onnx

    return onnx.TensorProto(name=name, dims=dims, data_type=kind)
