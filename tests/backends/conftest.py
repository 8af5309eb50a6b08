"""A small network as an ONNX file and as a module."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchbox.schema.artifact import OnnxArtifact


@pytest.fixture(scope="session")
def backend_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("backends")


@pytest.fixture(scope="session")
def lenet_fp32(backend_root: Path, exports: Any) -> OnnxArtifact:
    return exports.copy_to(backend_root, "lenet5")  # type: ignore[no-any-return]


@pytest.fixture(scope="session")
def lenet_fp16(backend_root: Path, exports: Any) -> OnnxArtifact:
    return exports.copy_to(backend_root, "lenet5", "fp16")  # type: ignore[no-any-return]
