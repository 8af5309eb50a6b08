"""What every test may lean on."""

from __future__ import annotations

import functools
import importlib.util
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

# tests/gpu runs where there is nothing but pytest, numpy and torch.
if importlib.util.find_spec("hypothesis") is not None:
    from hypothesis import settings

    # No test may depend on speed: an example that takes long on a busy machine is no failure.
    settings.register_profile("benchbox", deadline=None)
    settings.load_profile("benchbox")


@dataclass(frozen=True)
class Ran:
    """One command's exit status and what it printed."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Standard output as the one JSON document it must be."""
        return json.loads(self.out)


@pytest.fixture
def benchbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Runs a command line in this process under an empty project root."""
    from benchbox.cli import exit_status

    monkeypatch.setenv("BENCHBOX_ROOT", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Ran:
        capfd.readouterr()
        status = exit_status(arguments)
        out, err = capfd.readouterr()
        return Ran(status, out, err)

    return run


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """Flags that make a run as short as it can be and still be one."""
    return ("--quick", "--trials", "2", "--max-time", "0.05", "--threads", "1")


@pytest.fixture(scope="session")
def zoo_graph(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    """The graph of a network of the zoo at batch 1, exported without weights once per session."""
    from benchbox.jobs.prepare import graph_from_source
    from benchbox.models.sources import resolve

    root = tmp_path_factory.mktemp("zoo")

    @functools.cache
    def graph(name: str) -> Any:
        return graph_from_source(resolve(name, input_shape=None, weights=None), batch=1, root=root)[0]

    return graph
