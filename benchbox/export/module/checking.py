"""What does an exported module take, and what should it give?"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchbox.errors import ArtifactError, BenchboxError, one_line
from benchbox.export.check_set import CheckSet, check_batches
from benchbox.export.foreign import data_dependent_axes
from benchbox.export.module.captured import fed_as_captured, fed_as_given
from benchbox.export.module.tracing import BATCH
from benchbox.export.verification import evaluation_of_module, inferences_of_module
from benchbox.graph.feeding import values_of_inputs
from benchbox.models.building import Network
from benchbox.models.printing import prints_aside
from benchbox.schema.artifact import BatchRange, Drawn, Hop, TensorSpec, Values
from benchbox.schema.model import Precision
from benchbox.stats.agreement import TOLERANCES, hop_from_outputs
from benchbox.stats.batches import joined, specs_of_outputs
from benchbox.stats.inputs import fed_in_words

if TYPE_CHECKING:
    import onnx

    from benchbox.models.examples import ExampleInput


_FORGETS = (
    "its forward changes tensors that it keeps ({}), which an ONNX graph does not do: every inference begins with "
    "their first values"
)


@dataclass(frozen=True, kw_only=True)
class Expected:
    """The samples that a module is compared on, its outputs for them, and the hop from float64 if it takes that."""

    check: CheckSet
    outputs: Mapping[str, np.ndarray]
    hops: tuple[Hop, ...]
    warnings: tuple[str, ...]


def fed_inputs_of(
    network: Network, proto: onnx.ModelProto, *, root: Path, is_part: bool = False
) -> tuple[TensorSpec, ...]:
    """The inputs with what they are fed: rows of the tables that they index, masks of ones, else what the example has.

    Args:
        network: with examples of its inputs.
        proto: its graph.
        root: project root, under which values that are not drawn are kept.
        is_part: the examples are what a whole network gave its part, and are fed as they are.
    """
    specs = network.specs()
    if not network.has_example:
        return specs
    if is_part:
        sized = [_sized(spec, given.size) for spec, given in zip(specs, network.inputs, strict=True)]
        return fed_as_captured(sized, network, root=root)
    seen = values_of_inputs(proto.graph, [spec.name for spec in specs])
    found, own = [], []
    for spec, given in zip(specs, network.inputs, strict=True):
        found.append(_sized(replace(spec, values=_values(given, seen[spec.name])), given.size))
        if _means_something(given, seen[spec.name]):
            own.append(spec.name)
    return fed_as_given(found, network, names=own, root=root)


def _values(given: ExampleInput, seen: Values | None) -> Values | None:
    """What the graph says of an input's values; where it says nothing, or that it is a mask, the one of the example.

    An example of a mask knows better: of PyTorch's own padding masks ones would leave nothing.
    """
    if _is_told(given, seen):
        return seen
    numbers = given.tensor.numpy()
    low, high, is_mask = numbers.min().item(), numbers.max().item(), _is_mask(seen)
    if low != high or not (is_mask or _stands_for_itself(given)):
        return seen if is_mask else None
    if is_mask and low == 1:
        return seen
    return Values(drawn=Drawn.EXAMPLE, constant=float(low), text=f"{low}, as in the example")


def _means_something(given: ExampleInput, seen: Values | None) -> bool:
    """Whether the numbers of an example are fed as they are: those of which nothing says what else they could be.

    Positions and lengths in order, edges of a graph, masks with a form: numbers drawn between the least and the
    greatest of them would be none.
    """
    if _is_told(given, seen) or not (_is_mask(seen) or _stands_for_itself(given)):
        return False
    numbers = given.tensor.numpy()
    return bool(numbers.min() != numbers.max())


def _is_told(given: ExampleInput, seen: Values | None) -> bool:
    """Whether the graph says which rows an input takes, and the example does not say otherwise."""
    if given.tensor.numel() == 0 or seen is None or seen.drawn is not Drawn.ROWS:
        return given.tensor.numel() == 0
    numbers = given.tensor.numpy()
    return bool(numbers.min() >= seen.low and numbers.max() < seen.high)


def _is_mask(seen: Values | None) -> bool:
    return seen is not None and seen.drawn is Drawn.ONES


def _stands_for_itself(given: ExampleInput) -> bool:
    """Whether other numbers would not do: whole ones, truth values, and samples of one number (a time step, a rate)."""
    alone = all(size == 1 for axis, size in enumerate(given.tensor.shape) if axis != given.batch_axis)
    return alone or not given.tensor.is_floating_point()


def _sized(spec: TensorSpec, size: str) -> TensorSpec:
    """The input with the sizes that nobody said."""
    if not size:
        return spec
    values = spec.values or Values(drawn=Drawn.NORMAL, text=fed_in_words(spec))
    return replace(spec, values=replace(values, size=size))


@prints_aside()
def expected_of(
    network: Network, proto: onnx.ModelProto, inputs: Sequence[TensorSpec], *, sizes: BatchRange, seed: int, root: Path
) -> Expected:
    """What the module gives for seeded samples, in batches of two sizes.

    Where it does not run on rows of the tables that its integers index (two of which must be in order), they are fed
    as in the example, with a warning.

    Args:
        network: the module.
        proto: its graph, which has the names of the outputs.
        inputs: with what they are fed.
        sizes: batch sizes that the graph is to be right for.
        seed: of the samples.
        root: project root.

    Raises ArtifactError where the module does not run in these batches.
    """
    try:
        return _expected_on(network, proto, inputs, sizes=sizes, seed=seed)
    except ArtifactError as error:
        failure = error
    rows = [spec.name for spec in inputs if spec.values is not None and spec.values.drawn is Drawn.ROWS]
    if not rows or not network.has_example:
        raise failure
    unbound = tuple(
        replace(spec, values=replace(spec.values, drawn=Drawn.EXAMPLE)) if spec.values and spec.name in rows else spec
        for spec in inputs
    )
    again = fed_as_given(unbound, network, names=rows, root=root)
    try:
        found = _expected_on(network, proto, again, sizes=sizes, seed=seed)
    except ArtifactError:
        raise failure from failure.__cause__
    words = f"it does not run on every row of the tables that {', '.join(rows)} index, so the examples are fed"
    return replace(found, warnings=(words, *found.warnings))


# What PyTorch's exporter calls a size that it learns from a tensor's values: u0.
_FROM_DATA = re.compile(r"\bu\d+\b")


def _unknown_axes(graph: onnx.GraphProto) -> dict[str, tuple[int, ...]]:
    """By output, the axes whose sizes follow from values, as the longest of some sequences does."""
    found = {
        value.name: tuple(
            axis for axis, dim in enumerate(value.type.tensor_type.shape.dim) if _FROM_DATA.search(dim.dim_param)
        )
        for value in graph.output
    }
    return {name: axes for name, axes in found.items() if axes}


def _expected_on(
    network: Network, proto: onnx.ModelProto, inputs: Sequence[TensorSpec], *, sizes: BatchRange, seed: int
) -> Expected:
    """As ``expected_of``, on these inputs."""
    from benchbox.models.sixteen_bits import remedy_of_mixed

    names = tuple(value.name for value in proto.graph.output)
    unseen = tuple(TensorSpec(name=name, dtype="float32", shape=(None,), batch_axis=None) for name in names)
    batches = check_batches(sizes, network.fixed_batch)
    check = CheckSet(inputs=tuple(inputs), outputs=unseen, batches=batches, seed=seed)
    changed: set[str] = set()
    try:
        made = inferences_of_module(network.module, check, changed=changed)
    except BenchboxError:
        raise
    except Exception as error:  # whatever the network's own code raises
        raise ArtifactError(
            f"the network does not run in batches of {' and '.join(map(str, dict.fromkeys(batches)))}",
            values=f"{type(error).__name__}: {one_line(error, 200)}",
            remedy=remedy_of_mixed(error, network.module)
            or "give it a batch size that it takes: --batch N; or example inputs of that size",
        ) from error
    outputs = specs_of_outputs(
        made,
        names,
        batches=batches,
        counted=any(spec.batch_axis is not None for spec in inputs),
        open_axes={**data_dependent_axes(proto.graph, {}, {BATCH}), **_unknown_axes(proto.graph)},
    )
    check = replace(check, outputs=outputs)
    expected = joined(made, outputs)
    warnings = (_FORGETS.format(", ".join(sorted(changed))),) if changed else ()
    evaluate = evaluation_of_module(network.module, check)
    if check.mixes_samples(evaluate, expected, TOLERANCES[Precision.FP32]):
        check = check.by_inference()
        outputs, expected = check.outputs, joined(made, check.outputs)
    try:
        exact = joined(inferences_of_module(network.module, check, double=True), outputs)
    except (RuntimeError, TypeError) as error:  # what a network's own code raises at float64 tensors
        reason = one_line(error, 200)
        warning = f"the network does not run in float64, so fp32 was not compared with it: {reason}"
        return Expected(check=check, outputs=expected, hops=(), warnings=(*warnings, warning))
    hop = hop_from_outputs("pytorch-fp64", "pytorch-fp32", exact, expected, TOLERANCES[Precision.FP32])
    return Expected(check=check, outputs=expected, hops=(hop,), warnings=warnings)
