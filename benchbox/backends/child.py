"""How is a function called in a process of its own, so that nothing of it stays in this one?

CUDA contexts, what a builder allocated, and crashes of vendors' libraries end with that process. ``in_child`` starts
``python -m benchbox.backends.child FOLDER``, which reads FOLDER/request, calls, and writes FOLDER/answer. What is
printed meanwhile goes to FOLDER/log.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import pickle
import signal
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from benchbox.errors import ArtifactError, BenchboxError, StoreError
from benchbox.temporary import temporary_folder

_PARENT = "BENCHBOX_CHILD_PARENT"
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_LAST_LINES = 5
# Exit status of a child that could not write its answer: this and the number of the error, 8 bits in all.
_UNWRITABLE, _NO_ERRNO = 100, 155


def child_environment() -> dict[str, str]:
    """This process's environment, with which a child finds this very package also where it is not installed.

    Children run with ``-P``, which keeps the current folder, and so a checkout, off their path.
    """
    home = str(Path(__file__).parents[2])
    path = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    # site-packages stays where it is: at the front it would come before the standard library.
    if home not in path and home not in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        path.append(home)
    return {**os.environ, **({"PYTHONPATH": os.pathsep.join(path)} if path else {})}


def high_water_bytes(status: Path = Path("/proc/self/status")) -> int | None:
    """The largest resident set of this process so far, None where the kernel does not report it."""
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), None)


def in_child(function: str, *arguments: Any) -> Any:
    """What a function returns that is called in a process of its own.

    Args:
        function: "package.module:name".
        arguments: for it; they and what it returns can be pickled.

    Raises:
        BenchboxError: what the function raised.
        ArtifactError: the process crashed or was killed.
    """
    with temporary_folder("benchbox-child-") as folder:
        with (folder / "request").open("wb") as request:
            pickle.dump((function, arguments), request)
        with (folder / "log").open("wb") as log:
            child = subprocess.Popen(
                [sys.executable, "-P", "-m", "benchbox.backends.child", str(folder)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**child_environment(), _PARENT: str(os.getpid())},
                # Ctrl-C goes to every process of a terminal's session; this one is ended below.
                start_new_session=True,
            )
            try:
                status = child.wait()
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)
                child.wait()
        # Whole if it is there: what a library does to the process after that changes nothing.
        if (folder / "answer").exists():
            with (folder / "answer").open("rb") as file:
                answer = pickle.load(file)
            if isinstance(answer, BenchboxError):
                raise answer
            return answer
        if _UNWRITABLE < status <= _UNWRITABLE + _NO_ERRNO:
            raise StoreError(
                "what a process made cannot be written",
                values=f"{folder}: {os.strerror(status - _UNWRITABLE)}",
                remedy="free space there, or set TMPDIR to another folder",
            )
        raise _ended(function, status, (folder / "log").read_bytes().decode(errors="replace"))


def _ended(function: str, status: int, log: str) -> ArtifactError:
    how = f"was killed ({signal.Signals(-status).name})" if status < 0 else f"ended with exit status {status}"
    last = " | ".join(log.strip().splitlines()[-_LAST_LINES:])
    return ArtifactError(
        f"the process that ran {function.partition(':')[2]} {how}",
        values=last,
        remedy="the kernel does this when memory runs out" if status == -signal.SIGKILL else "",
    )


def main(folder: Path) -> None:
    """Answers the request in the folder; an error of ours is an answer, any other a traceback in the log."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.environ.get(_PARENT) != str(os.getppid()):
        return
    tempfile.tempdir = str(folder)  # what it leaves behind when it is killed goes with the folder
    function, arguments = pickle.loads((folder / "request").read_bytes())
    module, _, name = function.partition(":")
    try:
        answer = getattr(importlib.import_module(module), name)(*arguments)
    except BenchboxError as error:
        answer = error
    try:
        with (folder / "draft").open("wb") as draft:
            pickle.dump(answer, draft)
        (folder / "draft").replace(folder / "answer")
    except OSError as error:  # a full disk: said through the exit status, as nothing can be written
        os._exit(min(error.errno or _NO_ERRNO, _NO_ERRNO) + _UNWRITABLE)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
