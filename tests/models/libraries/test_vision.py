"""Ten networks of timm and torchvision by their names, without weights."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchbox.export.exporting import artifact_from_source
from benchbox.models.libraries import library
from benchbox.models.libraries.made import LibraryNetwork
from benchbox.models.libraries.timm import network_from_timm
from benchbox.models.libraries.torchvision import network_from_torchvision
from benchbox.models.sources import resolve
from benchbox.schema.model import ModelSource, Precision

NAMES = [
    *("timm:resnet18", "timm:mobilenetv3_small_100", "timm:vit_tiny_patch16_224", "timm:convnext_atto"),
    *("timm:swin_tiny_patch4_window7_224", "torchvision:resnet18", "torchvision:shufflenet_v2_x0_5"),
    *("torchvision:vit_b_32", "torchvision:lraspp_mobilenet_v3_large", "torchvision:r3d_18"),
]


def require(package: str) -> None:
    try:
        importlib.import_module(package)
    except Exception as error:  # a build for another PyTorch raises RuntimeError
        pytest.skip(f"needs {package} (extra {package}): {type(error).__name__}")


@pytest.mark.nightly
@pytest.mark.parametrize("reference", NAMES)
def test_public_names_are_exported_and_agree(reference: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package, _, _ = reference.partition(":")
    require(package)

    def without_weights(source: ModelSource, sizes: Any) -> LibraryNetwork:
        make: Callable[..., LibraryNetwork] = network_from_timm if package == "timm" else network_from_torchvision
        return make(source.reference.partition(":")[2], own_weights=True)  # nothing is fetched

    monkeypatch.setattr(library, "network_from_library", without_weights)
    made = artifact_from_source(resolve(reference, input_shape=None, weights=None), precision=Precision.FP32,
                                root=tmp_path)  # fmt: skip
    assert all(hop.passed for hop in made.hops)
    assert made.weights_from.startswith("seeded")
    assert made.inputs[0].batch_axis == 0
    assert made.fixed_batch is None


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("name", "shape", "left_open"),
    [
        ("ssdlite320_mobilenet_v3_large", (3, 320, 320), ""),
        ("ssd300_vgg16", (3, 300, 300), ""),
        ("fasterrcnn_mobilenet_v3_large_320_fpn", (3, 320, 320), "3x320x320"),
        ("fasterrcnn_resnet50_fpn", (3, 800, 800), "3x800x800"),
        ("lraspp_mobilenet_v3_large", (3, 520, 520), "3x520x520"),
        ("inception_v3", (3, 299, 299), ""),
        ("vit_b_16", (3, 224, 224), ""),
    ],
)
def test_pictures_are_as_large_as_the_network_s_own(name: str, shape: tuple[int, ...], left_open: str) -> None:
    require("torchvision")
    found = network_from_torchvision(name, own_weights=True)
    (given,) = found.example.args
    picture = given[0]  # of a list of pictures, or of a batch
    assert (tuple(picture.shape), found.open[""]) == (shape, left_open)
    assert found.axes == ((None,) if isinstance(given, list) else (0,))


@pytest.mark.parametrize("package", ["timm", "torchvision"])
def test_an_unknown_name_has_a_suggestion(package: str, benchbox: Callable[..., Any]) -> None:
    require(package)
    ran = benchbox("flops", f"{package}:resnet1")
    assert ran.status == 2, ran.err
    assert "resnet18" in ran.err
