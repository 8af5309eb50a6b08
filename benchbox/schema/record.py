"""What is kept of one measured case?

Version history of the record:
    1   first version; proof, builds, sampling, variant and plans of LoadGen came without a new number
    2   probes were called references, work without a reported type "untold", the columns of raw samples ``pass`` and
        ``loadgen`` purpose and load; the variant no longer repeats the plan's ``like``; inputs came without a new
        number
    3   weights beside an ONNX file (``weights_sha256``) are part of the network; ``weights`` says where they came from
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from benchbox.schema.artifact import Hop
from benchbox.schema.environment import Environment
from benchbox.schema.model import Precision
from benchbox.schema.plan import MeasurementPlan, Mode
from benchbox.schema.proof import Proof
from benchbox.schema.reading import Flag, Reading
from benchbox.schema.trial import Evidence

RECORD_SCHEMA = "benchbox.record/4"


class Status(StrEnum):
    """How a case ended: with numbers, with an error, or not at all because it cannot run here."""

    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, kw_only=True)
class RecordKey:
    """The name of what was measured. It does not identify a case: ``schema/identity.py`` does.

    ``variant`` names the choices of a derived precision that are not the defaults ("exclude=fc* fallback=fp16").
    """

    model: str
    backend: str
    precision: Precision
    batch: int
    mode: Mode
    device: str
    variant: str = ""


@dataclass(frozen=True, kw_only=True)
class Analytic:
    """The analytical cost at the record's batch size.

    ``uncounted`` names nodes whose cost is not known: the numbers are a lower bound where there are any.
    ``onnx_nodes`` are the nodes of the ONNX file, None in older records.
    ``least_bytes`` is what must move through memory at least, weights included, if all that can be is fused, tensors as
    wide as the file stores them (``cost/precision/fusing.py``); None in older records.
    """

    params: int
    macs: int
    flops: int
    weight_bytes: int
    peak_activation_bytes: int
    uncounted: tuple[str, ...] = ()
    onnx_nodes: int | None = None
    least_bytes: int | None = None


@dataclass(frozen=True, kw_only=True)
class Correctness:
    """Errors of the outputs, hop by hop; ``passed`` None where nothing was checked, or nothing could be.

    ``expected_by`` says who computed the outputs that they were compared with; "" in older
    records and where nobody did.
    """

    hops: tuple[Hop, ...] = ()
    passed: bool | None = None
    expected_by: str = ""


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How the samples behind the readings were taken: counts over all timed processes.

    ``stopped_by`` counts processes by the rule that ended them. Nothing is deleted: ``not_steady`` samples at the
    beginning are kept and left out of the statistics, outliers (Tukey's fences, per process) are kept and counted in.
    """

    processes: int
    samples: int
    warmup: int
    not_steady: int
    stopped_by: Mapping[str, int]
    mild_outliers: int
    severe_outliers: int
    floor_s: float


@dataclass(frozen=True, kw_only=True)
class BuildCost:
    """Time and memory to make a file that the case runs: ``what`` is "onnx" (export and its checks) or "engine".

    ``peak_host_bytes`` is the largest resident set of the building process meanwhile, including all that it had loaded
    before; None where the kernel does not report it for a part of a process's life.
    """

    what: str
    duration_s: float
    peak_host_bytes: int | None


@dataclass(frozen=True, kw_only=True)
class FedInput:
    """An input of a measured network and what it was fed.

    ``shape`` is that of one inference, ``batch_axis`` the axis that counts samples, None where none does, and
    ``values`` where its values came from, in words; ``assumed`` where nothing in the network says which it takes.
    ``size`` names the sizes that nobody said and the network leaves open ("sequence=128").
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    batch_axis: int | None
    values: str
    assumed: bool = False
    size: str = ""


@dataclass(frozen=True, kw_only=True)
class Record:
    """One case, measured once on one machine: immutable, self-contained, the unit of the store.

    ``reason`` says why a record is failed or skipped, "" otherwise. A failed or skipped record has no
    readings. ``started_at`` is UTC in ISO 8601. Raw samples are rows of the record's file, not part of the record.
    ``builds`` are of the files that this run made, not of those that it found. ``proof`` says how much ran in the
    requested precision; None in older records and where nothing was checked. ``inputs`` are what the network was fed;
    none in older records.

    ``onnx_sha256`` is that of the ONNX file, ``weights_sha256`` that of the files beside it which hold its external
    data, None where it has none; together they are the network (``schema/identity.py``). ``weights`` says in words
    where its weights came from, "" in older records.
    """

    id: str
    status: Status
    reason: str
    key: RecordKey
    plan: MeasurementPlan
    environment: Environment
    started_at: str
    readings: tuple[Reading, ...] = ()
    flags: tuple[Flag, ...] = ()
    analytic: Analytic | None = None
    correctness: Correctness = field(default_factory=Correctness)
    evidence: Evidence | None = None
    sampling: Sampling | None = None
    proof: Proof | None = None
    onnx_sha256: str | None = None
    weights_sha256: str | None = None
    weights: str = ""
    engine_sha256: str | None = None
    builds: tuple[BuildCost, ...] = ()
    inputs: tuple[FedInput, ...] = ()


def reading_of(record: Record, metric: str) -> Reading | None:
    """The record's reading of a metric, None where it has none."""
    for reading in record.readings:  # a loop: a generator takes twice as long, and judges ask for 100,000 of them
        if reading.metric == metric:
            return reading
    return None


# MACs and parameters of a network.
Structure = tuple[int, int]


def structure_of(record: Record) -> Structure | None:
    """MACs and parameters, by which networks of one name are told apart; None without a cost."""
    return None if record.analytic is None else (record.analytic.macs, record.analytic.params)
