"""Does an ONNX file compute what its network computes?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchbox.backends.base import BACKENDS
from benchbox.backends.once import EVALUATOR, evaluate_graph
from benchbox.backends.probing import probe_of
from benchbox.backends.pytorch.outputs import tensors_in
from benchbox.errors import ArtifactError, BenchboxError, NumericsError, one_line
from benchbox.export.check_set import Arrays, CheckSet, Evaluate
from benchbox.export.judging import evaluator_outputs
from benchbox.export.precision.emulation import emulated_from_graph, require_rounded
from benchbox.export.precision.sixteenbit_formats import SixteenBit, emulated_format
from benchbox.graph.external import whole_model
from benchbox.schema.artifact import Hop, TensorSpec
from benchbox.schema.model import Precision
from benchbox.stats.agreement import distance_in_words
from benchbox.temporary import temporary_folder
from benchbox.tensor_types import is_extended

if TYPE_CHECKING:
    import torch
    from torch import nn


def inferences_of_module(
    module: nn.Module, check: CheckSet, *, double: bool = False, changed: set[str] | None = None
) -> list[dict[str, np.ndarray]]:
    """The module's own outputs for each batch, on the CPU, in fp32 or, with ``double``, in fp64 on the same inputs.

    Every inference begins with the tensors that the module keeps as they are, as every inference of a graph does. The
    names of those that it changes are added to ``changed``.

    Raises ArtifactError if it returns something else than the outputs of the graph.
    """
    evaluate = evaluation_of_module(module, check, double=double, changed=changed)
    if not double:
        return [evaluate(feed) for feed in check.feeds()]
    try:
        module.double()
        return [evaluate(feed) for feed in check.feeds()]
    finally:
        module.float()  # exact: every value came from fp32


def evaluation_of_module(
    module: nn.Module, check: CheckSet, *, double: bool = False, changed: set[str] | None = None
) -> Evaluate:
    """The function from a feed to the module's outputs by name; raises as ``inferences_of_module``."""
    import torch

    from benchbox.models.kept_tensors import kept_tensors_put_back

    names = [spec.name for spec in check.outputs]

    def evaluate(feed: Arrays) -> dict[str, np.ndarray]:
        tensors = [torch.from_numpy(feed[spec.name]) for spec in check.inputs]
        with kept_tensors_put_back(module) as put_back, torch.inference_mode():
            made = module(*(tensor.double() if double and tensor.is_floating_point() else tensor for tensor in tensors))
        if changed is not None:
            changed.update(put_back)
        outputs = tensors_in(made)
        if len(outputs) != len(names):
            raise ArtifactError(
                "the exported graph has other outputs than the network",
                values=f"the graph {', '.join(names)}, the network {len(outputs)} tensors",
                remedy="return tensors, or tuples, lists and dictionaries of them",
            )
        return {name: _array(tensor, name) for name, tensor in zip(names, outputs, strict=True)}

    return evaluate


def _array(tensor: torch.Tensor, name: str) -> np.ndarray:
    try:
        array: np.ndarray = tensor.detach().numpy()  # a parameter may be an output
    except (TypeError, RuntimeError) as error:
        raise ArtifactError(
            f"output {name} holds elements of type {str(tensor.dtype).removeprefix('torch.')}",
            values=one_line(error, 200),
            remedy="cast it inside the network, for example with .float()",
        ) from error
    return array


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """The outputs of an ONNX file for a check set, who ran it, and the name of that form of the network in hops."""

    outputs: dict[str, np.ndarray]
    evaluator: str
    form: str


def outputs_from_onnx(
    path: Path, check: CheckSet, *, precision: Precision, fallback: Precision = Precision.FP32
) -> Evaluated:
    """What an ONNX file computes: through ONNX Runtime where it is installed, else onnx's evaluator.

    Tensors of 16 bits are emulated in fp32 on ONNX Runtime, and the result says so: its CPU provider has no bf16
    kernels and does not round to fp16 between nodes.
    """
    availability = probe_of(BACKENDS.get(EVALUATOR))
    name = f"onnx-{precision}"
    if not availability.usable:
        import onnx

        made = evaluator_outputs(path, check)
        return Evaluated(outputs=made, evaluator=f"onnx.reference {onnx.__version__}", form=name)
    evaluator = f"onnxruntime {availability.version}"
    form = emulated_format(precision, fallback)
    if form is None:
        return Evaluated(outputs=_run(path, check, precision), evaluator=evaluator, form=name)
    return Evaluated(
        outputs=_emulated(path, check, precision, form),
        evaluator=f"{evaluator} ({form.precision} emulated: every tensor rounded, computed in fp32)",
        form=f"{name}-emulated",
    )


def _emulated(path: Path, check: CheckSet, precision: Precision, form: SixteenBit) -> dict[str, np.ndarray]:

    proto = whole_model(path)
    with temporary_folder("benchbox-emulation-") as folder:
        wide = folder / "emulated.onnx"
        wide.write_bytes(emulated_from_graph(proto, form).SerializeToString())
        try:
            made = _run(wide, check, Precision.FP32 if precision is form.precision else precision)
        except BenchboxError as error:
            others = " or ".join(
                one for one in (Precision.FP32, Precision.FP16, Precision.BF16) if one != form.precision
            )
            raise ArtifactError(
                f"the {precision} graph cannot be checked: ONNX Runtime does not run it with every tensor rounded",
                values=error.values,
                remedy=f"take it in {others}, or export the network without this operator",
            ) from error
    require_rounded(proto, form, made)
    return made


def _run(path: Path, check: CheckSet, precision: Precision) -> dict[str, np.ndarray]:
    """All feeds in one session, whose outputs the runtime allocates; of a type that it does not give back, one each."""
    if not any(is_extended(spec.dtype) for spec in check.outputs):
        free = [replace(spec, shape=(None,), batch_axis=None) for spec in check.outputs]
        made = evaluate_graph(path, check.feeds(), inputs=check.inputs, outputs=free, precision=precision)
        return check.together(list(made))

    def evaluate(feed: Arrays) -> dict[str, np.ndarray]:
        size = _batch_of(feed, check.inputs)
        (made,) = evaluate_graph(
            path,
            [feed],
            inputs=[spec.at_batch(size) for spec in check.inputs],
            outputs=[spec.at_batch(size) for spec in check.outputs],
            precision=precision,
        )
        return made

    return check.outputs_of(evaluate)


def _batch_of(feed: Arrays, inputs: Sequence[TensorSpec]) -> int:
    sizes = (feed[spec.name].shape[spec.batch_axis] for spec in inputs if spec.batch_axis is not None)
    return next(sizes, 1)


def _remedy(asked: str, precision: Precision) -> str:
    if precision is Precision.INT4:  # only the type that its products compute in has too small a range
        return f"leave out --fallback, or find the layers to --exclude by benchbox bisect {asked} --precision fp16"
    return f"benchbox bisect {asked} --precision {precision} names the layers to --exclude"


def require_finite(
    outputs: Arrays, expected: Arrays, *, model: str, asked: str, precision: Precision, hops: tuple[Hop, ...] = ()
) -> None:
    """Raises NumericsError if a derived graph makes infinity or NaN where the fp32 graph was finite.

    Args:
        outputs: of the derived graph, by name.
        expected: of the fp32 graph.
        model: for the message.
        asked: the words that ask for the network on the command line.
        precision: of the derived graph.
        hops: of the file.
    """
    for name, array in outputs.items():
        wanted = expected.get(name)
        lost = ~np.isfinite(array)
        if wanted is not None and wanted.shape == array.shape:
            lost &= np.isfinite(wanted)
        if lost.any():
            infinite, undefined = int((np.isinf(array) & lost).sum()), int((np.isnan(array) & lost).sum())
            raise NumericsError(
                f"{model} overflows in {precision}",
                values=f"output {name}: {infinite} infinite and {undefined} undefined of {array.size} values",
                remedy=f"{_remedy(asked, precision)}; nothing was kept",
                hops=hops,
            )


def require_passed(hops: Sequence[Hop], *, model: str, randomness: str = "") -> None:
    """Raises NumericsError if a hop is beyond its tolerance: such a file must not be kept.

    Args:
        hops: of the file.
        model: for the message.
        randomness: which of its nodes draw random numbers, in words (``randomness.py``); "" where none does.
    """
    for hop in hops:
        if not hop.passed:
            raise NumericsError(
                f"the outputs of {model} are beyond tolerance after {hop.source} -> {hop.target}",
                values=f"{distance_in_words(hop)}" + (f"; {randomness}" if randomness else ""),
                remedy="export the network without random operators, in evaluation mode (module.eval())"
                if randomness
                else "nothing was kept; tolerances and their reasons are in docs/metrics.md",
                hops=tuple(hops),
            )
