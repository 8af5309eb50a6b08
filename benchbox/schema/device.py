"""How fast does a device multiply in each precision, and how fast is its memory?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Device:
    """Peak rates of the datasheet.

    ``rates`` are multiply-adds per time in each precision relative to fp32 (fp32 itself is 1); a missing
    precision has no known rate. ``fp32_flops_per_s`` and ``bytes_per_s`` are absolute, None where nothing is published:
    then the balance of arithmetic and memory is unknown. ``widened`` are precisions
    that the device has no arithmetic for and computes in fp32. ``source`` says where the numbers are from.
    """

    name: str
    title: str
    rates: Mapping[str, float]
    fp32_flops_per_s: float | None = None
    bytes_per_s: float | None = None
    widened: tuple[str, ...] = ()
    source: str = field(default="")

    @property
    def balance(self) -> float | None:
        """FLOPs per byte at which fp32 takes as long in arithmetic as in memory; None where a rate is unknown."""
        if self.fp32_flops_per_s is None or self.bytes_per_s is None:
            return None
        return self.fp32_flops_per_s / self.bytes_per_s
