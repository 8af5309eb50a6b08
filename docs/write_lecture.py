"""Writes docs/lecture.md: every figure of the lecture, printed and computed. Run from the project's folder:

python docs/write_lecture.py
"""

from __future__ import annotations

import functools
import json
import math
import tempfile
import tomllib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lecture_blocks import BLOCKS, summed
from lecture_figures import Value, figures, printed_from

from benchbox.graph.graph import Graph

HERE = Path(__file__).parent
PRINTED = HERE.parent / "tests" / "golden" / "lecture_reference.json"
AGREES = ("exact", "rounded", "true")
HEAD = """# The lecture's figures

Every figure that the lecture on CNN architectures prints (DeepRob, lecture 8, 5 February 2025), beside what benchbox
computes for it. This page is written by `python docs/write_lecture.py`; a test holds it against the tool.

`benchbox flops alexnet_lecture --convention lecture` prints the lecture's own table of a network. Its rules: a
multiply-add is one flop, a pool does C·H·W·K² of them; ReLU, batch norm, sum, concatenation and response norm do none
and have no row; memory is what a layer writes, at 4 bytes an element, in KB of 1024 bytes; k, M and G of parameters and
flops are powers of 1000; parameters are weights and biases.

"""


def notes() -> dict[str, tuple[str, str]]:
    """Label and text by the figure's id."""
    table = tomllib.loads((HERE / "lecture_notes.toml").read_text())
    return {name: (note["label"], note["text"]) for note in table["note"] for name in note["ids"]}


def printed() -> list[dict[str, Any]]:
    """The figures as the lecture prints them, in its order."""
    document = json.loads(PRINTED.read_text())
    return list(document["figures"])


def agreement(figure: dict[str, Any], value: Value | None) -> str:
    """exact, rounded, true, or empty where the computed value is not what is printed."""
    wanted = figure["value"]
    if isinstance(value, bool):
        return "true" if value else ""
    if isinstance(value, str):
        return "exact" if value == wanted else ""
    if isinstance(value, tuple):
        return "exact" if list(value) == wanted else ""
    if value is None or wanted is None:
        return ""
    return "exact" if value == wanted else "rounded" if rounded(value, wanted) == wanted else ""


def rounded(value: float, like: float) -> float:
    """Half up, at as many decimals as another number has."""
    text = str(like)
    decimals = len(text.partition(".")[2])
    return math.floor(value * 10**decimals + 0.5) / 10**decimals


def text_of(value: Value | None) -> str:
    """A computed value for the page."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "holds" if value else "does not hold"
    if isinstance(value, tuple):
        return ", ".join(text_of(part) for part in value)  # type: ignore[arg-type]
    if isinstance(value, float):
        return f"{value:,.0f}" if value == int(value) else f"{value:,.4g}" if value < 1000 else f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) else value


def page(graph_of: Callable[[str], Graph]) -> str:
    """The whole page.

    Args:
        graph_of: the graph of a network of the zoo at batch 1.
    """
    computed, explained = figures(graph_of), notes()
    labels: Counter[str] = Counter()
    slides: dict[str, list[str]] = {}
    for figure in printed():
        name = figure["id"]
        agrees = agreement(figure, computed.get(name))
        label, text = explained.get(name, ("", ""))
        word = agrees if agrees and label in ("", "remark") else label
        labels[word] += 1
        row = (f"`{name}`", figure["printed"].replace("|", "\\|"), text_of(computed.get(name)), word, text)
        slides.setdefault(figure["slide"], []).append(f"| {' | '.join(row)} |")
    lines = [HEAD, f"Of {sum(labels.values())} figures: ", ", ".join(f"{n} {word}" for word, n in labels.most_common())]
    lines.append(".\n\n" + _vgg_paragraph(graph_of) + "\n" + _blocks_section())
    for slide, rows in slides.items():
        lines.append(f"\n## {slide}\n\n| figure | printed | computed | | why |\n|---|---:|---:|---|---|\n")
        lines.append("\n".join(rows) + "\n")
    return "".join(lines)


def _vgg_paragraph(graph_of: Callable[[str], Graph]) -> str:
    wrong, right = printed_from(graph_of), figures(graph_of)
    return (
        "One slip explains most errata: the slides draw stage 3 of VGG-16 with two convolutions, and count it so. That "
        f"network gives {wrong['total.vgg16.gflop']:.1f} G multiply-adds and {wrong['total.vgg16.memory_mb']:.1f} MB, "
        f"as printed; VGG-16 has {right['total.vgg16.gflop']:.2f} G and {right['total.vgg16.memory_mb']:.2f} MB.\n"
    )


def _blocks_section() -> str:
    height, width, channels = 14, 14, 256
    lines = [
        "\n## Building blocks\n\nC channels on a map of H x W; biases left out. A test counts each block on graphs of "
        f"many sizes; the last column is the multiply-adds for C = {channels} and H = W = {height}.\n\n"
        "| block | writes | weights | multiply-adds | for example |\n|---|---:|---:|---:|---:|\n"
    ]
    for name, convs in BLOCKS.items():
        memory, params, flops = (summed([getattr(c, what) for c in convs]) for what in ("memory", "params", "flops"))
        number = flops.at(height=height, width=width, channels=channels)
        lines.append(f"| {name} | {memory} | {params} | {flops} | {number:,} |\n")
    lines.append(
        "\nTwo 3x3 convolutions see a 5x5 window with 18/25 of the weights. A VGG stage halves H and W and doubles C: "
        "half the memory, four times the weights, the same work. The bottleneck block has a layer more than the basic "
        "one and 17/18 of its work, at four times the width outside.\n"
    )
    return "".join(lines)


def main() -> None:
    """Exports the networks that the lecture is about (structure only) and writes the page."""
    from benchbox.jobs.prepare import graph_from_source
    from benchbox.models.sources import resolve

    with tempfile.TemporaryDirectory() as folder:

        @functools.cache
        def graph_of(name: str) -> Graph:
            source = resolve(name, input_shape=None, weights=None)
            return graph_from_source(source, batch=1, root=Path(folder))[0]

        (HERE / "lecture.md").write_text(page(graph_of))


if __name__ == "__main__":
    main()
