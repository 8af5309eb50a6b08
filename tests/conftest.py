"""What every test may lean on."""

from __future__ import annotations

import contextlib
import functools
import gc
import gzip
import importlib
import importlib.util
import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

# "all" is the long form (make test-all): more random examples and moments, each an oracle as before.
LONG = os.environ.get("BENCHBOX_TESTS") == "all"
STRUCTURES = Path(__file__).parent / "golden" / "structures"

# tests/gpu runs where there is nothing but pytest, numpy and torch.
if importlib.util.find_spec("hypothesis") is not None:
    from hypothesis import settings

    # No test may depend on speed: an example that takes long on a busy machine is no failure. A push is judged by the
    # same examples every time, so that a red run is due to the change; the long form, at night, draws new ones.
    settings.register_profile("push", deadline=None, max_examples=50, derandomize=True)
    settings.register_profile("all", deadline=None, max_examples=1000)
    settings.load_profile("all" if LONG else "push")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is marked nightly says the same of one more network, or takes long: the long form runs it."""
    if not LONG:
        for item in items:
            if item.get_closest_marker("nightly") is not None:
                item.add_marker(
                    pytest.mark.skip(
                        reason="a further network of the same kind, or minutes long: make test-all runs it"
                    )
                )


def pytest_collection_finish() -> None:
    """What is imported now stays until the end: no later garbage collection needs to look through it again.

    The product collects before each block of samples, which would take a fifth of a second in a process as large as
    that of the tests, and microseconds in a worker.
    """
    gc.collect()
    gc.freeze()
    # Several processes whose threads wait for each other by spinning take many times as long as with one thread each.
    if "PYTEST_XDIST_WORKER" in os.environ and "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


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
def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The work of workers is done in this process: for tests of what becomes of a measurement, not of processes.

    Requests and answers go through their files as they do between processes; only starting one is left out, which
    takes most of the time of a short run.
    """
    from benchbox.measure.process import trials, worker

    def answered(request: Any, folder: Path, progress: Callable[[float], object]) -> int:
        worker.answer_request(folder)
        return 0

    monkeypatch.setattr(trials, "_status", answered)


@pytest.fixture
def simulated_benchbox(one_process: None, capfd: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Runs a command line under a given root on a fresh simulated GPU, all of it in this process."""
    from simulation import simulated

    from benchbox.cli import exit_status

    def run(root: Path, *arguments: str, **knobs: Any) -> Ran:
        capfd.readouterr()
        with simulated(**knobs):
            status = exit_status([*arguments, "--root", str(root)])
        out, err = capfd.readouterr()
        return Ran(status, out, err)

    return run


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """Flags that make a run as short as it can be and still be one."""
    return ("--quick", "--trials", "2", "--max-time", "0.05", "--threads", "1")


class Exports:
    """Networks of the zoo as ONNX files, each exported once for all processes of a test run.

    Nothing in the folder is changed afterwards: a test that changes files, or counts them, works on copies.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._known: dict[tuple[str, str], Any] = {}

    def artifact(self, name: str, precision: str = "fp32") -> Any:
        """The checked artifact of a network; its paths are under ``root``."""
        from benchbox.export.exporting import artifact_from_source
        from benchbox.models.sources import resolve
        from benchbox.schema.model import Precision

        if (name, precision) not in self._known:
            source = resolve(name, input_shape=None, weights=None)
            if precision != "fp32":
                self.artifact(name)
            with self._alone(f"{name}-{precision}"):
                made = artifact_from_source(source, precision=Precision(precision), root=self.root)
            self._known[name, precision] = made
        return self._known[name, precision]

    def structure(self, name: str) -> Path:
        """The network's ONNX file without weights."""
        from benchbox.export.outline import structure_from_source
        from benchbox.models.sources import resolve

        if (name, "structure") not in self._known:
            source = resolve(name, input_shape=None, weights=None)
            with self._alone(f"{name}-structure"):
                self._known[name, "structure"] = structure_from_source(source, root=self.root)
        return self._known[name, "structure"]  # type: ignore[no-any-return]

    def counted(self, name: str) -> Path:
        """The network's ONNX file without weights as it was kept: nothing is exported."""
        path = self.root / "counted" / f"{name}.onnx"
        with self._alone(f"{name}-counted"):
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(gzip.decompress((STRUCTURES / f"{name}.onnx.gz").read_bytes()))
        return path

    def copy_structure_to(self, root: Path, name: str) -> None:
        """Puts the file without weights under another root."""
        structure = self.structure(name)
        target = root / structure.relative_to(self.root)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(structure, target)

    def copy_to(self, root: Path, name: str, precision: str = "fp32") -> Any:
        """Puts an artifact's files under another root, where the product finds them as its own."""
        artifact = self.artifact(name, precision)
        card = Path(artifact.path).with_suffix(".json")
        for file in (artifact.path, artifact.expected_path, artifact.outputs_path, card):
            target = root / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.root / file, target)
        return artifact

    def _alone(self, what: str) -> contextlib.AbstractContextManager[bool]:
        from benchbox.store.atomic import locked

        return locked(self.root / "locks" / what, waiting=lambda: None)


@pytest.fixture(scope="session")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Exports:
    """The cache of exported networks that all processes of this test run share."""
    base = tmp_path_factory.getbasetemp()
    # With pytest-xdist each process has a folder of its own inside one of the run.
    _make_operator_table_once()
    return Exports((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "exports")


def _make_operator_table_once() -> None:
    """PyTorch's exporter makes its table of operators anew for each export, a quarter of the time of a small one."""
    registry = importlib.import_module("torch.onnx._internal.exporter._registration").ONNXRegistry
    registry.from_torchlib = staticmethod(functools.cache(registry.from_torchlib))


@pytest.fixture
def lenet_exported(exports: Exports, tmp_path: Path) -> None:
    """lenet5 in fp32 is under the test's root already, for tests that are not about exporting it."""
    exports.copy_to(tmp_path, "lenet5")


@pytest.fixture
def lenet_outlined(exports: Exports, tmp_path: Path) -> None:
    """The structure of lenet5 is under the test's root already."""
    exports.copy_structure_to(tmp_path, "lenet5")


@pytest.fixture(scope="session")
def zoo_graph(exports: Exports) -> Callable[[str], Any]:
    """The graph of a network of the zoo at batch 1, of its kept file without weights (golden/write_structures.py)."""
    from benchbox.graph.graph import graph_from_file
    from benchbox.models.sources import resolve

    @functools.cache
    def graph(name: str) -> Any:
        shape = resolve(name, input_shape=None, weights=None).input_shape
        return graph_from_file(exports.counted(name), batch=1, input_shape=shape)

    return graph
