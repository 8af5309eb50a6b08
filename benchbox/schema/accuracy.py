"""How often is a network right in a precision, and which layers lose that?"""

from __future__ import annotations

from dataclasses import dataclass

from benchbox.schema.artifact import Hop
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
    """Top-1 and top-5 of a network on labelled pictures, through one backend in one precision.

    ``right`` has a bit for each picture, whether top-1 was right, in hexadecimal (``right_pictures``), and
    ``data_sha256`` identifies the pictures and labels in their order: two results of the same data can be compared
    picture by picture.
    """

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
    weights_sha256: str | None = None
    right: str = ""
    data_sha256: str = ""

    @property
    def right_pictures(self) -> tuple[bool, ...]:
        """Whether top-1 was right, picture by picture; empty in results that did not keep it."""
        if not self.right:
            return ()
        bits = bin(int(self.right, 16))[2:].zfill(self.samples)
        return tuple(bit == "1" for bit in bits)


@dataclass(frozen=True, kw_only=True)
class LayerError:
    """Relative L2 errors of one node against fp32: of the worst tensor it reads, of what it writes, and what it added.

    ``added`` is sqrt(max(0, after² - before²)): errors of different origin are independent, so their squares add.
    It is infinite where a node makes infinity or NaN of finite numbers, and 0 where it reads them.
    """

    node: str
    op: str
    before: float
    after: float
    added: float


@dataclass(frozen=True, kw_only=True)
class Bisection:
    """Layers by the error they add, largest first, and the exclude list that restores the tolerance.

    ``exclude`` names nodes; none of them could be given back when it was tried. ``before`` and ``restored`` are the
    hops without and with it; ``conversions`` counts the graphs that were really made and run.
    """

    model: str
    precision: Precision
    rel_l2_tolerance: float
    cosine_tolerance: float
    before: Hop
    layers: tuple[LayerError, ...]
    exclude: tuple[str, ...]
    restored: Hop
    conversions: int
