"""What was measured: when are two records replicates of one case, and what tells two cases apart?"""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass

from benchbox.schema.model import Precision
from benchbox.schema.plan import Mode
from benchbox.schema.record import Record

# Sizes of a plan that only some modes use: everywhere else their defaults mean nothing and must not split a case.
_USED_BY: dict[str, frozenset[Mode]] = {
    "group": frozenset({Mode.BATCHED}),
    "streams": frozenset({Mode.CONCURRENT, Mode.MULTI_STREAM, Mode.SERVER}),
    "rate_per_s": frozenset({Mode.SERVER}),
    "latency_bound_s": frozenset({Mode.SERVER}),
    "wait": frozenset({Mode.PIPELINED}),
}
# Among what was observed: which step of which sweep a record is of ("<sweep>/<step>").
SWEEP_MARK = "sweep"


@dataclass(frozen=True, kw_only=True)
class CaseIdentity:
    """One case: records with equal identities and environments are replicates, all others are never pooled.

    ``onnx_sha256`` and ``weights_sha256`` identify the network under its name: the ONNX file, and the files beside it
    with its external data, None where there are none. Both are None where a case ended before its file was there.
    ``group``, ``streams``, ``rate_per_s``, ``latency_bound_s`` and ``wait`` are None in modes that do not use them.
    The other fields are those of the record's key and plan.
    """

    model: str
    onnx_sha256: str | None
    weights_sha256: str | None
    backend: str
    precision: Precision
    variant: str
    batch: int
    mode: Mode
    group: int | None
    streams: int | None
    rate_per_s: float | None
    latency_bound_s: float | None
    threads: int
    transfer: str
    wait: str | None
    like: str
    device: str

    @property
    def without_network(self) -> CaseIdentity:
        """The same case for whatever network has this name."""
        return dataclasses.replace(self, onnx_sha256=None, weights_sha256=None)

    @property
    def network(self) -> str | None:
        """The network in one word: the sha256 of its file, or over file and external data where it has such."""
        return network_from(self.onnx_sha256, self.weights_sha256)

    def differences(self, other: CaseIdentity) -> tuple[str, ...]:
        """Names of the fields in which two cases differ, in the order of the fields."""
        names = [field.name for field in dataclasses.fields(self)]
        return tuple(name for name in names if getattr(self, name) != getattr(other, name))


CASE_FIELDS = tuple(field.name for field in dataclasses.fields(CaseIdentity))
# Fields that say which file a network is, not what is called so.
NETWORK_FIELDS = frozenset({"onnx_sha256", "weights_sha256"})


def network_of(record: Record) -> str | None:
    """The network of a record in one word (``CaseIdentity.network``)."""
    return network_from(record.onnx_sha256, record.weights_sha256)


def network_from(onnx_sha256: str | None, weights_sha256: str | None) -> str | None:
    """A network in one word, from the sha256 of its file and that over its external data, None where it has none."""
    if onnx_sha256 is None or weights_sha256 is None:
        return onnx_sha256
    return hashlib.sha256(f"{onnx_sha256} {weights_sha256}".encode()).hexdigest()


def identity_of(record: Record) -> CaseIdentity:
    """The case that a record is of."""
    return _identity(record, record.onnx_sha256, record.weights_sha256)


def sweep_id_of(record: Record) -> str:
    """The sweep that a record was measured by, "" where by none."""
    return record.environment.observed.get(SWEEP_MARK, "").partition("/")[0]


def case_of(record: Record) -> CaseIdentity:
    """The case that a record is of, for whatever network has its name: ``identity_of(record).without_network``."""
    return _identity(record, None, None)


def _identity(record: Record, onnx_sha256: str | None, weights_sha256: str | None) -> CaseIdentity:
    key, plan = record.key, record.plan
    return CaseIdentity(
        model=key.model,
        onnx_sha256=onnx_sha256,
        weights_sha256=weights_sha256,
        backend=key.backend,
        precision=key.precision,
        variant=key.variant,
        batch=key.batch,
        mode=key.mode,
        group=plan.group if _used(key.mode, "group") else None,
        streams=plan.streams if _used(key.mode, "streams") else None,
        rate_per_s=plan.rate_per_s if _used(key.mode, "rate_per_s") else None,
        latency_bound_s=plan.latency_bound_s if _used(key.mode, "latency_bound_s") else None,
        threads=plan.threads,
        transfer=plan.transfer,
        wait=plan.wait if _used(key.mode, "wait") else None,
        like=plan.like,
        device=key.device,
    )


def _used(mode: Mode, name: str) -> bool:
    return mode in _USED_BY[name]
