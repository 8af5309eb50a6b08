"""Networks for the export tests, exported once for all processes of a test run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchbox.schema.artifact import OnnxArtifact


@pytest.fixture(scope="session")
def export_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("exported")


@pytest.fixture(scope="session")
def lenet(export_root: Path, exports: Any) -> OnnxArtifact:
    return exports.copy_to(export_root, "lenet5")  # type: ignore[no-any-return]


@pytest.fixture(scope="session")
def resnet(export_root: Path, exports: Any) -> OnnxArtifact:
    return exports.copy_to(export_root, "resnet18")  # type: ignore[no-any-return]
