"""How large are this processor's caches, and which of them does a working set fit in?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchbox.machine.host import memory_line, read_text
from benchbox.schema.device import Level

_CACHES = Path("sys/devices/system/cpu/cpu0/cache")
_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
# A working set is of a level for certain where it leaves room in it and is well beyond the one before.
_FITS, _BEYOND, _FAR_BEYOND = 0.75, 1.5, 4


@dataclass(frozen=True, kw_only=True)
class Caches:
    """Sizes in bytes; None where the system does not say. First two of one core, the last level shared."""

    l1: int | None = None
    l2: int | None = None
    llc: int | None = None

    def level_of(self, total: int, *, threads: int) -> Level | None:
        """The level that serves a working set of so many bytes over all threads; None between two levels.

        Where no cache is known only what is beyond 256 MiB is taken for main memory.
        """
        share = total / threads
        last = self.llc or self.l2 or self.l1
        if last is None:
            return Level.DRAM if total >= 256 << 20 else None
        if total >= _FAR_BEYOND * last * (1 if self.llc else threads):
            return Level.DRAM
        if self.l1 and share <= self.l1:
            return Level.L1
        if self.l2 and _BEYOND * (self.l1 or 0) <= share <= _FITS * self.l2:
            return Level.L2
        if self.llc and share >= _BEYOND * (self.l2 or self.l1 or 0) and total <= _FITS * self.llc:
            return Level.LLC
        return None


def caches_of(root: Path = Path("/")) -> Caches:
    """The data caches of the first CPU; the highest level is the last one, where it is above the second."""
    found: dict[int, int] = {}
    for index in sorted((root / _CACHES).glob("index[0-9]*")):
        level, size = read_text(index / "level"), read_text(index / "size")
        if read_text(index / "type") == "Instruction" or not level.isdigit() or not size[:-1].isdigit():
            continue
        found[int(level)] = int(size[:-1]) * _UNITS.get(size[-1], 1)
    above = [size for level, size in sorted(found.items()) if level > 2]
    return Caches(l1=found.get(1), l2=found.get(2), llc=above[-1] if above else None)


def available_bytes(root: Path = Path("/")) -> int | None:
    """Memory that can be taken now without swapping; None where the system does not say."""
    kib = memory_line(root, "MemAvailable").removesuffix("kB").strip()
    return int(kib) << 10 if kib.isdigit() else None
