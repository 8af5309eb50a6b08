"""What file did an export leave, and how do we know that it is right?"""

from __future__ import annotations

from dataclasses import dataclass, replace

from benchbox.schema.derivation import Quantization
from benchbox.schema.model import Precision


@dataclass(frozen=True, kw_only=True)
class TensorSpec:
    """Name, numpy dtype name and shape of an input or output.

    None in the shape is the free batch dimension, behind the first one a size that depends on data.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]

    def at_batch(self, size: int) -> TensorSpec:
        """The same tensor with ``size`` as its first dimension, fixed or free before."""
        return replace(self, shape=(size, *self.shape[1:]))


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
        return tuple(size for size in self.inputs[0].shape[1:] if size is not None)
