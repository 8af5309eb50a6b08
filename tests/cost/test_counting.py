"""Whole networks cost what is published, and totals are what they say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from graphs import cost_from_onnx

from benchbox.cost.grouping import grouped_layers
from benchbox.export.exporting import artifact_from_source
from benchbox.models.building import module_from_source
from benchbox.models.sources import resolve
from benchbox.models.zoo.zoo import spec
from benchbox.schema.cost import NetworkCost
from benchbox.schema.model import Precision

# Exact totals; to three decimals in G they are torchvision's published ones (tests/golden/published_models.csv).
NETWORKS = (
    "lenet5",
    "alexnet",
    "alexnet_paper",
    "vgg16",
    "resnet18",
    "resnet18_v1",
    "resnet50",
    "preact_resnet18",
    "googlenet",
    "squeezenet1_1",
    "mobilenet_v2",
)


@pytest.fixture(scope="module", params=NETWORKS)
def exported(request: pytest.FixtureRequest, exports: Any) -> tuple[str, Path]:
    """A network's name and its file without weights, which costs what the deployed file costs (test_outline)."""
    name = str(request.param)
    return name, exports.counted(name)


def cost_of(exported: tuple[str, Path], batch: int = 1) -> NetworkCost:
    name, path = exported
    return cost_from_onnx(path, model=name, batch=batch)


def test_totals_are_exact(exported: tuple[str, Path]) -> None:
    cost = cost_of(exported)
    facts = spec(cost.model)
    assert cost.macs == facts.macs
    assert cost.params == facts.params
    assert cost.activation_bytes == facts.activation_bytes
    assert sum(layer.params for layer in cost.layers) == facts.params
    assert cost.flops == 2 * cost.macs + sum(layer.elementwise for layer in cost.layers)
    assert cost.input_shape == facts.input_shape


def test_layers_are_named_by_their_modules(exported: tuple[str, Path]) -> None:
    cost = cost_of(exported)
    source = resolve(cost.model, input_shape=None, weights=None)
    modules = (
        {path for path, _ in module_from_source(source, seed=0).named_modules()} if cost.model == "lenet5" else None
    )
    for layer in cost.layers:
        if layer.macs:
            assert layer.params > 0
            if modules is not None:
                assert layer.name in modules


def test_the_batch_scales_what_it_must(exported: tuple[str, Path]) -> None:
    one, three = cost_of(exported), cost_of(exported, batch=3)
    assert three.macs == 3 * one.macs
    assert three.flops == 3 * one.flops
    assert three.activation_bytes == 3 * one.activation_bytes
    assert three.peak_activation_bytes == 3 * one.peak_activation_bytes
    assert (three.params, three.weight_bytes) == (one.params, one.weight_bytes)


@pytest.mark.parametrize("by", ["layer", "module", "op"])
def test_groups_add_up_to_the_whole(by: str, exported: tuple[str, Path]) -> None:
    cost = cost_of(exported)
    rows = grouped_layers(cost, by=by)
    assert sum(row.macs for row in rows) == cost.macs
    assert sum(row.flops for row in rows) == cost.flops
    assert sum(row.params for row in rows) == cost.params
    assert len({row.name for row in rows}) == len(rows)


def test_fp16_halves_the_bytes_and_keeps_the_work(tmp_path: Path) -> None:
    source = resolve("lenet5", input_shape=None, weights=None)
    full, half = (
        artifact_from_source(source, precision=precision, root=tmp_path)
        for precision in (Precision.FP32, Precision.FP16)
    )
    cost, cast = (cost_from_onnx(tmp_path / artifact.path) for artifact in (full, half))
    assert (cast.macs, cast.params, cast.flops) == (cost.macs, cost.params, cost.flops)
    floats = cost.weight_bytes - 16  # the shape of a Reshape stays int64
    assert cast.weight_bytes - 16 == floats // 2
