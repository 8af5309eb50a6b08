"""Which network is accurate, and what does its accuracy cost in operations and parameters?

The set of pictures of Canziani, Paszke and Culurciello (arXiv 1605.07678), with one hue for networks of one line.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from benchbox.report.material import Material, Point
from benchbox.report.plots.base import (
    BARS,
    INK,
    QUIET,
    Picture,
    Specification,
    family_of,
    family_scale,
    marks,
    names_axis,
    whole,
)
from benchbox.report.plots.paper import PAPER, SOURCE
from benchbox.report.plots.scales import Axis, linear_axis, log_axis, word_layers, words_beside
from benchbox.units import ABSENT, format_count, format_percent

_WIDTHS = 22  # pixels of a bar
_AREAS = (20, 2600)  # square pixels of a blob without parameters, and of the largest


class Network:
    """One network of the page with a known accuracy: what the pictures ask of it."""

    def __init__(self, point: Point, material: Material) -> None:
        spec = material.specs.get(point.model)
        self.name = point.model
        self.family = family_of(point.model, material)
        assert point.accuracy is not None
        self.accuracy = point.accuracy
        self.params = float(spec.params if spec else point.params or 0)
        self.macs = float(spec.macs if spec else (point.macs or 0) / point.batch)

    @property
    def label(self) -> str:
        """The accuracy in words."""
        return f"{self.name}: top-1 {format_percent(self.accuracy.value, 1)} ({self.accuracy.source}), "

    @property
    def per_million(self) -> float:
        """Percent of top-1 for each million parameters."""
        return 100 * self.accuracy.value / (self.params / 1e6)


def networks_of(points: Sequence[Point], material: Material) -> list[Network]:
    """Each network once, with the accuracy that is known best: fp32 measured, else published."""
    found: dict[str, Point] = {}
    for point in points:
        if point.accuracy is None or not point.params or not point.macs:
            continue
        kept = found.get(point.model)
        if kept is None or (point.record.key.precision.value == "fp32" and kept.record.key.precision.value != "fp32"):
            found[point.model] = point
    return [Network(point, material) for point in found.values()]


def draw_accuracy(points: Sequence[Point], material: Material) -> Picture | None:
    """Top-1 of each network."""
    networks = sorted(networks_of(points, material), key=lambda network: network.accuracy.value)
    if not networks:
        return None
    rows = [(network, network.accuracy.value, format_percent(network.accuracy.value, 1)) for network in networks]
    return Picture(
        name="accuracy",
        title="Top-1 accuracy of each network",
        reading="Longer bars are more accurate on ImageNet, single crop; colours are families of networks; the hollow "
        "diamond is the value read off the paper's figure where it has the network.",
        specification=_bars(
            rows, "top-1 accuracy", percent=True,
            paper={name: entry.top1 / 100 for name, entry in PAPER.items() if entry.top1 is not None},
        ),
        columns=("network", "top-1", "95 %", "in the paper", "source"),
        rows=tuple(
            (network.name, text, _interval_text(network), _paper_top1(network.name), network.accuracy.source)
            for network, _, text in reversed(rows)
        ),
    )  # fmt: skip


def _interval_text(network: Network) -> str:
    """The interval of a measured accuracy in percent."""
    low, high = network.accuracy.low, network.accuracy.high
    return (
        ABSENT
        if low is None or high is None
        else f"{format_percent(low, 1).removesuffix(' %')} to {format_percent(high, 1)}"
    )


def _paper_top1(name: str) -> str:
    entry = PAPER.get(name)
    return ABSENT if entry is None or entry.top1 is None else format_percent(entry.top1 / 100, 1)


def _paper_texts(name: str, paper: Sequence[tuple[str, float, float]]) -> tuple[str, str]:
    """Top-1 and MACs that the paper has of a network, dashes where it has none."""
    found = next(((macs, top1) for other, macs, top1 in paper if other == name), None)
    return (format_percent(found[1], 1), format_count(found[0])) if found else (ABSENT, ABSENT)


def draw_density(points: Sequence[Point], material: Material) -> Picture | None:
    """Accuracy per parameter of each network, beside the paper's values."""
    networks = sorted(networks_of(points, material), key=lambda network: network.per_million)
    if not networks:
        return None
    rows = [(network, network.per_million, f"{network.per_million:.3g}") for network in networks]
    return Picture(
        name="density",
        title="Accuracy per parameter",
        reading="Longer bars get more percent of top-1 out of each million parameters; the hollow diamond is the value "
        "read off the paper's figure where it has the network.",
        specification=_bars(
            rows, "percent of top-1 per million parameters", percent=False,
            paper={name: entry.density for name, entry in PAPER.items() if entry.density is not None},
        ),
        columns=("network", "% per M parameters", "in the paper", "parameters"),
        rows=tuple(
            (
                network.name,
                text,
                f"{PAPER[network.name].density:g}"
                if network.name in PAPER and PAPER[network.name].density is not None
                else "–",
                format_count(network.params),
            )
            for network, _, text in reversed(rows)
        ),
    )  # fmt: skip


def draw_operations(points: Sequence[Point], material: Material) -> Picture | None:
    """Top-1 against operations, blobs by parameters."""
    networks = [network for network in networks_of(points, material) if network.macs > 0]
    if not networks:
        return None
    paper = [
        (name, 1e9 * entry.operations / 2, entry.top1 / 100)
        for name, entry in PAPER.items()
        if entry.operations is not None and entry.top1 is not None and name in {net.name for net in networks}
    ]
    x = log_axis(
        "x", "multiply-adds of one sample (MACs)", [*(n.macs for n in networks), *(entry[1] for entry in paper)], " "
    )
    return Picture(
        name="operations",
        title="Accuracy against operations",
        reading="Up and to the left is better; the area of a blob is the number of parameters; hollow diamonds are "
        f"values read off the paper's figure at half its operations ({SOURCE}).",
        specification=_blobs(networks, x, [network.macs for network in networks], paper),
        columns=("network", "top-1", "source", "MACs", "parameters", "paper: top-1", "paper: MACs"),
        rows=tuple(
            (
                network.name,
                format_percent(network.accuracy.value, 1),
                network.accuracy.source,
                format_count(network.macs),
                format_count(network.params),
                *_paper_texts(network.name, paper),
            )
            for network in sorted(networks, key=lambda network: network.macs)
        ),
    )  # fmt: skip


def draw_parameters(points: Sequence[Point], material: Material) -> Picture | None:
    """Top-1 against parameters."""
    networks = networks_of(points, material)
    if not networks:
        return None
    x = log_axis("x", "parameters", [network.params for network in networks], " ")
    return Picture(
        name="parameters",
        title="Accuracy against parameters",
        reading="Up and to the left is better: the same accuracy from fewer parameters.",
        specification=_blobs(networks, x, [network.params for network in networks], [], sized=False),
        columns=("network", "top-1", "source", "parameters"),
        rows=tuple(
            (
                network.name,
                format_percent(network.accuracy.value, 1),
                network.accuracy.source,
                format_count(network.params),
            )
            for network in sorted(networks, key=lambda network: network.params)
        ),
    )


def _radius(share: float) -> float:
    """Pixels from the middle of a blob to its edge, by its share of the largest one's parameters."""
    return max(5.0, math.sqrt((_AREAS[0] + (_AREAS[1] - _AREAS[0]) * share) / math.pi))


def _bars(
    rows: Sequence[tuple[Network, float, str]], title: str, *, percent: bool, paper: dict[str, float] | None = None
) -> Specification:
    published = paper or {}
    values: list[dict[str, Any]] = [
        {"name": network.name, "value": value, "end": max(value, published.get(network.name, 0.0)), "text": text,
         "family": network.family,
         "label": f"{network.name}: {text}" + ("" if percent else " % per million parameters")}
        for network, value, text in rows
    ]  # fmt: skip
    known = {network.name for network, _, _ in rows}
    published = {name: value for name, value in published.items() if name in known}
    shown = [{"name": name, "value": value} for name, value in published.items()]
    most = max([*(value for _, value, _ in rows), *published.values()])
    across = {
        "field": "value", "type": "quantitative", "title": title, "scale": {"domain": [0, 1.12 * most], "nice": False},
        "axis": {"tickCount": 6, **({"labelExpr": "format(100 * datum.value, '~f') + ' %'"} if percent else {})},
    }  # fmt: skip
    up = {
        "field": "name", "type": "nominal", "title": None, "sort": [row["name"] for row in reversed(values)],
        "axis": names_axis([row["name"] for row in values]),
    }  # fmt: skip
    colour = {
        "field": "family",
        "type": "nominal",
        "title": "family",
        "scale": family_scale([n.family for n, _, _ in rows]),
    }
    layers = [
        marks(values, {"type": "bar", "height": {"band": 0.7}},
              {"x": across, "y": up, "color": colour, "description": {"field": "label"}}),
        marks(values, {"type": "text", "align": "left", "dx": 5, "fontSize": 12, "fill": INK, "aria": False},
              {"x": {**across, "field": "end"}, "y": up, "text": {"field": "text"}}),
    ]  # fmt: skip
    if shown:
        layers[1]["mark"]["dx"] = 12
        hollow = {"type": "point", "shape": "diamond", "size": 70, "stroke": INK, "strokeWidth": 1.5, "aria": False}
        layers.append(marks(shown, {**hollow, "fill": "var(--paper, #fff)"}, {"x": across, "y": up}))
    return whole(layers, width=BARS, height=_WIDTHS * len(rows) + 10)


def _blobs(
    networks: Sequence[Network],
    x: Axis,
    places: Sequence[float],
    paper: Sequence[tuple[str, float, float]],
    *,
    sized: bool = True,
) -> Specification:
    y = linear_axis(
        "y", "top-1 accuracy", [*(net.accuracy.value for net in networks), *(entry[2] for entry in paper)], "%",
        vertical=True,
    )  # fmt: skip
    values: list[dict[str, Any]] = [
        {"x": place, "y": network.accuracy.value, "family": network.family, "params": network.params,
         "label": network.label + f"{format_count(network.macs)} MACs, {format_count(network.params)} parameters"}
        for network, place in zip(networks, places, strict=True)
    ]  # fmt: skip
    across, up = x.channel(), y.channel()
    colour = {
        "field": "family",
        "type": "nominal",
        "title": "family",
        "scale": family_scale([n.family for n in networks]),
    }
    size: Specification = {"value": 110}
    most = max(network.params for network in networks)
    if sized:
        size = {
            "field": "params", "type": "quantitative", "title": "parameters",
            "scale": {"type": "linear", "domain": [0, most], "range": [*_AREAS]},
            "legend": {"format": "~s", "values": [round(most * share, -5) for share in (0.1, 0.5, 1)]},
        }  # fmt: skip
    radii = [_radius(network.params / most) if sized else 6.0 for network in networks]
    hollow = [(x.place(macs), y.length - y.place(top1)) for _, macs, top1 in paper]
    words = words_beside(
        [(row["x"], row["y"], network.name) for row, network in zip(values, networks, strict=True)], x, y, radii,
        avoid=[(px - 6, py - 6, px + 6, py + 6) for px, py in hollow],
    )  # fmt: skip
    layers = [
        marks(values, {"type": "point", "filled": True, "opacity": 0.6 if sized else 1},
              {"x": across, "y": up, "color": colour, "size": size, "description": {"field": "label"}}),
    ]  # fmt: skip
    if sized:
        centre = {"type": "point", "filled": True, "size": 10, "fill": INK, "opacity": 1, "aria": False}
        layers.append(marks(values, centre, {"x": across, "y": up}))
    if paper:
        layers.append(marks([{"x": macs, "y": top1} for _, macs, top1 in paper],
                            {"type": "point", "shape": "diamond", "size": 60, "stroke": QUIET, "aria": False},
                            {"x": across, "y": up}))  # fmt: skip
    return whole([*layers, *word_layers(words, across, up)])
