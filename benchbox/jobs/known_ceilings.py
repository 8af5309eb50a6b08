"""What do the stored ceilings of this machine say: its rates, and numbers that are above them?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from benchbox.flags.ceilings import above_ceiling
from benchbox.machine.environment import capture
from benchbox.machine.rates import device_from_ceilings
from benchbox.schema.device import Pace
from benchbox.schema.record import Record, reading_of
from benchbox.store.ceilings import newest_of, stored_ceilings

if TYPE_CHECKING:
    from benchbox.schema.device import Ceilings, Device
    from benchbox.schema.environment import Environment
    from benchbox.schema.layers import LayerTable
    from benchbox.schema.reading import Flag


def ceilings_here(root: Path, device: str, *, environment: Environment | None = None) -> Ceilings | None:
    """The newest stored ceilings of this machine and its software as they are now; None where there are none."""
    stored = stored_ceilings(root)
    if not stored:
        return None
    return newest_of(stored, epoch=(environment or capture()).hash, device=device)


def measured_device(
    root: Path, nominal: Device | None, *, device: str = "cpu", environment: Environment | None = None
) -> Device | None:
    """The stored ceilings of this environment as a device's rates; None where there are none.

    Args:
        root: project root.
        nominal: what is known of the device without measuring: which precisions it has no arithmetic for.
        device: "cpu" or "cuda".
        environment: of this process, None to look now.
    """
    ceilings = ceilings_here(root, device, environment=environment)
    return None if ceilings is None else device_from_ceilings(ceilings, widened=nominal.widened if nominal else ())


def flags_of_record(record: Record, *, root: Path) -> tuple[Flag, ...]:
    """Whether a record's multiply-adds per second are above the stored burst ceiling of its environment."""
    reading, analytic = reading_of(record, "achieved_flops"), record.analytic
    proven = record.proof is not None and record.proof.passed is True
    if reading is None or analytic is None or not analytic.flops or not proven:
        return ()
    ceilings = ceilings_here(root, record.key.device, environment=record.environment)
    roof = ceilings and ceilings.roof(record.key.precision, kind=Pace.BURST, threads=record.plan.threads)
    if not roof:
        return ()
    found = above_ceiling("it", reading.value * 2 * analytic.macs / analytic.flops, roof)
    return (found,) if found else ()


def flags_of_layers(table: LayerTable) -> tuple[Flag, ...]:
    """The layer that is furthest above the burst ceiling of the type that it ran in, if any is."""
    if table.ceilings is None:
        return ()
    found = []
    for row in table.rows:
        roof = table.ceilings.roof(row.layer.executed, kind=Pace.BURST, threads=table.threads)
        if roof is None or not row.layer.time_s or not row.macs:
            continue
        above = above_ceiling(row.name, 2 * row.macs / row.layer.time_s, roof)
        found += [above] if above else []
    return tuple(sorted(found, key=lambda flag: -(flag.size or 0.0))[:1])
