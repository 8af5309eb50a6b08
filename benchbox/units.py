"""How do numbers become text? This is the only place where they do.

Four significant digits; the prefix is chosen by the printed value, so that 999.96 µs prints as 1.000 ms and
never as 1000.0 µs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

ABSENT = "–"
_DIGITS = 4
_DECIMAL = (
    (1e-9, "n"),
    (1e-6, "µ"),
    (1e-3, "m"),
    (1.0, ""),
    (1e3, "k"),
    (1e6, "M"),
    (1e9, "G"),
    (1e12, "T"),
    (1e15, "P"),
)
_BINARY = ((1.0, ""), (2.0**10, "Ki"), (2.0**20, "Mi"), (2.0**30, "Gi"), (2.0**40, "Ti"))


def format_time(seconds: float | None) -> str:
    """A duration: "1.234 ms"."""
    return _scaled(seconds, _DECIMAL[:4], "s")


def format_bytes(size: float | None) -> str:
    """A size with binary prefixes: "97.49 MiB"."""
    return _scaled(size, _BINARY, "B")


def counted(count: float, noun: str) -> str:
    """How many there are of what a regular noun names: "1 case", "0 cases"."""
    return f"{count:.0f} {noun}{'' if count == 1 else 's'}"


def format_count(count: float | None) -> str:
    """A number of things: "4.089 G"; below 1000 a whole number is printed as it is."""
    if count is not None and count == int(count if math.isfinite(count) else 0) and abs(count) < 1000:
        return str(int(count))
    return _scaled(count, _DECIMAL[3:], "").strip()


def format_rate(per_s: float | None) -> str:
    """Something per second: "24.50 /s", "1.300 k/s"."""
    return _scaled(per_s, _DECIMAL[3:], "/s")


def format_flops_per_s(per_s: float | None) -> str:
    """Operations per second: "201.3 GFLOP/s"."""
    return _scaled(per_s, _DECIMAL[3:], "FLOP/s")


def format_percent(ratio: float | None, decimals: int | None = None, *, signed: bool = False) -> str:
    """A ratio as percent: "16 %", "2.5 %"; every other percentage is written by this.

    Args:
        ratio: 0.16 is 16 %.
        decimals: how many there are; None for one below 10 %, left out where it is zero, and none above.
        signed: a plus before what is not negative.
    """
    if ratio is None:
        return ABSENT
    if not math.isfinite(ratio):
        return str(ratio)
    percent = 100 * ratio
    few = decimals is None
    if decimals is None:
        decimals = 0 if abs(percent) >= 9.95 else 1
    text = f"{percent:{'+' if signed else ''}.{decimals}f}"
    return f"{text.removesuffix('.0') if few else text} %"


def format_ratio(ratio: float | None) -> str:
    """A ratio as percent with two significant digits: "0.43 %"."""
    if ratio is None or not math.isfinite(ratio):
        return format_percent(ratio)
    if ratio == 0:
        return "0 %"
    # The power of ten is that of the rounded number: 0.9996 % is "1.0 %".
    power = int(f"{100 * ratio:.1e}".partition("e")[2])
    return format_percent(ratio, min(max(0, 1 - power), 4))


def format_share(share: float) -> str:
    """A share of a whole as percent: "93.1 %"; "0 %" and "100 %" are nothing and everything, never rounded to."""
    if 0 < share < 0.0005:
        return "<0.1 %"
    if 0.9995 <= share < 1:
        return ">99.9 %"
    return format_percent(share, 1).replace(".0 %", " %")


def format_change(ratio: float | None) -> str:
    """By how much something changed, from its new value over the old one: "+9.9 %"."""
    return ABSENT if ratio is None else format_percent(ratio - 1, 1, signed=True)


def format_changes(low: float | None, high: float | None) -> str:
    """The interval of a change, from that of the ratio: "+8.1 to +11.9 %"; "" where there is none."""
    if low is None or high is None:
        return ""
    return f"{format_change(low).removesuffix(' %')} to {format_change(high)}"


def format_factor(factor: float | None) -> str:
    """A factor of speed or size: "1.32×", "0.874×"; three significant digits, and never an exponent of a large one."""
    if factor is None:
        return ABSENT
    if not math.isfinite(factor):
        return f"{factor}×"
    if abs(factor) >= 999.5:
        return f"{factor:.0f}×"
    return f"{factor:.2f}×" if 0.9995 <= abs(factor) < 9.995 else f"{factor:.3g}×"


def format_half_width(value: float | None, low: float | None, high: float | None) -> str:
    """How far an interval reaches from its value at most: "±0.43 %"."""
    if value is None or low is None or high is None or value == 0:
        return ABSENT
    return f"±{format_ratio(max(value - low, high - value) / abs(value))}"


def format_quantity(value: float | None, unit: str) -> str:
    """A value in a base unit of the records: s, 1/s, bytes, J or 1."""
    if unit == "s":
        return format_time(value)
    if unit == "bytes":
        return format_bytes(value)
    if unit == "1/s":
        return format_rate(value)
    return _scaled(value, _DECIMAL, "" if unit == "1" else unit).strip()


def format_known(value: float, low: float | None, high: float | None, unit: str) -> str:
    """A value with no more digits than its interval leaves known, two to four ("290 ms"); three without an interval."""
    if not math.isfinite(value) or value == 0:
        return format_quantity(value, unit)
    digits = _DIGITS - 1
    if low is not None and high is not None and math.isfinite(high - low):
        width = (high - low) / abs(value)
        digits = _DIGITS if width <= 0 else min(_DIGITS, max(2, 1 - math.floor(math.log10(width))))
    rounded = float(f"{value:.{digits - 1}e}")
    number, _, suffix = format_quantity(rounded, unit).partition(" ")
    whole = len(number.partition(".")[0].lstrip("-0"))
    return f"{float(number):.{max(0, digits - whole)}f} {suffix}".strip()


def format_alike(values: Sequence[float], unit: str) -> list[str]:
    """Values of one column, all with the prefix and the decimals of the largest: "1.005 ms", "0.997 ms"."""
    largest = max(values, key=abs, default=0.0)
    number, _, suffix = format_quantity(largest, unit).partition(" ")
    if not largest or not all(map(math.isfinite, values)):
        return [format_quantity(value, unit) for value in values]
    prefixes = _BINARY if unit == "bytes" else _DECIMAL
    scale = next((factor for factor, prefix in reversed(prefixes) if prefix and suffix.startswith(prefix)), 1.0)
    decimals = len(number.partition(".")[2])
    return [f"{value / scale:.{decimals}f} {suffix}".strip() for value in values]


def _scaled(value: float | None, prefixes: tuple[tuple[float, str], ...], unit: str) -> str:
    if value is None:
        return ABSENT
    if not math.isfinite(value):
        return f"{value} {unit}"
    if value == 0:
        return f"0 {unit}".strip()
    for factor, prefix in prefixes:
        text = _significant(value / factor)
        # The limit is looked for in the printed text: that is what rounding may have pushed over it.
        step = 1024 if prefixes is _BINARY else 1000
        if abs(float(text)) < step or factor == prefixes[-1][0]:
            whole = prefixes is _BINARY and factor == 1 and value == int(value)
            return f"{int(value) if whole else text} {prefix}{unit}"
    raise AssertionError("the last prefix always fits")


def _significant(value: float) -> str:
    """Four significant digits without an exponent."""
    magnitude = math.floor(math.log10(abs(value)))
    decimals = max(0, _DIGITS - 1 - magnitude)
    text = f"{value:.{min(decimals, 12)}f}"
    # Rounding up to the next power of ten would print one digit too many: 9.9996 -> 10.000.
    if (
        decimals
        and len(text.lstrip("-").replace(".", "").lstrip("0")) > _DIGITS
        and abs(float(text)) >= 10 ** (magnitude + 1)
    ):
        text = f"{value:.{min(decimals - 1, 12)}f}"
    return text
