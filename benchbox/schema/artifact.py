"""What file did an export leave, and how do we know that it is right?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from benchbox.schema.derivation import Quantization
from benchbox.schema.model import USUAL_INPUTS, InputChoice, Precision


class Drawn(StrEnum):
    """How the values of an input come about."""

    NORMAL = "normal"
    COINS = "coins"
    ROWS = "rows"
    ONES = "ones"
    ASSUMED = "assumed"
    FILE = "file"


@dataclass(frozen=True, kw_only=True)
class Values:
    """What an input is fed.

    Integers are drawn from ``low`` to ``high``, which is not among them; ``text`` says it in words. ``constant`` is
    the one value of an input that takes few (a threshold), ``path`` the .npz file that real samples come from.
    """

    drawn: Drawn
    text: str
    low: int = 0
    high: int = 2
    constant: float | None = None
    path: str = ""


@dataclass(frozen=True, kw_only=True)
class TensorSpec:
    """Name, numpy dtype name and shape of an input or output.

    ``batch_axis`` is the axis that counts samples, None where none does; None at that place of the shape is a free
    batch, and elsewhere, in an output, a size that depends on data. ``values`` says what an input is fed, None for
    what its type alone decides.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]
    batch_axis: int | None = 0
    values: Values | None = None

    def at_batch(self, size: int) -> TensorSpec:
        """The same tensor with ``size`` samples, fixed or free before."""
        axis = self.batch_axis
        if axis is None or axis >= len(self.shape):
            return self
        return replace(self, shape=(*self.shape[:axis], size, *self.shape[axis + 1 :]))

    @property
    def sample_shape(self) -> tuple[int | None, ...]:
        """The shape without the batch axis."""
        return tuple(size for axis, size in enumerate(self.shape) if axis != self.batch_axis)


def fixed_batch(inputs: Iterable[TensorSpec]) -> int | None:
    """The batch size that a network's inputs are made for: None if any, 1 if no axis counts samples."""
    sizes = [spec.shape[spec.batch_axis] for spec in inputs if spec.batch_axis is not None]
    return sizes[0] if sizes else 1


@dataclass(frozen=True, kw_only=True)
class Hop:
    """How far one form of a network is from another on the same inputs.

    ``max_abs_error`` is max|a-b|; ``rel_l2_error`` is ||a-b||/||a||; ``cosine`` is a·b/(||a|| ||b||);
    each of the worst output over all samples, which ``output`` names where there are several. ``fault`` says why an
    output has no distance: it is missing, has another shape or other values that are not finite. ``top1_agreement`` is
    the share of samples whose largest score is in the same place, None where no output is a row of scores. ``passed``
    says whether the errors are within the tolerance of the precision; agreement is shown, not judged: seeded weights
    give scores that lie close together.
    """

    source: str
    target: str
    max_abs_error: float
    rel_l2_error: float
    cosine: float
    passed: bool
    top1_agreement: float | None = None
    output: str = ""
    fault: str = ""


@dataclass(frozen=True, kw_only=True)
class BatchRange:
    """Batch sizes that an artifact is made for; ``maximum`` None means any."""

    minimum: int = 1
    optimum: int = 1
    maximum: int | None = None


@dataclass(frozen=True, kw_only=True)
class OnnxArtifact:
    """An ONNX file in ``engines/onnx/`` (or a user's own file) that was checked.

    ``path`` and the others are relative to the project root where they lie inside it. ``expected_path`` names the .npz
    with the expected outputs for ``expected_samples`` seeded samples, which every backend's outputs are compared with;
    ``expected_by`` says who computed them ("pytorch 2.13.0", "onnxruntime 1.32.0 (CPU, no graph optimisations, 1
    thread)"); there are none where nobody can run the file. ``unchecked`` says why outputs cannot be judged (nobody can
    run it, they are random), "" where they were. ``outputs_path`` names the .npz with the outputs of the file itself
    for the same samples. ``recipe`` hashes everything the file was made from.
    ``params`` is None for a user's own file: the cost model counts them on the graph.
    ``source`` is the model reference and ``weights`` the state dict that was loaded, files by their absolute path.
    ``variant`` tells artifacts of one precision apart that were derived with other choices; ``quantization`` says how a
    calibrated one was made. ``bounded`` are the outputs of functions with a range of their own, as Sigmoid has
    (``export/ranges.py``). ``rest`` is what a user's own quantised file computes in where it is not quantised.
    ``choice`` and ``asked_shape`` are what the user said of the inputs of an ONNX file.
    """

    model: str
    source: str
    precision: Precision
    opset: int
    path: str
    sha256: str
    size_bytes: int
    params: int | None
    batch: BatchRange
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    exporter: str
    evaluator: str
    expected_by: str
    expected_path: str | None
    expected_samples: int
    seed: int
    recipe: str
    hops: tuple[Hop, ...]
    weights: str | None = None
    warnings: tuple[str, ...] = ()
    variant: str = ""
    quantization: Quantization | None = None
    rest: Precision = Precision.FP32
    outputs_path: str | None = None
    unchecked: str = ""
    bounded: tuple[str, ...] = ()
    choice: InputChoice = USUAL_INPUTS
    asked_shape: tuple[int, ...] | None = None

    @property
    def fallback(self) -> Precision:
        """What computes where the graph is not quantised."""
        return self.quantization.fallback if self.quantization else self.rest

    @property
    def form(self) -> str:
        """What the file itself is called in hops: where the last hop of its check ends."""
        return self.hops[-1].target if self.hops else f"onnx-{self.precision}"

    @property
    def expected_form(self) -> str:
        """The form of the network that gave the expected outputs: where the first hop into an ONNX file starts."""
        alone = "onnx-reference" if self.expected_by.startswith("onnx.reference") else "onnx-unoptimised"
        return next((hop.source for hop in self.hops if hop.target.startswith("onnx")), alone)

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """The shape of the first input without the batch."""
        return tuple(size for size in self.inputs[0].sample_shape if size is not None)

    @property
    def fixed_batch(self) -> int | None:
        """The batch size that the file is made for, None if it takes any."""
        return fixed_batch(self.inputs)

    @property
    def has_batch_axis(self) -> bool:
        """Whether any axis of an input counts samples; else one inference is one sample."""
        return any(spec.batch_axis is not None for spec in self.inputs)

    @property
    def whole_inferences(self) -> bool:
        """Whether an output belongs to no sample, so that only inferences of one batch size can be compared."""
        return self.fixed_batch is None and any(spec.batch_axis is None for spec in self.outputs)
