"""What does an exported module take, and what should it give?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from benchbox.errors import ArtifactError, BenchboxError
from benchbox.export.check_set import CheckSet, check_batches
from benchbox.export.foreign import data_dependent_axes
from benchbox.export.module.tracing import BATCH
from benchbox.export.verification import evaluation_of_module, inferences_of_module
from benchbox.graph.feeding import values_of_inputs
from benchbox.models.building import Network
from benchbox.schema.artifact import BatchRange, Drawn, Hop, TensorSpec, Values
from benchbox.schema.model import Precision
from benchbox.stats.agreement import TOLERANCES, hop_from_outputs
from benchbox.stats.batches import joined, specs_of_outputs

if TYPE_CHECKING:
    import onnx

    from benchbox.models.examples import ExampleInput


@dataclass(frozen=True, kw_only=True)
class Expected:
    """The samples that a module is compared on, its outputs for them, and the hop from float64 if it takes that."""

    check: CheckSet
    outputs: Mapping[str, np.ndarray]
    hops: tuple[Hop, ...]
    warnings: tuple[str, ...]


def fed_inputs_of(network: Network, proto: onnx.ModelProto) -> tuple[TensorSpec, ...]:
    """The inputs with what they are fed: rows of the tables that they index, masks of ones, else what the example has.

    Args:
        network: with examples of its inputs.
        proto: its graph.
    """
    specs = network.specs()
    if not network.has_example:
        return specs
    seen = values_of_inputs(proto.graph, [spec.name for spec in specs])
    return tuple(
        replace(spec, values=_values(given, seen[spec.name])) for spec, given in zip(specs, network.inputs, strict=True)
    )


def _values(given: ExampleInput, seen: Values | None) -> Values | None:
    """What the graph says of an input's values; where it says nothing, those of the example."""
    if seen is not None and seen.drawn is not Drawn.ASSUMED:
        return seen
    tensor = given.tensor
    if tensor.numel() == 0:
        return seen
    low, high = tensor.min().item(), tensor.max().item()
    whole = not tensor.is_floating_point()
    if low == high and (whole or tensor.numel() == 1):
        return Values(drawn=Drawn.EXAMPLE, constant=float(low), text=f"{low}, as in the example")
    if str(tensor.dtype) == "torch.bool" or not whole:
        return None
    return Values(
        drawn=Drawn.EXAMPLE, low=int(low), high=int(high) + 1, text=f"whole numbers of the example, {low} to {high}"
    )


def expected_of(
    network: Network, proto: onnx.ModelProto, inputs: Sequence[TensorSpec], *, sizes: BatchRange, seed: int
) -> Expected:
    """What the module gives for seeded samples, in batches of two sizes.

    Args:
        network: the module.
        proto: its graph, which has the names of the outputs.
        inputs: with what they are fed.
        sizes: batch sizes that the graph is to be right for.
        seed: of the samples.

    Raises ArtifactError where the module does not run in these batches.
    """
    names = tuple(value.name for value in proto.graph.output)
    unseen = tuple(TensorSpec(name=name, dtype="float32", shape=(None,), batch_axis=None) for name in names)
    batches = check_batches(sizes, network.fixed_batch)
    check = CheckSet(inputs=tuple(inputs), outputs=unseen, batches=batches, seed=seed)
    try:
        made = inferences_of_module(network.module, check)
    except BenchboxError:
        raise
    except Exception as error:  # whatever the network's own code raises
        raise ArtifactError(
            f"the network does not run in batches of {' and '.join(map(str, dict.fromkeys(batches)))}",
            values=f"{type(error).__name__}: {' '.join(str(error).split())[:200]}",
            remedy="give it a batch size that it takes: --batch N; or example inputs of that size",
        ) from error
    outputs = specs_of_outputs(
        made,
        names,
        batches=batches,
        counted=any(spec.batch_axis is not None for spec in inputs),
        open_axes=data_dependent_axes(proto.graph, {}, {BATCH}),
    )
    check = replace(check, outputs=outputs)
    expected = joined(made, outputs)
    evaluate = evaluation_of_module(network.module, check)
    if check.mixes_samples(evaluate, expected, TOLERANCES[Precision.FP32]):
        check = check.by_inference()
        outputs, expected = check.outputs, joined(made, check.outputs)
    try:
        exact = joined(inferences_of_module(network.module, check, double=True), outputs)
    except (RuntimeError, TypeError) as error:  # what a network's own code raises at float64 tensors
        reason = " ".join(str(error).split())[:200]
        warning = f"the network does not run in float64, so fp32 was not compared with it: {reason}"
        return Expected(check=check, outputs=expected, hops=(), warnings=(warning,))
    hop = hop_from_outputs("pytorch-fp64", "pytorch-fp32", exact, expected, TOLERANCES[Precision.FP32])
    return Expected(check=check, outputs=expected, hops=(hop,), warnings=())
