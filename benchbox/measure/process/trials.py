"""How is one trial, or another piece of work on a network, run in a separate process?"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchbox.backends.child import child_environment
from benchbox.errors import BenchboxError, MeasurementError, StoreError
from benchbox.measure.process.ending import Wait, waiting_for
from benchbox.measure.process.profiling import profile_command
from benchbox.measure.process.strays import MARK, end_strays, new_mark
from benchbox.schema.artifact import OnnxArtifact
from benchbox.schema.engine import EngineArtifact
from benchbox.schema.model import ModelSource, Precision
from benchbox.schema.plan import MeasurementPlan
from benchbox.schema.trial import Pass, Trial
from benchbox.temporary import temporary_folder

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
PARENT = "BENCHBOX_TRIAL_PARENT"
MOST_PRINTED_BYTES = 256 << 20
_LAST_WORDS, _LINE, _TAIL_BYTES = 5, 500, 1 << 16
LOOK_EVERY_S = 1.0


class WorkerRequest(Protocol):
    """What a worker is started for; it is pickled as it is, and the worker knows its types.

    ``timeout_s`` is how long it may go on without progress. ``interpreter`` is the command of the Python that it runs
    in, () for this one.
    """

    @property
    def threads(self) -> int:
        """CPU threads that libraries may start."""
        ...

    @property
    def timeout_s(self) -> float:
        """Seconds."""
        ...

    @property
    def interpreter(self) -> tuple[str, ...]:
        """Command."""
        ...


class WorkerHungError(MeasurementError):
    """A worker got no further within its time."""


@dataclass(frozen=True, kw_only=True)
class TrialRequest:
    """One pass over one case; ``turn`` where it takes turns with others that are there at the same time."""

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
    # Of a ``Turn``, which the package of another interpreter need not know.
    turn: tuple[Path, int, int] | None = None

    @property
    def threads(self) -> int:
        """Those of the plan."""
        return self.plan.threads

    @property
    def timeout_s(self) -> float:
        """That of the plan; a trial reports no progress."""
        return self.plan.timeout_s


def run_trial(request: TrialRequest) -> Trial:
    """Runs one trial in a fresh process and returns what it brought back; raises what ``run_worker`` does."""
    answer = run_worker(request)
    assert isinstance(answer, Trial), "a worker answers a trial with a trial"
    return answer


def run_worker(request: WorkerRequest, *, progress: Callable[[float], object] = lambda _: None) -> object:
    """Runs a fresh process that does what is requested, and returns its answer.

    The process has a session of its own: at the time limit, or when this process is interrupted, it is killed with
    everything it started, and it is always waited for.

    Args:
        request: what to do.
        progress: is called with how much is done, whenever the worker has reported more.

    Raises:
        MeasurementError: the worker crashed, hung, ran out of memory, printed without end or answered nothing.
        StoreError: its request or its answer could not be written.
        BenchboxError: what the worker itself reported.
    """
    with folder_of(request) as folder:
        return answer_of(folder, _status(request, folder, progress))


def write_progress(folder: Path, done: float) -> None:
    """Reports how much a worker has done; called by the worker, which thereby gets its whole timeout again."""
    draft = folder / "progress.draft"
    draft.write_text(repr(done))
    draft.replace(folder / "progress")


def _progress_in(folder: Path) -> float | None:
    file = folder / "progress"
    return float(file.read_text()) if file.exists() else None


@contextlib.contextmanager
def folder_of(request: WorkerRequest) -> Iterator[Path]:
    """A temporary folder with the request in it and an empty log."""
    with contextlib.ExitStack() as closing:
        try:
            folder = closing.enter_context(temporary_folder("benchbox-trial-"))
            (folder / "request").write_bytes(pickle.dumps(request))
            (folder / "log").touch()
        except OSError as error:
            raise unwritable_answer(error, Path(tempfile.gettempdir())) from error
        yield folder


def unwritable_answer(error: OSError, folder: Path) -> StoreError:
    """The error where a worker's files in the folder cannot be written."""
    return StoreError(
        "the files of a worker cannot be written",
        values=f"{folder}: {error.strerror or error}",
        remedy="free space there, or set TMPDIR to another folder",
    )


def _status(request: WorkerRequest, folder: Path, progress: Callable[[float], object]) -> int:
    """Starts the worker, waits for its end and returns how it ended."""
    with started(request, folder) as wait:
        return _waited_for(wait, request, folder, progress)


@contextlib.contextmanager
def started(request: WorkerRequest, folder: Path) -> Iterator[Wait]:
    """What waits for a worker that is started; at the end nothing of it is left."""
    mark = new_mark()
    timed = isinstance(request, TrialRequest) and request.pass_ is Pass.TIMING
    profiler = profile_command() if timed else ()
    with (folder / "log").open("wb") as log:
        worker = subprocess.Popen(
            # -P: modules of the current directory must not stand in for the libraries that are measured.
            [
                *profiler,
                *(request.interpreter or (sys.executable,)),
                "-P",
                "-m",
                "benchbox.measure.process.worker",
                str(folder),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={
                # Another interpreter has a package of its own.
                **(os.environ if request.interpreter else child_environment()),
                **dict.fromkeys(_THREAD_VARIABLES, str(request.threads)),
                # What a killed worker leaves of its temporary files goes with the folder.
                "TMPDIR": str(folder),
                MARK: mark,
                # Another interpreter may be started by something in between, and a profiler is in between.
                PARENT: "" if request.interpreter or profiler else str(os.getpid()),
            },
            start_new_session=True,
        )
        try:
            with waiting_for(worker) as wait:
                yield wait
        finally:
            _kill(worker)
            end_strays(mark)


def _waited_for(wait: Wait, request: WorkerRequest, folder: Path, progress: Callable[[float], object]) -> int:
    watch = Watch(wait, request, folder, progress)
    while (status := watch.look(LOOK_EVERY_S)) is None:
        pass
    return status


class Watch:
    """Waits for a worker's end, as long as it goes on and does not print without end."""

    def __init__(
        self, wait: Wait, request: WorkerRequest, folder: Path, progress: Callable[[float], object] = lambda _: None
    ) -> None:
        self._wait, self._request, self._folder, self._progress = wait, request, folder, progress
        self._done: float | None = None
        self._deadline = time.monotonic() + request.timeout_s

    def look(self, most_s: float) -> int | None:
        """Its exit status, None where it has not ended within so many seconds; raises MeasurementError."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise _hung(self._request, self._done)
        if (status := self._wait(min(left, most_s))) is not None:
            return status
        if (now_done := _progress_in(self._folder)) not in {None, self._done}:
            self._done, self._deadline = now_done, time.monotonic() + self._request.timeout_s
            self._progress(now_done or 0.0)
        log = self._folder / "log"
        printed = log.stat().st_size
        if printed > MOST_PRINTED_BYTES:
            raise MeasurementError(
                "the worker was killed because it printed too much",
                values=f"{printed} bytes so far; last output: {' | '.join(_last_words(log))}",
                remedy="stop the network from printing",
            )
        return None


def _kill(worker: subprocess.Popen[bytes]) -> None:
    """Ends the worker and everything it started, if anything of it is left."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()


def _hung(request: WorkerRequest, done: float | None) -> WorkerHungError:
    if done is None:
        values, remedy = f"it ran longer than {request.timeout_s:g} s", "raise --timeout, or "
    else:
        values, remedy = f"it got no further than step {done:g} for {request.timeout_s:g} s", ""
    return WorkerHungError("the worker was killed at its timeout", values=values, remedy=f"{remedy}find what hangs")


def _last_words(log: Path) -> list[str]:
    """The last lines that a worker printed, however much it was."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
        text = file.read(_TAIL_BYTES).decode(errors="replace")
    return [line[:_LINE] for line in text.strip().splitlines()[-_LAST_WORDS:]]


def answer_of(folder: Path, status: int) -> object:
    """What a worker that ended with this status has answered; raises what it reported, or why there is no answer."""
    answer_file = folder / "answer"
    answer: object = None
    if answer_file.exists():
        answer = pickle.loads(answer_file.read_bytes())
    if isinstance(answer, BenchboxError):
        raise answer
    if answer is not None and status == 0:
        return answer
    words = _last_words(folder / "log")
    last = "; last output: " + " | ".join(words) if words else ""
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
