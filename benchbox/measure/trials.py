"""How is one trial run in a process of its own that dies alone?"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchbox.errors import BenchboxError, MeasurementError
from benchbox.schema.artifact import OnnxArtifact
from benchbox.schema.engine import EngineArtifact
from benchbox.schema.model import ModelSource, Precision
from benchbox.schema.plan import MeasurementPlan
from benchbox.schema.reading import Pass, Trial

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_LAST_WORDS = 5


@dataclass(frozen=True, kw_only=True)
class TrialRequest:
    """Everything that a worker needs to know; it is sent to it as it stands."""

    purpose: Pass
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
        MeasurementError: the worker crashed, hung, ran out of memory or answered nothing.
        BenchboxError: what the worker itself reported.
    """
    with tempfile.TemporaryDirectory(prefix="benchbox-trial-") as name:
        folder = Path(name)
        (folder / "request").write_bytes(pickle.dumps(request))
        with (folder / "log").open("wb") as log:
            worker = subprocess.Popen(
                # -P: modules of the current directory must not stand in for the libraries that are measured.
                [*(request.interpreter or (sys.executable,)), "-P", "-m", "benchbox.measure.worker", name],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **dict.fromkeys(_THREAD_VARIABLES, str(request.plan.threads))},
                start_new_session=True,
            )
            try:
                status = worker.wait(request.plan.timeout_s)
            except subprocess.TimeoutExpired:
                raise _hung(request) from None
            finally:
                _kill(worker)
        return _answer(folder, status)


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


def _answer(folder: Path, status: int) -> Trial:
    answer_file = folder / "answer"
    answer: object = None
    if answer_file.exists():
        answer = pickle.loads(answer_file.read_bytes())
    if isinstance(answer, BenchboxError):
        raise answer
    if isinstance(answer, Trial) and status == 0:
        return answer
    words = (folder / "log").read_text(errors="replace").strip().splitlines()[-_LAST_WORDS:]
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
