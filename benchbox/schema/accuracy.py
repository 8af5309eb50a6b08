"""How often is a network right?"""

from __future__ import annotations

from dataclasses import dataclass

from benchbox.schema.model import Precision
from benchbox.schema.trial import Evidence


@dataclass(frozen=True, kw_only=True)
class Share:
    """A share of samples with its 95 % Wilson interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class AccuracyResult:
    """Top-1 and top-5 of a network on labelled pictures, through one backend in one precision."""

    model: str
    backend: str
    precision: Precision
    variant: str
    samples: int
    classes: int
    top1: Share
    top5: Share
    recipe: str
    onnx_sha256: str
    evidence: Evidence
