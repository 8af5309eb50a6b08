"""Collections between blocks of samples stay cheap, however much the tests before have imported."""

from __future__ import annotations

import gc

import pytest


@pytest.fixture(scope="module", autouse=True)
def frozen_heap() -> None:
    gc.freeze()
