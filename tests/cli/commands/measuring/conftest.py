"""What tests of several commands that measure start from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchbox.store.records import SIMULATION_MARK


@pytest.fixture(scope="module")
def simulated_root(tmp_path_factory: pytest.TempPathFactory, exports: Any) -> Path:
    """A root for the simulated GPU, with lenet5 exported."""
    root = tmp_path_factory.mktemp("simulated")
    (root / SIMULATION_MARK).parent.mkdir()
    (root / SIMULATION_MARK).touch()
    exports.copy_to(root, "lenet5")
    return root
