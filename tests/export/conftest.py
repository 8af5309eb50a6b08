"""Networks for the export tests, exported once."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchbox.export.exporting import artifact_from_source
from benchbox.models.sources import resolve
from benchbox.schema.artifact import OnnxArtifact
from benchbox.schema.model import Precision


@pytest.fixture(scope="session")
def export_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("exported")


@pytest.fixture(scope="session")
def lenet(export_root: Path) -> OnnxArtifact:
    source = resolve("lenet5", input_shape=None, weights=None)
    return artifact_from_source(source, precision=Precision.FP32, root=export_root)


@pytest.fixture(scope="session")
def resnet(export_root: Path) -> OnnxArtifact:
    source = resolve("resnet18", input_shape=None, weights=None)
    return artifact_from_source(source, precision=Precision.FP32, root=export_root)
