"""Which limits can a configuration have, and how is '<= 5 ms' read?"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from benchbox.errors import UsageError
from benchbox.registry import require_known, suggestion
from benchbox.schema.reading import Better

ACCURACY, ENERGY, THROUGHPUT = "accuracy", "energy", "throughput"
_TIME = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9, "min": 60.0}
_BYTES = {"B": 1.0, "bytes": 1.0}
_BYTES |= {f"{prefix}B": 1e3**power for power, prefix in enumerate(("k", "M", "G", "T"), 1)}
_BYTES |= {f"{prefix}iB": 2.0 ** (10 * power) for power, prefix in enumerate(("K", "M", "G", "T"), 1)}
_JOULES = {"J": 1.0, "kJ": 1e3, "mJ": 1e-3, "uJ": 1e-6, "µJ": 1e-6}
_RATES = {f"{prefix}{word}": scale for prefix, scale in (("", 1.0), ("k", 1e3)) for word in ("/s", "samples/s", "qps")}
_SHARES = {"": 1.0, "%": 0.01}
_TEXT = re.compile(r"\s*(?P<sign><=|>=|<|>|≤|≥|)\s*(?P<number>[-+]?[\d.]+(?:[eE][-+]?\d+)?)\s*(?P<unit>[^\s\d]*)\s*")
_AT_MOST, _AT_LEAST = frozenset({"<=", "<", "≤"}), frozenset({">=", ">", "≥"})


@dataclass(frozen=True, kw_only=True)
class Quality:
    """What a configuration is chosen by.

    ``metrics`` are readings of a record, the first that it has; none for accuracy. ``units`` are the accepted units and
    their factors to ``unit``, the base unit.
    """

    name: str
    metrics: tuple[str, ...]
    better: Better
    unit: str
    units: Mapping[str, float]
    example: str


def _quality(name: str, better: Better, unit: str, units: Mapping[str, float], example: str, *metrics: str) -> Quality:
    return Quality(name=name, metrics=metrics, better=better, unit=unit, units=units, example=example)


# A record on a GPU has both memories: that of the device is the one that runs out.
QUALITIES: Mapping[str, Quality] = {
    quality.name: quality
    for quality in (
        _quality("latency", Better.LOWER, "s", _TIME, "<= 5 ms", "latency_p50"),
        _quality("latency-p99", Better.LOWER, "s", _TIME, "<= 8 ms", "latency_p99"),
        _quality("memory", Better.LOWER, "bytes", _BYTES, "<= 2 GB", "peak_device_memory", "peak_host_memory"),
        _quality(ACCURACY, Better.HIGHER, "1", _SHARES, ">= 0.75"),
        _quality(ENERGY, Better.LOWER, "J", _JOULES, "<= 50 mJ", "energy_per_sample"),
        _quality(THROUGHPUT, Better.HIGHER, "1/s", _RATES, ">= 200 /s", "throughput"),
    )
}


@dataclass(frozen=True, kw_only=True)
class Limit:
    """A quality and the value, in its base unit, that it must not exceed or fall below (as its direction has it).

    ``text`` is the value as it was given: "5 ms".
    """

    quality: Quality
    value: float
    text: str

    @property
    def sign(self) -> str:
        """How it is written: "<=" where less is better, else ">="."""
        return "<=" if self.quality.better is Better.LOWER else ">="

    def met_by(self, value: float) -> bool:
        """Whether an exact value would meet it."""
        return value <= self.value if self.quality.better is Better.LOWER else value >= self.value


def limit_from_text(name: str, text: str) -> Limit:
    """The limit on a quality.

    Args:
        name: of the quality.
        text: "<= 5 ms"; without a sign the one that makes sense.

    Raises:
        UsageError: no number, an unknown unit or none, a limit on the wrong side, a share above 1.
    """
    quality = QUALITIES[name]
    remedy = f"for example --{name} '{quality.example}'"
    found = _TEXT.fullmatch(text)
    if found is None or found["number"].count(".") > 1:
        raise UsageError(f"--{name} takes a limit with its unit", values=f"got '{text}'", remedy=remedy)
    sign, unit = found["sign"], found["unit"]
    lower = quality.better is Better.LOWER
    if sign in (_AT_LEAST if lower else _AT_MOST):
        side = "from above" if lower else "from below"
        raise UsageError(f"{name} is limited {side}", values=f"got '{text}'", remedy=remedy)
    if unit not in quality.units:
        units = ", ".join(known for known in quality.units if known)
        what = f"the unit '{unit}' does not fit --{name}" if unit else f"--{name} needs a unit"
        raise UsageError(
            what,
            values=f"got '{text}'; {suggestion(unit, quality.units)}".rstrip("; "),
            remedy=f"units: {units}; {remedy}",
        )
    value = float(found["number"]) * quality.units[unit]
    if not math.isfinite(value) or value <= 0:
        raise UsageError(f"--{name} takes a positive limit", values=f"got '{text}'", remedy=remedy)
    if name == ACCURACY and value > 1:
        raise UsageError("--accuracy is a share", values=f"got '{text}'", remedy="for example '>= 0.75' or '>= 75 %'")
    return Limit(quality=quality, value=value, text=f"{found['number']} {unit}".strip())


def limits_from_texts(texts: Mapping[str, Iterable[str]]) -> tuple[Limit, ...]:
    """All limits, in the order of the qualities; two of one quality raise UsageError."""
    limits = []
    for name in QUALITIES:
        given = tuple(texts.get(name, ()))
        if len(given) > 1:
            raise UsageError(
                f"--{name} is given twice",
                values=" and ".join(f"'{text}'" for text in given),
                remedy="give the limit that counts, once",
            )
        limits += [limit_from_text(name, text) for text in given]
    return tuple(limits)


def objective_from_names(maximize: str | None, minimize: str | None) -> Quality:
    """What the answer is best in: latency if nothing is said.

    Raises:
        UsageError: both are given, an unknown quality, or the worst would be chosen.
    """
    if maximize and minimize:
        raise UsageError(
            "--maximize and --minimize exclude each other", values=f"got {maximize} and {minimize}", remedy="give one"
        )
    name = maximize or minimize
    if name is None:
        return QUALITIES["latency"]
    quality = QUALITIES[require_known("quality", name, QUALITIES)]
    higher = quality.better is Better.HIGHER
    if bool(maximize) is not higher:
        option = "--maximize" if higher else "--minimize"
        raise UsageError(f"{name} is better {quality.better}", remedy=f"{option} {name}")
    return quality
