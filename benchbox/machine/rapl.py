"""How are the processor's own energy counters read (RAPL, through the kernel's powercap tree)?

``package`` is a processor with its caches and memory controller, ``dram`` the memory behind it, where the processor
counts that at all. The counters step about every millisecond and start again at ``max_energy_range_uj``. Since 2020
(CVE-2020-8694) only root may read them; virtual machines and most containers do not have them. ``BENCHBOX_POWERCAP``
names the folder where a container has been given the host's.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchbox.machine.energy_counter import CounterLostError, CounterResetError, Gauge

POWERCAP = Path("/sys/class/powercap")
POWERCAP_VARIABLE = "BENCHBOX_POWERCAP"
PACKAGE, DRAM = "cpu_package", "dram"
_DIGITS = 64


def powercap_root() -> Path:
    """Where the counters are looked for."""
    return Path(os.environ.get(POWERCAP_VARIABLE) or POWERCAP)


@contextlib.contextmanager
def rapl_gauge(*, root: Path) -> Iterator[Gauge | str]:
    """All packages together, and the memory where it is counted; or why nothing can be read.

    Args:
        root: the powercap tree.
    """
    # "intel-rapl" is its name on AMD too; "intel-rapl-mmio" shows the same packages once more and does not match.
    zones = {zone: _word(zone / "name") for zone in sorted(root.glob("intel-rapl:*"))}
    packages = [zone for zone, name in zones.items() if name.startswith("package")]
    if not packages:
        yield f"the processor's energy counters (RAPL) are not at {root}: a virtual machine or a container has none"
        return
    with contextlib.ExitStack() as closing:
        try:
            counters = [
                RaplCounter(PACKAGE, [_Domain.opened(zone, closing) for zone in packages]),
                *(
                    [RaplCounter(DRAM, [_Domain.opened(zone, closing) for zone in memories])]
                    if (memories := [zone for zone, name in zones.items() if name == "dram"])
                    else []
                ),
            ]
        except PermissionError as error:
            yield f"{error.filename} may not be read: only root may, since CVE-2020-8694"
            return
        except OSError as error:
            yield f"{error.filename} cannot be read: {error.strerror}"
            return
        yield Gauge(name=f"RAPL at {root}", counter=counters[0], beside=tuple(counters[1:]))


class RaplCounter:
    """The sum of some domains in J, continued over the point where each of them starts again."""

    def __init__(self, scope: str, domains: list[_Domain]) -> None:
        self.scope = scope
        self._domains = domains

    def read_j(self) -> float:
        """Joules since the counter was opened.

        Raises:
            CounterResetError: a domain went backwards without going round.
            CounterLostError: it cannot be read any more.
        """
        return sum(domain.grown_uj() for domain in self._domains) * 1e-6


@dataclass(kw_only=True)
class _Domain:
    """One ``energy_uj`` file, kept open, its growth, and the range after which it starts again."""

    path: Path
    descriptor: int
    range_uj: int | None
    _last_uj: int = field(init=False)
    _grown_uj: int = 0

    def __post_init__(self) -> None:
        self._last_uj = self._shown_uj()

    @classmethod
    def opened(cls, zone: Path, closing: contextlib.ExitStack) -> _Domain:
        """The domain of a zone; closed with the stack. Raises OSError where it cannot be read."""
        path = zone / "energy_uj"
        descriptor = os.open(path, os.O_RDONLY)
        closing.callback(os.close, descriptor)
        word = _word(zone / "max_energy_range_uj")
        return cls(path=path, descriptor=descriptor, range_uj=int(word) if word.isdigit() else None)

    def grown_uj(self) -> int:
        """Microjoules since the domain was opened; read more often than it goes round, which takes minutes."""
        now_uj = self._shown_uj()
        step_uj, last_uj, self._last_uj = now_uj - self._last_uj, self._last_uj, now_uj
        if step_uj < 0:
            # Going round takes minutes: a step of more than half the range was a fall to somewhere else.
            if self.range_uj is None or step_uj + self.range_uj > self.range_uj / 2:
                raise CounterResetError(
                    f"{self.path} went backwards", values=f"from {last_uj} to {now_uj} µJ, range {self.range_uj}"
                )
            step_uj += self.range_uj
        self._grown_uj += step_uj
        return self._grown_uj

    def _shown_uj(self) -> int:
        try:
            return int(os.pread(self.descriptor, _DIGITS, 0))
        except (OSError, ValueError) as error:
            raise CounterLostError(f"{self.path} cannot be read any more", values=str(error)) from error


def _word(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
