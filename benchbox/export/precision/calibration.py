"""Which range does every tensor of a network need, observed on which data?

The network's fp32 graph runs on the calibration data with its tensors as further outputs. The largest magnitudes are
found inside the graph, so that only numbers leave it; entropy and percentile run it again, with the range known, for
every tensor's histogram.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchbox.backends.once import evaluate_graph
from benchbox.errors import ArtifactError, BenchboxError, EnvironmentLackError
from benchbox.export.judging import reason_of
from benchbox.export.opsets import structure_of
from benchbox.export.precision.samples import CalibrationData
from benchbox.graph.border import Sizes
from benchbox.graph.graph import graph_from_proto
from benchbox.graph.onnx_shapes import infer_shapes
from benchbox.schema.artifact import TensorSpec, fixed_batch
from benchbox.schema.derivation import CalibrationMethod
from benchbox.schema.model import Precision
from benchbox.stats.clipping import BINS, entropy_threshold, histogram_of, percentile_threshold
from benchbox.temporary import temporary_folder

if TYPE_CHECKING:
    import onnx

PERCENTILE = 0.9999
# Samples in one run of the graph; histograms hold all tensors of a run at once.
_RANGE_BATCH = 4
_HISTOGRAM_BATCH = 1
# Operators of which ONNX's inference says wrong sizes (``graph/standins.py``).
_MISJUDGED = frozenset({"Resize", "STFT", "Upsample"})


def ranges_from_data(
    proto: onnx.ModelProto,
    tensors: Sequence[str],
    data: CalibrationData,
    *,
    inputs: Sequence[TensorSpec],
    method: CalibrationMethod,
) -> dict[str, float]:
    """The largest magnitude that each tensor must represent; 0 for one that has no elements on the data.

    Args:
        proto: the fp32 graph.
        tensors: names of activations of it.
        data: what it runs on.
        inputs: of the graph, the batch first (None where free).
        method: minmax takes the largest magnitude observed, the others clip it.

    Raises:
        ArtifactError: a tensor that becomes NaN or infinite on the data, or bad data.
        EnvironmentLackError: ONNX Runtime is not installed.
    """
    if not tensors:  # nothing but weights is multiplied
        return {}
    fixed = fixed_batch(inputs)
    tops = _largest(proto, tensors, data, inputs, fixed or min(_RANGE_BATCH, data.samples))
    for name, top in tops.items():
        if not np.isfinite(top):
            raise ArtifactError(
                f"{name} is not finite on the calibration data",
                values=f"largest magnitude {top}, {data.text}",
                remedy="check the data and the network's weights",
            )
    if method is CalibrationMethod.MINMAX:
        return tops
    seen = {name: top for name, top in tops.items() if top > 0}  # zeros, or nothing at all, have no histogram
    counts = _histograms(proto, seen, data, inputs, fixed or _HISTOGRAM_BATCH)
    if method is CalibrationMethod.ENTROPY:
        return tops | {name: entropy_threshold(counts[name], top) for name, top in seen.items()}
    return tops | {name: percentile_threshold(counts[name], top, share=PERCENTILE) for name, top in seen.items()}


def _largest(
    proto: onnx.ModelProto,
    tensors: Sequence[str],
    data: CalibrationData,
    inputs: Sequence[TensorSpec],
    batch: int,
) -> dict[str, float]:
    from onnx import TensorProto, helper

    observed = copy.deepcopy(proto)
    names = {}
    for index, tensor in enumerate(tensors):
        low, high = f"benchbox.low.{index}", f"benchbox.high.{index}"
        # Of a tensor without elements these are infinite, the least above the largest.
        observed.graph.node.append(helper.make_node("ReduceMin", [tensor], [low], keepdims=0))
        observed.graph.node.append(helper.make_node("ReduceMax", [tensor], [high], keepdims=0))
        names[tensor] = (low, high)
    outputs = [name for pair in names.values() for name in pair]
    del observed.graph.output[:]
    observed.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, []) for name in outputs)
    specs = [TensorSpec(name=name, dtype="float32", shape=()) for name in outputs]
    tops = dict.fromkeys(tensors, 0.0)
    for made in evaluated(observed, specs, data, inputs, batch):
        for tensor, pair in names.items():
            least, most = (float(made[name]) for name in pair)
            if least > most:
                continue
            tops[tensor] = float(np.maximum(tops[tensor], np.abs([least, most]).max()))  # keeps NaN
    return tops


def _histograms(
    proto: onnx.ModelProto,
    tops: Mapping[str, float],
    data: CalibrationData,
    inputs: Sequence[TensorSpec],
    batch: int,
) -> dict[str, np.ndarray]:
    observed = copy.deepcopy(proto)
    names = [name for name in tops if name not in {spec.name for spec in inputs}]
    specs = shapes_at_batch(proto, names, inputs, batch)
    from onnx import TensorProto, helper

    del observed.graph.output[:]
    observed.graph.output.extend(
        helper.make_tensor_value_info(spec.name, TensorProto.FLOAT, list(spec.shape)) for spec in specs
    )
    counts = {name: np.zeros(BINS, dtype=np.int64) for name in tops}
    feeds = data.batches(batch)
    for made, feed in zip(evaluated(observed, specs, data, inputs, batch), feeds, strict=True):
        for name, top in tops.items():
            counts[name] += histogram_of(made[name] if name in made else feed[name], top)
    return counts


def shapes_at_batch(
    proto: onnx.ModelProto, tensors: Sequence[str], inputs: Sequence[TensorSpec], batch: int
) -> list[TensorSpec]:
    """Type and shape of float32 tensors of a graph at one batch size; raises ArtifactError for an unknown one."""
    shapes = float_shapes(proto, inputs, batch)
    unknown = [name for name in tensors if name not in shapes]
    if unknown:
        raise ArtifactError(
            "the shape of a tensor is unknown before the network runs",
            values=", ".join(unknown[:5]),
            remedy="use --calibration-method minmax, or exclude the layers",
        )
    return [TensorSpec(name=name, dtype="float32", shape=shapes[name]) for name in tensors]


def float_shapes(proto: onnx.ModelProto, inputs: Sequence[TensorSpec], batch: int) -> dict[str, tuple[int, ...]]:
    """Shapes at one batch size of all float32 tensors between nodes whose shapes are known before the network runs."""
    import onnx

    bound = copy.deepcopy(proto)
    known = {spec.name: spec for spec in inputs}
    for value in bound.graph.input:
        if value.name in known:
            value.type.tensor_type.shape.SetInParent()
            del value.type.tensor_type.shape.dim[:]
            for size in known[value.name].at_batch(batch).shape:
                value.type.tensor_type.shape.dim.add().dim_value = int(size or 0)
    for value in bound.graph.output:
        value.type.tensor_type.ClearField("shape")
    claimed = [copy.deepcopy(value) for value in bound.graph.value_info]
    del bound.graph.value_info[:]  # what a file claims of its tensors may be wrong
    inferred = infer_shapes(bound).graph
    bound.graph.value_info.extend(claimed)  # and is all that is known of operators of other domains
    shapes = {
        value.name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
        for value in (*inferred.input, *inferred.value_info, *inferred.output)
        if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    }
    known_shapes = {name: shape for name, shape in shapes.items() if shape and 0 not in shape}
    made = {name for node in proto.graph.node for name in node.output if name}
    sure = known_shapes.keys() >= made and not any(node.op_type in _MISJUDGED for node in proto.graph.node)
    return known_shapes if sure else {**known_shapes, **_propagated(bound)}


def _propagated(bound: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """Shapes of float32 tensors behind sizes that the graph computes, and where ONNX's inference is wrong."""
    from onnx import TensorProto

    try:
        graph = graph_from_proto(structure_of(bound), Path("the graph"), Sizes(), opened=True)
    except BenchboxError:
        return {}
    tensors = (tensor for node in graph.nodes for tensor in node.outputs if tensor.name not in graph.unsized)
    return {tensor.name: tensor.shape for tensor in tensors if tensor.kind == TensorProto.FLOAT and tensor.elements}


def evaluated(
    observed: onnx.ModelProto,
    outputs: Sequence[TensorSpec],
    data: CalibrationData,
    inputs: Sequence[TensorSpec],
    batch: int,
    *,
    precision: Precision = Precision.FP32,
) -> Iterator[dict[str, np.ndarray]]:
    """The outputs of a graph for each batch of the data, through ONNX Runtime.

    The graph is a copy of the network's in which more is to be seen: what fails is said of the network.

    Args:
        observed: the graph, in any precision.
        outputs: of it, with their shapes at this batch size.
        data: what it runs on.
        inputs: of the graph, the batch first.
        batch: samples at once.
        precision: what the graph is in, which decides how far it may be optimised.

    Raises:
        ArtifactError: ONNX Runtime does not load it, or it does not run on the data.
        EnvironmentLackError: ONNX Runtime is not installed.
    """
    with temporary_folder("benchbox-calibration-") as folder:
        path = folder / "observed.onnx"
        path.write_bytes(observed.SerializeToString())
        fed = False

        def feeds() -> Iterator[Mapping[str, np.ndarray]]:
            nonlocal fed
            fed = True
            yield from data.batches(batch)

        def made(*, unoptimised: bool) -> Iterator[dict[str, np.ndarray]]:
            return evaluate_graph(
                path,
                feeds(),
                inputs=[spec.at_batch(batch) for spec in inputs],
                outputs=outputs,
                precision=precision,
                unoptimised=unoptimised,
            )

        try:
            batches = made(unoptimised=False)
            try:
                first = next(batches)
            except ArtifactError:
                if fed:
                    raise
                # Its fusions refuse a norm of which some steps are in fp32 and some in fp16; the graph itself is valid.
                yield from made(unoptimised=True)
                return
            yield first
            yield from batches
        except BenchboxError as error:
            if fed or isinstance(error, EnvironmentLackError):  # what is wrong with the data is said
                raise
            raise _not_observed(error) from error
        except Exception as error:  # ONNX Runtime's errors share no public base class
            raise _not_observed(error) from error


def _not_observed(error: Exception) -> ArtifactError:
    return ArtifactError(
        "the tensors of the network cannot be observed: ONNX Runtime does not run it",
        values=reason_of(error),
        remedy="measure it in the precision of its file, or export it without what ONNX Runtime lacks",
    )
