"""Which pictures does the page have, and in which order?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchbox.report.material import Material, Point
from benchbox.report.plots import batch, complexity, distribution, front, history, latency, memory, steps
from benchbox.report.plots.base import Draw, Picture

PICTURES: Mapping[str, Draw] = {
    "latency": latency.draw,
    "front": front.draw,
    "accuracy": complexity.draw_accuracy,
    "operations": complexity.draw_operations,
    "parameters": complexity.draw_parameters,
    "density": complexity.draw_density,
    "batch-time": batch.draw_time,
    "batch-memory": batch.draw_memory,
    "memory": memory.draw,
    "distribution": distribution.draw,
    "steps": steps.draw,
    "history": history.draw,
}


def pictures_of(points: Sequence[Point], material: Material) -> list[Picture]:
    """The pictures that the cases of one machine have data for."""
    return [picture for draw in PICTURES.values() if (picture := draw(points, material)) is not None]
