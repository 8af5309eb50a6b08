"""What did this machine's GPU show? Every check of tests/gpu ends as a line of one table, and as a file if a GPU ran.

The checks need nothing but pytest, numpy, torch and this repository; each imports what else it needs and is "not
possible", with the reason, where that is missing. They come in parts (``-m gpu_pytorch``), as a GPU may be there for
minutes only. Figures are saved under results/gpu/ (or $BENCHBOX_GPU_RESULTS) with
the environment that they came from; where no GPU ran, nothing is saved.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[2]
FOLDER = Path(__file__).parent

# ``make test-gpu`` runs one part after the other, each in a process of its own: memory that compiled graphs keep would
# count for the tests behind them.
PARTS = ("context", "memory", "pytorch", "compile", "run", "onnxruntime", "tensorrt", "energy")
_PART_OF_FILE = {
    "test_contexts": "context",
    "test_cuda_layers": "context",
    "test_watching": "context",
    "test_parts": "context",
    "test_run": "run",
    "test_like_trtexec": "tensorrt",
    "test_energy": "energy",
}


def part_of(file: str, name: str) -> str:
    """The part that a check belongs to, by its file's stem and its own name with parameters."""
    if file == "test_pytorch":
        return "memory" if "memory_by" in name else "compile" if "compile" in name else "pytorch"
    if file == "test_engines":
        return "onnxruntime" if "onnxruntime" in name else "tensorrt"
    return _PART_OF_FILE[file]


def pytest_configure(config: pytest.Config) -> None:
    for part in PARTS:
        config.addinivalue_line("markers", f"gpu_{part}: a part of the GPU suite")


# Before the selection by -m.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if FOLDER in item.path.parents:
            item.add_marker(f"gpu_{part_of(item.path.stem, item.name)}")


@dataclass
class Line:
    """One check: what became of it, why, and the figures that it took."""

    check: str
    outcome: str
    reason: str = ""
    figures: dict[str, Any] = field(default_factory=dict)


_LINES: dict[str, Line] = {}
_FIGURES: dict[str, dict[str, Any]] = {}


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Numbers that a check takes, by name with the unit in it; they are saved with its outcome."""
    taken: dict[str, Any] = {}
    _FIGURES[request.node.nodeid] = taken
    return taken


@pytest.fixture
def torch_cuda() -> Any:
    """PyTorch with a GPU, else the check is not possible."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    if not torch.cuda.is_available():
        pytest.skip(f"runs on a machine with an NVIDIA GPU: PyTorch {torch.__version__} finds none")
    return torch


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    report = yield
    if FOLDER in item.path.parents and (report.when == "call" or not report.passed):
        _LINES[item.nodeid] = Line(
            check=item.nodeid.split("tests/gpu/")[-1],
            outcome={"passed": "passed", "failed": "FAILED", "skipped": "not possible"}[report.outcome],
            reason=_reason(report),
            figures=_FIGURES.get(item.nodeid, {}),
        )
    return report


def _reason(report: pytest.TestReport) -> str:
    if report.skipped and isinstance(report.longrepr, tuple):
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    if report.failed:
        lines = [line for line in report.longreprtext.splitlines() if line.startswith("E ")]
        return lines[0].removeprefix("E").strip() if lines else "see above"
    return ""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not _LINES:
        return
    lines = list(_LINES.values())
    width = max(len(line.check) for line in lines)
    terminalreporter.section("GPU checks")
    for line in lines:
        text = ", ".join(f"{name} {_short(value)}" for name, value in line.figures.items())
        detail = "; ".join(filter(None, (line.reason, text)))
        terminalreporter.write_line(f"{line.check:{width}}  {line.outcome:12}  {detail}")
    counts = {
        outcome: sum(line.outcome == outcome for line in lines) for outcome in ("passed", "FAILED", "not possible")
    }
    terminalreporter.write_line(", ".join(f"{count} {outcome}" for outcome, count in counts.items()))
    saved = _saved(lines)
    terminalreporter.write_line(f"saved: {saved}" if saved else "nothing saved: no GPU ran")


def results_folder() -> Path:
    """Where what the suite measured is kept."""
    return Path(os.environ.get("BENCHBOX_GPU_RESULTS", REPOSITORY / "results" / "gpu"))


@pytest.fixture
def kept_records() -> Path:
    """The folder for records of ``benchbox run``."""
    return results_folder() / "records"


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _saved(lines: list[Line]) -> Path | None:
    gpu = _gpu()
    if gpu is None or all(line.outcome == "not possible" for line in lines):
        return None
    folder = results_folder()
    folder.mkdir(parents=True, exist_ok=True)
    now = datetime.datetime.now(datetime.UTC)
    path = folder / f"{now:%Y%m%dT%H%M%S%fZ}-suite.json"
    document = {
        "schema": "benchbox.gpu-suite/1",
        "started_at": now.isoformat(timespec="seconds"),
        "environment": gpu,
        "checks": [vars(line) for line in lines],
    }
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(document, indent=1) + "\n")
    draft.replace(path)
    return path


def _gpu() -> dict[str, str] | None:
    """The GPU and the software around it, None without one."""
    try:
        import torch
    except ImportError:
        return None
    if not torch.cuda.is_available():
        return None
    from benchbox.machine.environment import capture

    environment = capture()
    properties = torch.cuda.get_device_properties(0)
    return {
        **environment.hardware,
        **environment.software,
        **environment.observed,
        "torch_gpu": properties.name,
        "torch_gpu_memory_bytes": str(properties.total_memory),
        "torch_cuda": str(torch.version.cuda),
        "platform": platform.platform(),
        "environment_hash": environment.hash,
    }
