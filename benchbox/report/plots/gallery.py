"""Which pictures does the page have, and in which order?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchbox.report.material import Material, Point
from benchbox.report.plots import (
    batch,
    complexity,
    distribution,
    front,
    history,
    latency,
    layers,
    memory,
    operations,
    pairs,
    roofline,
    steps,
)
from benchbox.report.plots.base import Draw, Picture

PICTURES: Mapping[str, Draw] = {
    "latency": latency.draw,
    "roofline": roofline.draw_networks,
    "roofline-layers": roofline.draw_layers,
    "layers": layers.draw,
    "front": front.draw,
    "accuracy": complexity.draw_accuracy,
    "operations": complexity.draw_operations,
    "parameters": complexity.draw_parameters,
    "density": complexity.draw_density,
    "operations-time": operations.draw,
    "batch-time": batch.draw_time,
    "batch-memory": batch.draw_memory,
    "batch-energy": batch.draw_energy,
    "batch-power": batch.draw_power,
    "memory": memory.draw,
    "distribution": distribution.draw,
    "pairs": pairs.draw,
    "steps": steps.draw,
    "history": history.draw,
}


def pictures_of(points: Sequence[Point], material: Material) -> list[Picture]:
    """The pictures that the cases of one machine have data for."""
    return [picture for draw in PICTURES.values() if (picture := draw(points, material)) is not None]
