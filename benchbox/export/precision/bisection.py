"""Which layers lose a network's accuracy in a precision, and which must stay out of it?

Both graphs run on the same samples in ONNX Runtime with the output of every node visible. Nodes that write or read a
number beyond the format's range come first, then nodes by the error that they add; the worst of these are also excluded
one at a time, and ranked by what that gains. In this order nodes are excluded until the tolerance holds, and given back
one by one where it still holds without them. Every list that is tried is a graph that is really converted and run.
"""

from __future__ import annotations

import copy
import glob
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchbox.errors import ArtifactError, UsageError
from benchbox.export.large import require_convertible
from benchbox.export.opsets import with_node_names
from benchbox.export.precision.calibration import evaluated, float_shapes, ranges_from_data
from benchbox.export.precision.deriving import CALIBRATED, DERIVING, calibration_of, derived_from_float, newer_for
from benchbox.export.precision.emulation import emulated_from_graph
from benchbox.export.precision.quantization import QUANTIZABLE, observed_tensors
from benchbox.export.precision.request import DerivingRequest
from benchbox.export.precision.samples import CalibrationData
from benchbox.export.precision.sixteenbit_formats import FORMATS, emulated_format
from benchbox.graph.external import whole_model
from benchbox.graph.stored import WHOLE, with_dense_weights
from benchbox.graph.structure import with_functions_in_place
from benchbox.progress import Say
from benchbox.schema.accuracy import Bisection, LayerError
from benchbox.schema.artifact import Hop, OnnxArtifact, TensorSpec
from benchbox.schema.derivation import Derivation
from benchbox.schema.model import ModelSource, Precision
from benchbox.stats.agreement import Tolerance, hop_from_outputs
from benchbox.stats.batches import sample_in
from benchbox.stats.inputs import seeded_arrays

if TYPE_CHECKING:
    import onnx

# The samples that an export is checked on.
SAMPLES = 4
# Layers that are excluded one at a time, to see what each gains.
ALONE = 48


@dataclass(frozen=True, kw_only=True)
class BisectionRequest:
    """A checked fp32 file, the precision to derive from it, and the tolerance that its outputs must keep.

    ``source`` is the network, for its calibration data; ``derivation`` says what is excluded already.
    """

    original: OnnxArtifact
    source: ModelSource
    precision: Precision
    derivation: Derivation
    tolerance: Tolerance
    root: Path


def bisection_from_request(request: BisectionRequest, *, say: Say = lambda _: None) -> Bisection:
    """The layers that lose most, and the smallest exclude list found that restores the tolerance.

    Raises:
        UsageError: a precision that no graph is derived in.
        ArtifactError: no exclude list restores the tolerance.
        EnvironmentLackError: ONNX Runtime is not installed.
    """
    if request.precision not in DERIVING:
        raise UsageError(
            f"{request.precision} cannot be bisected",
            values=f"layers can be excluded from {', '.join(DERIVING)}; got {request.precision}",
        )
    return _Search(request, say).result()


@dataclass
class _Search:
    """One network's search: its fp32 values and its ranges are computed once."""

    request: BisectionRequest
    say: Say
    conversions: int = 0
    hops: dict[tuple[str, ...], Hop] = field(default_factory=dict)

    def __post_init__(self) -> None:
        original = self.request.original
        self.precision, self.inputs = self.request.precision, original.inputs
        path = self.request.root / original.path
        require_convertible(path, model=original.model, precision=self.precision)
        flat = with_functions_in_place(whole_model(path))
        self.proto = newer_for(self.precision, with_dense_weights(with_node_names(flat), most=WHOLE))
        fixed = original.fixed_batch
        self.batch = fixed or SAMPLES
        samples = 2 * fixed if fixed else SAMPLES
        self.feed = seeded_arrays(self.inputs, seed=original.seed, samples=samples)
        self.shapes = float_shapes(self.proto, self.inputs, self.batch)
        self.outputs = [value.name for value in self.proto.graph.output if value.name in self.shapes]
        if not self.outputs:
            names = ", ".join(spec.name for spec in original.outputs[:3])
            raise ArtifactError(
                f"the outputs of {original.model} cannot be compared layer by layer",
                values=f"{names}: no fp32 tensor of a size that is known before it runs",
                remedy="export the network with fixed sizes and fp32 outputs; 'benchbox export' compares it as a whole",
            )
        self.nodes = [node for node in self.proto.graph.node if node.output[0] in self.shapes]
        self.data = calibration_of(
            self.request.source,
            precision=self.precision,
            derivation=self.request.derivation,
            inputs=self.inputs,
            seed=original.seed,
        )
        self.ranges = self._ranges()
        self.say("running every layer in fp32")
        self.exact = self._run(self.proto, [node.output[0] for node in self.nodes], Precision.FP32)

    def _ranges(self) -> dict[str, float] | None:
        if self.data is None:
            return None
        self.say(f"calibrating on {self.data.text}")
        choice = self.request.derivation
        tensors = observed_tensors(self.proto, precision=self.precision, exclude=choice.exclude)
        return ranges_from_data(self.proto, tensors, self.data, inputs=self.inputs, method=choice.method)

    def result(self) -> Bisection:
        """The whole search."""
        before = self._hop(())
        self.say(f"comparing every layer in {self.precision}")
        layers = self._layers(())
        exclude: tuple[str, ...] = ()
        if not before.passed:
            ranked = self._candidates(layers)
            exclude = self._smaller(self._enough(ranked))
        return Bisection(
            model=self.request.original.model,
            precision=self.precision,
            rel_l2_tolerance=self.request.tolerance.rel_l2_error,
            cosine_tolerance=self.request.tolerance.cosine,
            before=before,
            layers=layers,
            exclude=exclude,
            restored=self._hop(exclude),
            conversions=self.conversions,
        )

    def _derived(self, exclude: Sequence[str]) -> onnx.ModelProto:
        choice = self.request.derivation
        patterns = (*choice.exclude, *(glob.escape(name) for name in exclude))
        self.conversions += 1
        return derived_from_float(
            DerivingRequest(
                proto=self.proto,
                precision=self.precision,
                derivation=replace(choice, exclude=patterns),
                inputs=self.inputs,
                data=self.data,
                ranges=self.ranges,
            )
        ).proto

    def _hop(self, exclude: tuple[str, ...]) -> Hop:
        key = tuple(sorted(exclude))
        if key not in self.hops:
            made = self._run(self._derived(exclude), self.outputs, self.precision)
            exact = {name: self.exact[name] for name in self.outputs}
            emulated = emulated_format(self.precision, self.request.derivation.fallback) is not None
            name = f"onnx-{self.precision}" + ("-emulated" if emulated else "")
            self.hops[key] = hop_from_outputs("onnx-fp32", name, exact, made, self.request.tolerance)
        return self.hops[key]

    def _run(self, proto: onnx.ModelProto, tensors: Sequence[str], precision: Precision) -> dict[str, np.ndarray]:
        """Tensors of a graph on the samples, cast to fp32."""
        from onnx import TensorProto, helper

        form = None if precision is Precision.FP32 else emulated_format(precision, self.request.derivation.fallback)
        watched = copy.deepcopy(proto) if form is None else emulated_from_graph(proto, form)
        del watched.graph.output[:]
        shown = []
        for index, name in enumerate(tensors):
            seen, shape = f"benchbox.watched.{index}", self.shapes[name]
            watched.graph.node.append(helper.make_node("Cast", [name], [seen], to=TensorProto.FLOAT))
            watched.graph.output.append(helper.make_tensor_value_info(seen, TensorProto.FLOAT, list(shape)))
            shown.append(TensorSpec(name=seen, dtype="float32", shape=shape))
        batches = evaluated(
            watched,
            shown,
            _calibration_like(self.feed, self.inputs),
            self.inputs,
            self.batch,
            precision=Precision.FP32 if form and form.precision is precision else precision,
        )
        parts: dict[str, list[np.ndarray]] = {name: [] for name in tensors}
        for made in batches:
            for name, spec in zip(tensors, shown, strict=True):
                parts[name].append(made[spec.name])
        return {name: np.concatenate([np.atleast_1d(array) for array in arrays]) for name, arrays in parts.items()}

    def _layers(self, exclude: tuple[str, ...]) -> tuple[LayerError, ...]:
        """Every node with its error, the largest added error first, the graph's order among equals."""
        derived = self._derived(exclude)
        there = {value for node in derived.graph.node for value in node.output}
        known = [node.output[0] for node in self.nodes if node.output[0] in there]
        made = self._run(derived, known, self.precision)
        errors = {name: _relative(self.exact[name], made[name]) for name in known}
        found = []
        for node in self.nodes:
            if node.output[0] not in errors:
                continue
            before = max((errors.get(value, 0.0) for value in node.input), default=0.0)
            after = errors[node.output[0]]
            found.append(
                LayerError(node=node.name, op=node.op_type, before=before, after=after, added=_added(before, after))
            )
        return tuple(sorted(found, key=lambda layer: -layer.added))

    def _candidates(self, layers: Sequence[LayerError]) -> list[str]:
        """Nodes that can be excluded, the most harmful first."""
        beyond = [name for name in self._beyond_range() if name]
        if beyond:
            # An overflow hides the errors of everything behind it.
            layers = self._layers(tuple(beyond))
        if self.precision in CALIBRATED:
            others = dict.fromkeys(self._quantized_in_order(layers))
        else:
            others = dict.fromkeys(layer.node for layer in layers if layer.node)
        rest = [name for name in others if name not in beyond]
        if beyond and self._tried(beyond):
            return [*beyond, *rest]
        worst = rest[:ALONE]
        if len(rest) < 2 and self.precision in CALIBRATED:
            return rest  # without its only quantised layer there is nothing to convert
        self.say(f"excluding each of the {len(worst)} worst layers alone")
        gains = {name: self._hop((*beyond, name)).rel_l2_error for name in worst}
        return [*beyond, *sorted(worst, key=lambda name: gains[name]), *rest[ALONE:]]

    def _beyond_range(self) -> Iterator[str]:
        """Nodes that write or read numbers beyond the 16-bit format's range, in the order of the graph."""
        form = FORMATS.get(self.precision)
        if form is None:
            return
        large = {name for name, array in self.exact.items() if np.abs(array).max(initial=0.0) > form.largest}
        for node in self.nodes:
            if large.intersection((*node.input, *node.output)):
                yield node.name

    def _quantized_in_order(self, layers: Sequence[LayerError]) -> Iterator[str]:
        """The error of an int8 network at an unquantised node comes from rounding its inputs.

        So it counts for the quantised node in front of it.
        """
        makers = {value: node for node in self.proto.graph.node for value in node.output}
        by_name = {node.name: node for node in self.nodes}
        quantised = self._quantised()
        found = [name for layer in layers for name in _quantizable_at(by_name[layer.node], makers)]
        found += [node.name for node in self.nodes]
        yield from (name for name in found if name in quantised)

    def _quantised(self) -> frozenset[str]:
        """Nodes that are quantised where none is excluded: those with weights of their own, for example."""
        graph = self._derived(()).graph
        restored = {value for node in graph.node if node.op_type == "DequantizeLinear" for value in node.output}
        return frozenset(
            node.name for node in graph.node if node.op_type in QUANTIZABLE and not restored.isdisjoint(node.input)
        )

    def _enough(self, ranked: Sequence[str]) -> tuple[str, ...]:
        """A shortest beginning of the ranking that restores the tolerance, found by doubling and halving."""
        most = len(ranked) - (self.precision in CALIBRATED)  # one node at least must be left to quantise
        size = 1
        while size < most and not self._tried(ranked[:size]):
            size *= 2
        high = min(size, most)
        if not ranked:
            raise ArtifactError(
                f"no layer of {self.request.original.model} can be excluded",
                values=f"none of its {len(self.proto.graph.node)} nodes makes an fp32 tensor of a size that is known "
                "before it runs",
                remedy="export the network with fixed sizes, or try another --calibration or precision",
            )
        if high < 1 or not self._tried(ranked[:high]):
            raise ArtifactError(
                f"no exclude list restores the tolerance of {self.request.original.model} in {self.precision}",
                values=f"relative L2 {self.request.tolerance.rel_l2_error:g} is missed even with {max(0, most)} "
                f"of {len(ranked)} layers excluded: {self._hop(tuple(ranked[: max(0, high)])).rel_l2_error:.3g}",
                remedy="allow more with --tolerance, or try another --calibration, --calibration-method or precision",
            )
        low = size // 2
        while high - low > 1:
            middle = (low + high) // 2
            if self._tried(ranked[:middle]):
                high = middle
            else:
                low = middle
        return tuple(ranked[:high])

    def _smaller(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """The list without the nodes that it can do without, the least harmful tried first."""
        kept = list(names)
        for name in reversed(names):
            fewer = [other for other in kept if other != name]
            if fewer and self._tried(fewer):
                kept = fewer
        return tuple(kept)

    def _tried(self, exclude: Sequence[str]) -> bool:
        hop = self._hop(tuple(exclude))
        verdict = "within" if hop.passed else "beyond"
        self.say(f"{len(exclude)} excluded: relative L2 {hop.rel_l2_error:.3g}, {verdict} tolerance")
        return hop.passed


def _quantizable_at(node: onnx.NodeProto, makers: Mapping[str, onnx.NodeProto]) -> Iterator[str]:
    """The node if it can be quantised, else the nearest ones in front of it that can."""
    waiting, seen = [node], set()
    while waiting:
        current = waiting.pop()
        if current.output[0] in seen:
            continue
        seen.add(current.output[0])
        if current.op_type in QUANTIZABLE:
            yield current.name
        else:
            waiting += [makers[value] for value in current.input if value in makers]


def _added(before: float, after: float) -> float:
    """Errors of different origin are independent, so their squares add; behind an overflow they are undefined."""
    if not np.isfinite(before):
        return 0.0
    if not np.isfinite(after):
        return float("inf")
    return float(max(0.0, after**2 - before**2) ** 0.5)


def _relative(exact: np.ndarray, made: np.ndarray) -> float:
    if not np.isfinite(made).all():
        return float("inf")
    wide = exact.astype(np.float64)
    size, apart = float(np.linalg.norm(wide)), float(np.linalg.norm(wide - made))
    return apart / size if size else float(apart > 0)


def _calibration_like(feed: Mapping[str, np.ndarray], inputs: Sequence[TensorSpec]) -> CalibrationData:
    axes = {spec.name: spec.batch_axis for spec in inputs}
    size = next((feed[name].shape[axis] for name, axis in axes.items() if axis is not None), 1)

    def load() -> Iterator[Mapping[str, np.ndarray]]:
        for index in range(size):
            yield {name: sample_in(array, axes[name], index) for name, array in feed.items()}

    return CalibrationData(text="check samples", synthetic=True, digest="", samples=size, axes=axes, load=load)
