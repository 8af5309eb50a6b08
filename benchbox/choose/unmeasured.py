"""Which combinations were not measured, and can the measured ceilings of the machine rule some of them out?

A combination is a network, backend, precision, batch size and number of threads that were each measured on a machine,
but not together. No number is made up for it: it can never be chosen. Its latency has a lower bound, the multiply-adds
over the highest rate that was measured on the machine, and its memory another, the weights. Where a bound is beyond a
limit, it cannot meet it; else only a measurement tells.

The bound must hold whatever a backend does. Its rate is the highest of any process and precision that can serve, 5 %
more because few shapes were tried, and four times that because algorithms for convolutions save multiplications
(Winograd F(4x4, 3x3) needs a quarter: Lavin and Gray, arXiv 1509.09308).
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from benchbox.choose.limits import Limit
from benchbox.flags.ceilings import TOLERATED
from benchbox.schema.device import Ceilings
from benchbox.schema.model import Precision
from benchbox.schema.reading import Better
from benchbox.schema.record import Record, Status

_SAVED = 4.0
_BYTES = {
    Precision.FP64: 8.0,
    Precision.FP32: 4.0,
    Precision.TF32: 4.0,
    Precision.FP16: 2.0,
    Precision.BF16: 2.0,
    Precision.INT8: 1.0,
    Precision.FP8: 1.0,
    Precision.INT4: 0.5,
}


@dataclass(frozen=True, kw_only=True)
class Bounded:
    """A limit that a combination cannot meet: its quality would at best be ``best``, in base units."""

    limit: Limit
    best: float


@dataclass(frozen=True, kw_only=True)
class Unmeasured:
    """A combination without a record.

    ``like`` is a record with its key and plan and without numbers, ``broken`` the limits that it cannot meet;
    ``latency_s`` is the lower bound of its latency, None where no ceiling of the machine is stored.
    """

    name: str
    like: Record
    latency_s: float | None
    broken: tuple[Bounded, ...]


def unmeasured_of(
    records: Sequence[Record],
    limits: Sequence[Limit],
    ceilings: Sequence[Ceilings],
    *,
    name_of: Callable[[Record], str],
) -> tuple[Unmeasured, ...]:
    """The combinations that lack a record, those that cannot meet a limit last, else by the bound of their latency.

    Args:
        records: of one machine and mode, one for each case, failed and skipped ones too.
        limits: that are asked for.
        ceilings: of that machine.
        name_of: a case in one line.
    """
    # Variants and imitations of other tools are choices of their own: they are not combined.
    usual = [record for record in records if not record.key.variant and not record.plan.like]
    found = []
    for like in _missing(usual):
        latency = _least_latency(like, ceilings)
        broken = tuple(bounded for limit in limits if (bounded := _broken(like, limit, latency)) is not None)
        found.append(Unmeasured(name=name_of(like), like=like, latency_s=latency, broken=broken))
    return tuple(sorted(found, key=lambda entry: (bool(entry.broken), entry.latency_s or 0.0, entry.name)))


def _missing(records: Sequence[Record]) -> Iterator[Record]:
    """Records without numbers of the combinations that have none, of pairs of backend and precision that work here."""
    seen = {_combination(record) for record in records}
    measured = [record for record in records if record.status is Status.OK and record.analytic is not None]
    of_network: dict[str, Record] = {}
    for record in measured:
        of_network.setdefault(record.key.model, record)
    pairs = sorted({(record.key.backend, record.key.precision) for record in measured})
    sizes = sorted({(record.key.batch, record.plan.threads) for record in measured})
    for record, (backend, precision), (batch, threads) in itertools.product(of_network.values(), pairs, sizes):
        combination = (record.key.model, backend, precision, batch, threads)
        if combination not in seen:
            yield _without_numbers(record, backend, precision, batch, threads)


def _combination(record: Record) -> tuple[str, str, Precision, int, int]:
    return record.key.model, record.key.backend, record.key.precision, record.key.batch, record.plan.threads


def _without_numbers(record: Record, backend: str, precision: Precision, batch: int, threads: int) -> Record:
    key = dataclasses.replace(record.key, backend=backend, precision=precision, batch=batch)
    analytic = record.analytic
    if analytic is not None:
        per_sample = analytic.macs / record.key.batch
        # Only down: a file of a low precision may hold parts in fp32, which do not grow.
        weights = analytic.weight_bytes * min(1.0, _BYTES[precision] / _BYTES[record.key.precision])
        analytic = dataclasses.replace(analytic, macs=round(per_sample * batch), weight_bytes=round(weights))
    plan = dataclasses.replace(record.plan, threads=threads)
    return dataclasses.replace(record, key=key, plan=plan, analytic=analytic, readings=(), flags=(), proof=None)


def _least_latency(like: Record, ceilings: Iterable[Ceilings]) -> float | None:
    """Seconds below which no backend can be; None without a ceiling or a cost."""
    rates = {one.precision: 0.0 for measured in ceilings for one in measured.compute}
    for measured in ceilings:
        for one in measured.compute:
            rates[one.precision] = max(rates[one.precision], one.high)
    # A precision without arithmetic of its own runs as another one does.
    rate = rates.get(like.key.precision) or max(rates.values(), default=0.0)
    if not rate or like.analytic is None:
        return None
    return 2 * like.analytic.macs / (rate * (1 + TOLERATED) * _SAVED)


def _broken(like: Record, limit: Limit, latency_s: float | None) -> Bounded | None:
    best: float | None = None
    name = limit.quality.name
    if name == "memory" and like.analytic is not None:
        best = float(like.analytic.weight_bytes)
    elif name in {"latency", "latency-p99"}:
        best = latency_s
    elif name == "throughput" and latency_s:
        best = like.key.batch / latency_s
    if best is None or limit.met_by(best):
        return None
    return Bounded(limit=limit, best=best)


def direction(bounded: Bounded) -> str:
    """How a best value is said: "at least" where less is better."""
    return "at least" if bounded.limit.quality.better is Better.LOWER else "at most"
