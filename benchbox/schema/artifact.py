"""Which file did an export write, and how was it verified?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from benchbox.schema.derivation import Quantization
from benchbox.schema.model import USUAL_INPUTS, InputChoice, Precision


class Drawn(StrEnum):
    """How the values of an input are generated."""

    NORMAL = "normal"
    COINS = "coins"
    ROWS = "rows"
    ONES = "ones"
    EXAMPLE = "example"
    ASSUMED = "assumed"
    FILE = "file"


@dataclass(frozen=True, kw_only=True)
class Values:
    """What an input is fed.

    Integers are drawn from ``low`` (included) to ``high`` (excluded); ``text`` is the description for people.
    ``ranges`` are the low and high of each place along ``axis`` where they differ, as of features that index a table
    each; None for one that is drawn as its type alone says. ``low`` and ``high`` are those of all then.
    ``constant`` is the value of an input that must not be random (a threshold), ``path`` the .npz file of real samples.
    ``size`` names the sizes of the input that nobody said and the network leaves open: "sequence=128".
    """

    drawn: Drawn
    text: str
    low: int = 0
    high: int = 2
    constant: float | None = None
    path: str = ""
    size: str = ""
    axis: int = 0
    ranges: tuple[tuple[int, int] | None, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TensorSpec:
    """Name, numpy dtype name and shape of an input or output.

    ``batch_axis`` is the axis that counts samples, None if there is none. None in the shape at that axis means a free
    batch; elsewhere, in an output, a data-dependent size. ``values`` describes what an input is fed, None for the
    default of its dtype.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]
    batch_axis: int | None = 0
    values: Values | None = None

    def at_batch(self, size: int) -> TensorSpec:
        """The same tensor with its batch axis set to ``size``."""
        axis = self.batch_axis
        if axis is None or axis >= len(self.shape):
            return self
        return replace(self, shape=(*self.shape[:axis], size, *self.shape[axis + 1 :]))

    def at_batch_or_free(self, size: int | None) -> TensorSpec:
        """The same tensor with ``size`` samples, None for any number of them."""
        axis = self.batch_axis
        if size is not None or axis is None:
            return self if size is None else self.at_batch(size)
        return replace(self, shape=(*self.shape[:axis], None, *self.shape[axis + 1 :]))

    @property
    def sample_shape(self) -> tuple[int | None, ...]:
        """The shape without the batch axis."""
        return tuple(size for axis, size in enumerate(self.shape) if axis != self.batch_axis)


def fixed_batch(inputs: Iterable[TensorSpec]) -> int | None:
    """The batch size that a network's inputs are fixed to: None if free, 1 if no axis counts samples."""
    sizes = [spec.shape[spec.batch_axis] for spec in inputs if spec.batch_axis is not None]
    return sizes[0] if sizes else 1


@dataclass(frozen=True, kw_only=True)
class Hop:
    """How far one form of a network is from another on the same inputs.

    ``max_abs_error`` is max|a-b|; ``rel_l2_error`` is ||a-b||/||a||; ``cosine`` is a·b/(||a|| ||b||);
    each of the worst output over all samples, named by ``output`` if there are several. ``fault`` says why an output
    cannot be compared: it is missing, or its shape or its non-finite values differ. ``top1_agreement`` is the share of
    samples with the same argmax, None if no output is a row of scores. ``passed`` says whether the errors are within
    the tolerance of the precision; top-1 agreement is shown but not judged, because seeded weights give nearly equal
    scores. ``reordered`` rows of a list by scores were compared in the order of the other form: their scores are tied.
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
    reordered: int = 0


@dataclass(frozen=True, kw_only=True)
class BatchRange:
    """Batch sizes that an artifact supports; ``maximum`` None means any."""

    minimum: int = 1
    optimum: int = 1
    maximum: int | None = None


@dataclass(frozen=True, kw_only=True)
class OnnxArtifact:
    """A verified ONNX file in ``engines/onnx/``, or a user's own.

    ``path`` and the others are relative to the project root where they lie inside it. ``expected_path`` names the .npz
    with the expected outputs for ``expected_samples`` seeded samples, which every backend's outputs are compared with;
    ``expected_by`` says who computed them ("pytorch 2.13.0", "onnxruntime 1.32.0 (CPU, no graph optimisations, 1
    thread)"); None if no evaluator can run the file. ``unchecked`` says why outputs were not verified (no evaluator
    runs the file, outputs are random), "" if they were. ``empty`` names outputs that have no element for any of these
    samples: nothing was compared of them. ``outputs_path`` names the .npz with the outputs of the file
    itself for the same samples. ``recipe`` is a hash of everything that the file was derived from.
    ``params`` is None for a user's own file: the cost model counts them on the graph.
    ``source`` is the model reference and ``weights`` the state dict that was loaded, files by their absolute path.
    ``variant`` distinguishes artifacts of one precision that were derived with different options; ``quantization`` says
    how a calibrated one was made. ``ranked`` are outputs that list rows by their scores, as a
    detector does. ``bounded`` are outputs of functions with a bounded range, such as Sigmoid
    (``export/ranges.py``). ``rest`` is the precision of the unquantised part of a user's own quantised file.
    ``choice`` and ``asked_shape`` are the user's options about the inputs of an ONNX file. ``weights_sha256`` is that
    of the external data of a user's own file, None if it has none; ``weights_from`` says where the weights came from.
    ``task`` and ``part`` are those of the source.
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
    empty: tuple[str, ...] = ()
    bounded: tuple[str, ...] = ()
    ranked: tuple[str, ...] = ()
    choice: InputChoice = USUAL_INPUTS
    asked_shape: tuple[int, ...] | None = None
    weights_sha256: str | None = None
    weights_from: str = ""
    task: str = ""
    part: str = ""

    @property
    def fallback(self) -> Precision:
        """The precision of the layers that are not quantised."""
        return self.quantization.fallback if self.quantization else self.rest

    @property
    def form(self) -> str:
        """The file's name in hops: the target of the last one."""
        return self.hops[-1].target if self.hops else f"onnx-{self.precision}"

    @property
    def expected_form(self) -> str:
        """The form of the network that computed the expected outputs: the source of the first hop to an ONNX file."""
        alone = "onnx-reference" if self.expected_by.startswith("onnx.reference") else "onnx-unoptimised"
        return next((hop.source for hop in self.hops if hop.target.startswith("onnx")), alone)

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """The shape of the first input without the batch, () where there is no input."""
        first = next(iter(self.inputs), None)
        return () if first is None else tuple(size for size in first.sample_shape if size is not None)

    @property
    def fixed_batch(self) -> int | None:
        """The batch size that the file is fixed to, None if it is free."""
        return fixed_batch(self.inputs)

    @property
    def has_batch_axis(self) -> bool:
        """Whether any input has a batch axis; otherwise one inference is one sample."""
        return any(spec.batch_axis is not None for spec in self.inputs)

    @property
    def whole_inferences(self) -> bool:
        """Whether an output has no batch axis, so that outputs can be compared at one batch size only."""
        return self.fixed_batch is None and any(spec.batch_axis is None for spec in self.outputs)
