"""Ceilings of made-up numbers."""

from __future__ import annotations

from benchbox.schema.device import BandwidthCeiling, Ceilings, ComputeCeiling, Level, Pace
from benchbox.schema.environment import Environment
from benchbox.schema.model import Precision

CPUS = 4


def compute(
    rate: float = 100e9,
    *,
    precision: Precision = Precision.FP32,
    kind: Pace = Pace.SUSTAINED,
    threads: int = CPUS,
    library: str = "onnxruntime",
) -> ComputeCeiling:
    """A ceiling of so many operations per second."""
    return ComputeCeiling(
        precision=precision,
        kind=kind,
        threads=threads,
        flops_per_s=rate,
        low=rate * 0.9,
        high=rate * 1.1,
        library=library,
        shape=(8, 8, 8),
        n=5,
    )


def bandwidth(rate: float = 10e9, *, level: Level = Level.DRAM, threads: int = CPUS) -> BandwidthCeiling:
    """A bandwidth of so many bytes per second."""
    return BandwidthCeiling(
        level=level,
        threads=threads,
        bytes_per_s=rate,
        low=rate,
        high=rate,
        library="numpy",
        kernel="add",
        bytes=1 << 28,
        n=1,
    )


def ceilings(*compute_ceilings: ComputeCeiling, **other: object) -> Ceilings:
    """Ceilings of environment "e" on a processor."""
    given: dict[str, object] = {
        "id": "20260101T000000Z-00000000",
        "started_at": "2026-01-01T00:00:00+00:00",
        "device": "cpu",
        "title": "a processor",
        "epoch": "e",
        "environment": Environment(hash="e", hardware={}, software={}),
        "cpus": CPUS,
        "compute": compute_ceilings,
        "backends": compute_ceilings,
        "bandwidth": (bandwidth(),),
    }
    return Ceilings(**{**given, **other})  # type: ignore[arg-type]
