"""How is one trial run in a process of its own that dies alone?"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchbox.backends.child import child_environment
from benchbox.errors import BenchboxError, MeasurementError, StoreError
from benchbox.measure.process.strays import MARK, end_strays, new_mark
from benchbox.schema.artifact import OnnxArtifact
from benchbox.schema.engine import EngineArtifact
from benchbox.schema.model import ModelSource, Precision
from benchbox.schema.plan import MeasurementPlan
from benchbox.schema.trial import Pass, Trial

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
PARENT = "BENCHBOX_TRIAL_PARENT"
MOST_PRINTED_BYTES = 256 << 20
_LAST_WORDS, _LINE, _TAIL_BYTES = 5, 500, 1 << 16
_LOOK_EVERY_S = 1.0


@dataclass(frozen=True, kw_only=True)
class TrialRequest:
    """Everything that a worker needs to know; it is sent to it as it stands."""

    pass_: Pass
    number: int
    backend: str
    precision: Precision
    plan: MeasurementPlan
    artifact: OnnxArtifact
    source: ModelSource
    root: Path
    engine: EngineArtifact | None = None
    interpreter: tuple[str, ...] = ()


def run_trial(request: TrialRequest) -> Trial:
    """Runs one trial in a fresh process and returns what it brought back.

    The process has a session of its own: at the time limit, or when this process is interrupted, it is killed with
    everything it started, and it is always waited for.

    Raises:
        MeasurementError: the worker crashed, hung, ran out of memory, printed without end or answered nothing.
        StoreError: its request or its answer could not be written.
        BenchboxError: what the worker itself reported.
    """
    with _folder_of(request) as folder:
        return _answer(folder, _status(request, folder))


@contextlib.contextmanager
def _folder_of(request: TrialRequest) -> Iterator[Path]:
    """A temporary folder with the request in it and an empty log."""
    with contextlib.ExitStack() as closing:
        try:
            name = closing.enter_context(
                tempfile.TemporaryDirectory(prefix="benchbox-trial-", ignore_cleanup_errors=True)
            )
            folder = Path(name)
            (folder / "request").write_bytes(pickle.dumps(request))
            (folder / "log").touch()
        except OSError as error:
            raise unwritable_answer(error, Path(tempfile.gettempdir())) from error
        yield folder


def unwritable_answer(error: OSError, folder: Path) -> StoreError:
    """What a trial says when its files in the folder cannot be written."""
    return StoreError(
        "the files of a worker cannot be written",
        values=f"{folder}: {error.strerror or error}",
        remedy="free space there, or set TMPDIR to another folder",
    )


def _status(request: TrialRequest, folder: Path) -> int:
    """Starts the worker, waits for its end and returns how it ended."""
    mark = new_mark()
    with (folder / "log").open("wb") as log:
        worker = subprocess.Popen(
            # -P: modules of the current directory must not stand in for the libraries that are measured.
            [*(request.interpreter or (sys.executable,)), "-P", "-m", "benchbox.measure.process.worker", str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={
                # Another interpreter has a package of its own.
                **(os.environ if request.interpreter else child_environment()),
                **dict.fromkeys(_THREAD_VARIABLES, str(request.plan.threads)),
                # What a killed worker leaves of its temporary files goes with the folder.
                "TMPDIR": str(folder),
                MARK: mark,
                # Another interpreter may be started by something in between.
                PARENT: "" if request.interpreter else str(os.getpid()),
            },
            start_new_session=True,
        )
        try:
            return _waited_for(worker, request, folder / "log")
        finally:
            _kill(worker)
            end_strays(mark)


def _waited_for(worker: subprocess.Popen[bytes], request: TrialRequest, log: Path) -> int:
    deadline = time.monotonic() + request.plan.timeout_s
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            raise _hung(request)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return worker.wait(min(left, _LOOK_EVERY_S))
        printed = log.stat().st_size
        if printed > MOST_PRINTED_BYTES:
            raise MeasurementError(
                "the worker was killed because it prints without end",
                values=f"{printed} bytes so far; its last words: {' | '.join(_last_words(log))}",
                remedy="make the network silent",
            )


def _kill(worker: subprocess.Popen[bytes]) -> None:
    """Ends the worker and everything it started, if anything of it is left."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()


def _hung(request: TrialRequest) -> MeasurementError:
    return MeasurementError(
        "the worker was killed at its timeout",
        values=f"it ran longer than {request.plan.timeout_s:g} s",
        remedy="give it longer with --timeout, or look for what hangs",
    )


def _last_words(log: Path) -> list[str]:
    """The last lines that a worker printed, however much it was."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
        text = file.read(_TAIL_BYTES).decode(errors="replace")
    return [line[:_LINE] for line in text.strip().splitlines()[-_LAST_WORDS:]]


def _answer(folder: Path, status: int) -> Trial:
    answer_file = folder / "answer"
    answer: object = None
    if answer_file.exists():
        answer = pickle.loads(answer_file.read_bytes())
    if isinstance(answer, BenchboxError):
        raise answer
    if isinstance(answer, Trial) and status == 0:
        return answer
    words = _last_words(folder / "log")
    last = "; its last words: " + " | ".join(words) if words else ""
    if status == -signal.SIGKILL:
        raise MeasurementError(
            "the worker was killed (SIGKILL)",
            values=f"the kernel does this when memory runs out{last}",
            remedy="try a smaller --batch, or give the machine more memory",
        )
    if status < 0:
        raise MeasurementError(
            f"the worker crashed ({signal.Signals(-status).name})",
            values=f"the network or its runtime ended the process{last}",
            remedy="run the network outside benchbox to see whether it crashes there too",
        )
    raise MeasurementError(f"the worker ended without an answer (exit status {status})", values=last.removeprefix("; "))
