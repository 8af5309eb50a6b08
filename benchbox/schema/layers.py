"""What did a runtime make of a network's layers, and what does each cost?"""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from benchbox.schema.device import Ceilings
from benchbox.schema.environment import Environment
from benchbox.schema.reading import Flag


@dataclass(frozen=True, kw_only=True)
class ExecutedLayer:
    """One layer or kernel as the runtime executes it.

    ``name`` and ``kind`` are the runtime's own words. ``nodes`` are the ONNX nodes that it says it stands for;
    ``tensors`` the names of ONNX tensors or nodes that it hints at, where it says nothing. ``inputs`` and ``outputs``
    are the types of what it reads and writes ("fp32", "fp16", "int8"). ``computes`` is the type that it computes in,
    "" where that is just the type of its first input. ``module`` is the path of the PyTorch module that it runs in
    ("" is the whole network), None where it is not known by one. ``moves`` is true of work that no node asked
    for: reordering, casting and copying for the runtime's own sake. ``times_s`` are seconds of each profiled
    inference, in order.
    """

    name: str
    kind: str
    nodes: tuple[str, ...] = ()
    tensors: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    computes: str = ""
    module: str | None = None
    tactic: str = ""
    stream: int | None = None
    moves: bool = False
    times_s: tuple[float, ...] = ()

    @property
    def time_s(self) -> float | None:
        """Median over the profiled inferences, None where the layer was not timed."""
        return statistics.median(self.times_s) if self.times_s else None

    @property
    def executed(self) -> str:
        """The type that it computes in, as it says, else that of its first input."""
        return self.computes or (self.inputs[0] if self.inputs else "")


@dataclass(frozen=True, kw_only=True)
class LayerRow:
    """An executed layer with the analytical cost of the ONNX nodes that it covers; every node is in one row at most.

    ``name`` is the path of the module, or node, that the row stands for. Bytes are analytical, of the nodes' tensors.
    """

    name: str
    layer: ExecutedLayer
    nodes: tuple[str, ...]
    macs: int = 0
    flops: int = 0
    moved_bytes: int = 0

    @property
    def flops_per_s(self) -> float | None:
        """Analytical operations over the layer's time, None where either is not there."""
        time_s = self.layer.time_s
        return self.flops / time_s if time_s and self.flops else None

    @property
    def bytes_per_s(self) -> float | None:
        """Analytical bytes over the layer's time, None where either is not there."""
        time_s = self.layer.time_s
        return self.moved_bytes / time_s if time_s and self.moved_bytes else None

    @property
    def intensity(self) -> float | None:
        """Analytical operations per byte, None where nothing moves."""
        return self.flops / self.moved_bytes if self.moved_bytes else None


@dataclass(frozen=True, kw_only=True)
class LayerTable:
    """A network's executed layers joined with its analytical cost.

    ``macs`` and ``flops`` are the whole network's; what no row covers is in ``uncovered`` (node names) and
    ``uncovered_macs``, so that rows and uncovered together are the whole. ``latency_s`` is the median of unprofiled
    inferences taken beside it, on a device by its own clock: profiling takes time of its own. ``gpu``: the device
    has a clock of its own. ``ceilings`` are those of this machine and its software as stored, None where there are
    none; ``flags`` doubt rows that are above them.
    """

    model: str
    backend: str
    precision: str
    batch: int
    threads: int
    iterations: int
    rows: tuple[LayerRow, ...]
    macs: int
    flops: int
    uncovered: tuple[str, ...]
    uncovered_macs: int
    latency_s: float
    onnx_sha256: str
    gpu: bool = False
    ceilings: Ceilings | None = None
    flags: tuple[Flag, ...] = ()

    @property
    def costed(self) -> bool:
        """Whether the network could be counted: else MACs, FLOPs and bytes are absent, not 0."""
        return all(flag.code != "COST_ABSENT" for flag in self.flags)

    @property
    def time_s(self) -> float:
        """Sum of the rows' median times."""
        return sum(row.layer.time_s or 0.0 for row in self.rows)

    @property
    def unmapped_time_s(self) -> float:
        """Time of rows that stand for no ONNX node and do not move data for the runtime either."""
        return sum(row.layer.time_s or 0.0 for row in self.rows if not row.nodes and not row.layer.moves)


@dataclass(frozen=True, kw_only=True)
class StoredLayers:
    """A table of layers as it is kept: when, where and on which device ("cpu", "cuda") it was measured.

    ``ceilings`` is the id of those that the table goes with, None without.
    """

    id: str
    started_at: str
    device: str
    environment: Environment
    table: LayerTable
    ceilings: str | None = None
