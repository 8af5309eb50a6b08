"""Which layers lose a network's accuracy in a precision, and which must stay out of it?

Both graphs run on the same samples in ONNX Runtime with the output of every node visible. The error that a node adds
ranks it. Nodes are then excluded in this order until the tolerance holds, and given back one by one where it still
holds without them; every candidate list is a graph that is really converted and run.
"""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchbox.errors import ArtifactError, UsageError
from benchbox.export.calibration import evaluated, ranges_from_data, shapes_at_batch
from benchbox.export.deriving import CALIBRATED, DERIVING, DerivingRequest, calibration_of, derived_from_float
from benchbox.export.quantization import QUANTIZABLE, observed_tensors
from benchbox.export.samples import CalibrationData
from benchbox.schema.artifact import Hop, OnnxArtifact, TensorSpec
from benchbox.schema.bisection import Bisection, LayerError
from benchbox.schema.derivation import Derivation
from benchbox.schema.model import ModelSource, Precision
from benchbox.stats.agreement import Tolerance, hop_from_outputs
from benchbox.stats.inputs import seeded_arrays

if TYPE_CHECKING:
    import onnx

Say = Callable[[str], None]
SAMPLES = 4
# What ONNX Runtime's CPU provider computes, as it is or through casts.
RUNNABLE = frozenset({Precision.FP16, *CALIBRATED})


def bisection_from_artifact(
    original: OnnxArtifact,
    *,
    source: ModelSource,
    precision: Precision,
    derivation: Derivation,
    tolerance: Tolerance,
    root: Path,
    say: Say = lambda _: None,
) -> Bisection:
    """The layers that lose most, and the smallest exclude list found that restores the tolerance.

    Args:
        original: the checked fp32 file.
        source: the network, for its calibration data.
        precision: fp16, int8 or fp8.
        derivation: what is excluded already, fallback and calibration.
        tolerance: that the outputs must keep against fp32.
        root: project root.
        say: is told what is being done.

    Raises:
        UsageError: a precision that ONNX Runtime does not compute here.
        ArtifactError: no exclude list restores the tolerance.
    """
    if precision not in RUNNABLE or precision not in DERIVING:
        raise UsageError(
            f"{precision} cannot be bisected",
            values=f"layers are compared on ONNX Runtime's CPU provider, which computes {', '.join(sorted(RUNNABLE))}",
        )
    search = _Search(original, source, precision, derivation, tolerance, root, say)
    return search.result()


@dataclass
class _Search:
    """One network's search: its fp32 values are computed once, its ranges too."""

    original: OnnxArtifact
    source: ModelSource
    precision: Precision
    derivation: Derivation
    tolerance: Tolerance
    root: Path
    say: Say
    conversions: int = 0
    hops: dict[tuple[str, ...], Hop] = field(default_factory=dict)

    def __post_init__(self) -> None:
        import onnx

        self.proto = onnx.load(str(self.root / self.original.path))
        self.batch = self.original.inputs[0].shape[0] or SAMPLES
        self.feed = seeded_arrays(self.original.inputs, seed=self.original.seed, samples=self.batch)
        self.data = calibration_of(
            self.source,
            precision=self.precision,
            derivation=self.derivation,
            inputs=self.original.inputs,
            seed=self.original.seed,
        )
        self.ranges = self._ranges()
        self.outputs = [value.name for value in self.proto.graph.output]
        self.exact = self._run(self.proto, self.outputs, Precision.FP32)

    def _ranges(self) -> dict[str, float] | None:
        if self.data is None:
            return None
        self.say(f"calibrating on {self.data.text}")
        tensors = observed_tensors(self.proto, precision=self.precision, exclude=self.derivation.exclude)
        return ranges_from_data(
            self.proto, tensors, self.data, inputs=self.original.inputs, method=self.derivation.method
        )

    def result(self) -> Bisection:
        """The whole search."""
        before = self._hop(())
        self.say("comparing every layer with fp32")
        layers = self._layers()
        exclude: tuple[str, ...] = ()
        if not before.passed:
            ranked = self._candidates(layers)
            self.say(f"searching {len(ranked)} layers for those that must stay out")
            exclude = self._smaller(self._enough(ranked))
        return Bisection(
            model=self.original.model,
            precision=self.precision,
            rel_l2_tolerance=self.tolerance.rel_l2_error,
            cosine_tolerance=self.tolerance.cosine,
            before=before,
            layers=layers,
            exclude=exclude,
            restored=self._hop(exclude),
            conversions=self.conversions,
        )

    def _derived(self, exclude: Sequence[str]) -> onnx.ModelProto:
        patterns = (*self.derivation.exclude, *(glob.escape(name) for name in exclude))
        request = DerivingRequest(
            proto=self.proto,
            precision=self.precision,
            derivation=replace(self.derivation, exclude=patterns),
            inputs=self.original.inputs,
            data=self.data,
            ranges=self.ranges,
        )
        self.conversions += 1
        return derived_from_float(request).proto

    def _hop(self, exclude: tuple[str, ...]) -> Hop:
        key = tuple(sorted(exclude))
        if key not in self.hops:
            made = self._run(self._derived(exclude), self.outputs, self.precision)
            self.hops[key] = hop_from_outputs("onnx-fp32", f"onnx-{self.precision}", self.exact, made, self.tolerance)
        return self.hops[key]

    def _run(self, proto: onnx.ModelProto, tensors: Sequence[str], precision: Precision) -> dict[str, np.ndarray]:
        """Tensors of a graph on the samples, cast to fp32 whatever they are in."""
        from onnx import TensorProto, helper

        specs = shapes_at_batch(self.proto, tensors, self.original.inputs, self.batch)
        watched = _copied(proto)
        del watched.graph.output[:]
        shown = []
        for index, spec in enumerate(specs):
            name = f"benchbox.watched.{index}"
            watched.graph.node.append(helper.make_node("Cast", [spec.name], [name], to=TensorProto.FLOAT))
            watched.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, list(spec.shape)))
            shown.append(TensorSpec(name=name, dtype="float32", shape=spec.shape))
        (made,) = evaluated(
            watched,
            shown,
            _one_batch(self.feed, self.batch),
            self.original.inputs,
            self.batch,
            precision=precision,
            fallback=self.derivation.fallback,
        )
        return {spec.name: made[new.name] for spec, new in zip(specs, shown, strict=True)}

    def _layers(self) -> tuple[LayerError, ...]:
        tensors = [node.output[0] for node in self.proto.graph.node if _is_float(node)]
        exact = self._run(self.proto, tensors, Precision.FP32)
        derived = self._derived(())
        there = {value for node in derived.graph.node for value in node.output}
        known = [name for name in tensors if name in there]
        made = self._run(derived, known, self.precision)
        errors = {name: _relative(exact[name], made[name]) for name in known}
        found = []
        for node in self.proto.graph.node:
            if node.output[0] not in errors:
                continue
            before = max((errors.get(value, 0.0) for value in node.input), default=0.0)
            after = errors[node.output[0]]
            added = float("inf") if not np.isfinite(after) else max(0.0, after**2 - before**2) ** 0.5
            found.append(LayerError(node=node.name, op=node.op_type, before=before, after=after, added=added))
        return tuple(sorted(found, key=lambda layer: -layer.added))

    def _candidates(self, layers: Sequence[LayerError]) -> list[str]:
        """Nodes that can be excluded, the most harmful first.

        What an int8 network loses at a node that is not quantised itself was lost by rounding what it reads: that is
        put down to the quantised node in front of it.
        """
        if self.precision not in CALIBRATED:
            return [layer.node for layer in layers]
        makers = {value: node for node in self.proto.graph.node for value in node.output}
        by_name = {node.name: node for node in self.proto.graph.node}
        ranked: dict[str, None] = {}
        for layer in layers:
            for name in _quantizable_at(by_name[layer.node], makers):
                ranked.setdefault(name)
        for node in self.proto.graph.node:
            if node.op_type in QUANTIZABLE:
                ranked.setdefault(node.name)
        return list(ranked)

    def _enough(self, ranked: Sequence[str]) -> tuple[str, ...]:
        """A shortest beginning of the ranking that restores the tolerance, found by doubling and halving."""
        most = len(ranked) - (self.precision in CALIBRATED)  # one node at least must be left to quantise
        size = 1
        while size < most and not self._hop(tuple(ranked[:size])).passed:
            size *= 2
        high = min(size, most)
        if high < 1 or not self._hop(tuple(ranked[:high])).passed:
            raise ArtifactError(
                f"no exclude list restores the tolerance of {self.original.model} in {self.precision}",
                values=f"relative L2 {self.tolerance.rel_l2_error:g} is missed even with {most} layers left out",
                remedy="try another --calibration, --calibration-method or precision",
            )
        low = size // 2
        while high - low > 1:
            middle = (low + high) // 2
            if self._hop(tuple(ranked[:middle])).passed:
                high = middle
            else:
                low = middle
        return tuple(ranked[:high])

    def _smaller(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """The list without what is not needed, the least harmful tried first."""
        kept = list(names)
        for name in reversed(names):
            fewer = tuple(other for other in kept if other != name)
            if self._hop(fewer).passed:
                kept.remove(name)
        return tuple(kept)


def _quantizable_at(node: onnx.NodeProto, makers: Mapping[str, onnx.NodeProto]) -> Iterator[str]:
    """The node if it can be quantised, else the nearest ones in front of it that can."""
    waiting, seen = [node], set()
    while waiting:
        current = waiting.pop()
        if current.name in seen:
            continue
        seen.add(current.name)
        if current.op_type in QUANTIZABLE:
            yield current.name
        else:
            waiting += [makers[value] for value in current.input if value in makers]


def _is_float(node: onnx.NodeProto) -> bool:
    return node.op_type not in {"Shape", "Size", "Constant", "ConstantOfShape", "ArgMax", "ArgMin", "NonZero", "Range"}


def _relative(exact: np.ndarray, made: np.ndarray) -> float:
    size = float(np.linalg.norm(exact.astype(np.float64)))
    apart = float(np.linalg.norm(exact.astype(np.float64) - made.astype(np.float64)))
    if not np.isfinite(apart):
        return float("inf")
    return apart / size if size else float(apart > 0)


def _one_batch(feed: Mapping[str, np.ndarray], size: int) -> CalibrationData:
    def load() -> Iterator[Mapping[str, np.ndarray]]:
        for index in range(size):
            yield {name: array[index] for name, array in feed.items()}

    return CalibrationData(text="check samples", synthetic=True, digest="", samples=size, load=load)


def _copied(proto: onnx.ModelProto) -> onnx.ModelProto:
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    return copy
