"""A small network as an ONNX file and as a module."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchbox.export.exporting import artifact_from_source
from benchbox.models.sources import resolve
from benchbox.schema.artifact import OnnxArtifact
from benchbox.schema.model import Precision


@pytest.fixture(scope="session")
def backend_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("backends")


@pytest.fixture(scope="session")
def lenet_fp32(backend_root: Path) -> OnnxArtifact:
    source = resolve("lenet5", input_shape=None, weights=None)
    return artifact_from_source(source, precision=Precision.FP32, root=backend_root)


@pytest.fixture(scope="session")
def lenet_fp16(backend_root: Path) -> OnnxArtifact:
    source = resolve("lenet5", input_shape=None, weights=None)
    return artifact_from_source(source, precision=Precision.FP16, root=backend_root)
