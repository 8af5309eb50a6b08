"""How are a device's measured ceilings shown?"""

from __future__ import annotations

from collections.abc import Sequence

from benchbox.report.screen import lines_below, table_of
from benchbox.report.table import Column
from benchbox.schema.device import BandwidthCeiling, Ceilings, ComputeCeiling, NoCeiling, Pace
from benchbox.units import ABSENT, format_bytes, format_flops_per_s, format_known, format_ratio

_REMEDY = "a wider screen or --json shows all"
_ADVICE = (
    "each number is the median over processes, low and high are the least and largest process; a measured ceiling "
    "is a lower bound of the true peak: shortfalls below 5 % are not significant, and other shapes may reach more"
)
_QUICK = (
    "--quick is a first look: 'layers', 'flops --device here' and the page take their roofs from 'benchbox ceilings' "
    "without it"
)
_PACES = (
    "burst: the five fastest products of a process, for short work; sustained: all of a timed window, for long work. "
    "A multiply-add is 2 operations, in int8 too"
)


def render_ceilings(found: Sequence[Ceilings]) -> str:
    """The ceilings of each device as tables with what they mean below them."""
    return "\n\n".join(_one(ceilings) for ceilings in found)


def _one(ceilings: Ceilings) -> str:
    blocks = [f"{ceilings.title} ({ceilings.device}), environment {ceilings.epoch}, {ceilings.started_at}"]
    if ceilings.compute:
        blocks.append(table_of(_COMPUTE, _ordered(ceilings.compute), remedy=_REMEDY))
    if ceilings.bandwidth:
        blocks.append(table_of(_BANDWIDTH, ceilings.bandwidth, remedy=_REMEDY))
    lines = [_PACES, _ADVICE] if ceilings.compute else [_ADVICE]
    lines += [_QUICK] if ceilings.quick else []
    lines += _within_backends(ceilings)
    lines += [f"no {one.precision} ceiling from {one.library}: {one.reason}" for one in _plain(ceilings)]
    if ceilings.theoretical:
        peaks = ", ".join(f"{kind} {format_flops_per_s(rate)}" for kind, rate in ceilings.theoretical.items())
        lines.append(f"data sheet, for comparison only: {peaks}")
    lines += [f"{flag.severity} {flag.code}: {flag.message}" for flag in ceilings.flags]
    return "\n\n".join([*blocks, lines_below(*lines)])


def _ordered(compute: Sequence[ComputeCeiling]) -> list[ComputeCeiling]:
    """All threads first, then by precision as they were asked for, burst before sustained."""
    order = list(dict.fromkeys(one.precision for one in compute))
    return sorted(compute, key=lambda one: (-one.threads, order.index(one.precision), one.kind))


def _within_backends(ceilings: Ceilings) -> list[str]:
    """One line per precision: what the other libraries reach of the best one's rate, sustained, with all threads.

    Nothing where one library alone has a ceiling. Shares alone, as rates of two digits look equal where shares differ.
    """
    lines = []
    for precision in dict.fromkeys(one.precision for one in ceilings.compute):
        best = ceilings.peak(precision)
        rows = [
            one
            for one in ceilings.backends
            if (one.precision, one.kind, one.threads) == (precision, Pace.SUSTAINED, ceilings.cpus)
        ]
        if best is None or len(rows) < 2:
            continue
        rows.sort(key=lambda one: -one.flops_per_s)
        shares = ", ".join(f"{one.library} {format_ratio(one.flops_per_s / best.flops_per_s)}" for one in rows[1:])
        lines.append(
            f"{precision} by library, sustained: {rows[0].library} is the fastest; of its median rate: {shares}"
        )
    return lines


def _plain(ceilings: Ceilings) -> list[NoCeiling]:
    """What has no ceiling; of numpy, which has but one type, nothing needs to be said."""
    return [one for one in ceilings.none if one.library != "numpy"]


def _rate(one: ComputeCeiling | BandwidthCeiling, value: float, unit: str) -> str:
    """A rate with the digits that its processes leave known."""
    low, high = (one.low, one.high) if one.low < one.high else (None, None)
    return format_known(value, low, high, unit)


def _end(one: ComputeCeiling | BandwidthCeiling, value: float, unit: str) -> str:
    """The least or the largest process; a dash where there is one process alone."""
    return format_known(value, None, None, unit) if one.low < one.high else ABSENT


_COMPUTE: tuple[Column[ComputeCeiling], ...] = (
    Column(title="precision", cell=lambda one: one.precision),
    Column(title="pace", cell=lambda one: one.kind),
    Column(title="threads", cell=lambda one: str(one.threads), number=True),
    Column(title="ceiling", cell=lambda one: _rate(one, one.flops_per_s, "FLOP/s"), number=True),
    Column(title="low", cell=lambda one: _end(one, one.low, "FLOP/s"), number=True),
    Column(title="high", cell=lambda one: _end(one, one.high, "FLOP/s"), number=True),
    Column(title="n", cell=lambda one: str(one.n), number=True),
    Column(title="by", cell=lambda one: f"{one.library} {one.version}".strip()),
    Column(title="operator", rank=1, cell=lambda one: f"{one.form} {'x'.join(map(str, one.shape))}"),
)
_BANDWIDTH: tuple[Column[BandwidthCeiling], ...] = (
    Column(title="memory", cell=lambda one: one.level),
    Column(title="threads", cell=lambda one: str(one.threads), number=True),
    Column(title="ceiling", cell=lambda one: _rate(one, one.bytes_per_s, "B/s"), number=True),
    Column(title="low", cell=lambda one: _end(one, one.low, "B/s"), number=True),
    Column(title="high", cell=lambda one: _end(one, one.high, "B/s"), number=True),
    Column(title="n", cell=lambda one: str(one.n), number=True),
    Column(title="by", cell=lambda one: f"{one.library} {one.kernel}"),
    Column(title="working set", rank=1, cell=lambda one: format_bytes(one.bytes), number=True),
)
