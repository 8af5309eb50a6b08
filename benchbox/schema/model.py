"""What is a network called, what does it look like from outside, and what is published about it?"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Precision(StrEnum):
    """The number format that a network computes in; what it means per backend is in docs/metrics.md.

    int4 alone is how weights of matrix products are stored: what they are multiplied in is fp32, or the fallback.

    fp32 forbids TF32 on every backend, tf32 allows it. Precision lives in the ONNX graph
    (casts, Q/DQ nodes), never in a builder flag. fp64 is that of a user's own file alone: nothing is converted to it.
    """

    FP32 = "fp32"
    TF32 = "tf32"
    FP16 = "fp16"
    BF16 = "bf16"
    INT8 = "int8"
    FP8 = "fp8"
    INT4 = "int4"
    FP64 = "fp64"


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """A published single-crop ImageNet accuracy of a network, as ratios, and where it was read."""

    top1: float
    top5: float | None = None
    source: str


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """Declared facts of one network of the zoo; the tests recompute macs and params.

    ``input_shape`` is (C, H, W) without the batch. ``macs`` are multiply-adds of convolutions and
    matrix products of one sample; ``params`` are trainable parameters; ``activation_bytes`` is the sum of
    what all operators write for one sample in fp32.
    """

    name: str
    family: str
    input_shape: tuple[int, ...]
    num_classes: int
    params: int
    macs: int
    activation_bytes: int
    paper: str
    accuracy: Accuracy | None = None
    note: str = ""


class SourceKind(StrEnum):
    """Where a network comes from."""

    ZOO = "zoo"
    ONNX = "onnx"
    FACTORY = "factory"
    LIBRARY = "library"
    ENGINE = "engine"


@dataclass(frozen=True, kw_only=True)
class InputChoice:
    """What the user says of the inputs of a network, beside the shape of the first one.

    ``named`` are shapes of inputs by name, without the batch, and sizes of named dimensions; ``batch_axes`` the axis
    that counts samples, by input; ``samples`` the path of an .npz file with real inputs, and the sha256 of that file.
    ``batch`` is the one batch size that the file is looked at with, None for any.
    """

    named: tuple[tuple[str, tuple[int, ...]], ...] = ()
    batch_axes: tuple[tuple[str, int], ...] = ()
    samples: str | None = None
    samples_sha256: str = ""
    batch: int | None = None


USUAL_INPUTS = InputChoice()


@dataclass(frozen=True, kw_only=True)
class ModelSource:
    """A resolved model reference: what the user typed, what kind of thing it is, and its short name.

    ``digest`` is the sha256 of an engine's file, "" for every other kind.

    ``task`` says which network of a library's model is meant, "" for its own; ``part`` is the dotted name of the module
    that is measured alone, "" for the whole network.

    ``name`` is safe in file names and is the ``model`` of records. ``input_shape`` is without the
    batch, None where it is known only from the ONNX file. ``weights`` is the path of a state dict.
    """

    reference: str
    kind: SourceKind
    name: str
    input_shape: tuple[int, ...] | None
    weights: str | None = None
    inputs: InputChoice = USUAL_INPUTS
    task: str = ""
    part: str = ""
    digest: str = ""

    @property
    def variant(self) -> str:
        """What tells cases of one network apart: the sizes and the samples that the user chose, "" for none."""
        choice = self.inputs
        samples = [f"inputs={choice.samples}@{choice.samples_sha256[:8]}"] if choice.samples else []
        words = [f"task={self.task}"] if self.task else []
        if self.input_shape is not None and self.kind is not SourceKind.ZOO:  # of the zoo the shape is in the name
            words.append(f"input={_text(self.input_shape)}")
        words += [f"{name}={_text(sizes)}" for name, sizes in self.inputs.named]
        words += [f"batch-axis={name}:{axis}" for name, axis in self.inputs.batch_axes]
        engine = [f"engine@{self.digest[:8]}"] if self.digest else []
        return " ".join([*words, *samples, *engine])


def _text(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
