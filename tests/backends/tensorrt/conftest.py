"""The real builder: the development set-up installs TensorRT-RTX wherever it has a wheel."""

from __future__ import annotations

import platform
import sys
from pathlib import Path
from typing import Any

import pytest

from benchbox.backends.tensorrt.vendor import TENSORRT, TENSORRT_RTX, Bindings, loaded
from benchbox.schema.artifact import OnnxArtifact
from benchbox.schema.model import Precision


@pytest.fixture(scope="session")
def rtx() -> Bindings:
    """TensorRT-RTX; a machine that it has no wheel for is the only one where its absence is no failure."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        pytest.skip("runs on Linux on x86-64, where TensorRT-RTX has a wheel")
    return loaded(TENSORRT_RTX)


@pytest.fixture
def tuning(rtx: Bindings) -> Bindings:
    """What TensorRT 10 and 11 look like: no named targets, no question before loading, kernels tuned on a GPU."""
    from hiding import module_hiding

    hidden = ("ComputeCapability", "IBuilderConfig.set_compute_capability", "Runtime.get_engine_validity")
    return Bindings(TENSORRT, module_hiding(rtx.api, *hidden))


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("engines")


@pytest.fixture(scope="session")
def networks(root: Path, exports: Any) -> dict[tuple[str, Precision], OnnxArtifact]:
    """lenet5 and resnet18 in the graphs that the precisions need."""
    return {
        (name, precision): exports.copy_to(root, name, precision)
        for name in ("lenet5", "resnet18")
        for precision in (Precision.FP32, Precision.FP16)
    }
