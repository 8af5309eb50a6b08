"""What is a network called, what does it look like from outside, and what is known about it on paper?"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Precision(StrEnum):
    """The number format that a network computes in; what it means per backend is in docs/metrics.md.

    fp32 forbids TF32 on every backend, tf32 allows it. Precision lives in the ONNX graph
    (casts, Q/DQ nodes), never in a builder flag.
    """

    FP32 = "fp32"
    TF32 = "tf32"
    FP16 = "fp16"
    BF16 = "bf16"
    INT8 = "int8"
    FP8 = "fp8"


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


@dataclass(frozen=True, kw_only=True)
class ModelSource:
    """A resolved model reference: what the user typed, what kind of thing it is, and its short name.

    ``name`` is safe in file names and is the ``model`` of records. ``input_shape`` is without the
    batch, None where it is known only from the ONNX file. ``weights`` is the path of a state dict.
    """

    reference: str
    kind: SourceKind
    name: str
    input_shape: tuple[int, ...] | None
    weights: str | None = None
