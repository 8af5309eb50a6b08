"""How does a profiler see what a worker does?

With BENCHBOX_NVTX=1 a worker names its phases (``check``, ``warm-up``, ``block``) and each ``inference`` in ranges of
the NVTX domain "benchbox": ``inference`` is the call that starts one, to which Nsight Systems and Nsight Compute add
the kernels launched in it. The driver's profiler API is on while inferences are timed and off otherwise, as trtexec
does it, for ``nsys profile -c cudaProfilerApi``. BENCHBOX_PROFILE_COMMAND is put before the command of every timed
worker.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import os
import shlex
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

from benchbox.backends.cuda.driver import LIBRARY
from benchbox.errors import EnvironmentLackError, UsageError
from benchbox.flags.profiling import MARKED, PROFILED

if TYPE_CHECKING:
    from benchbox.backends.base import Session
    from benchbox.measure.loop.modes import Issuer
    from benchbox.measure.loop.timing import Block

NVTX_VARIABLE, PROFILE_VARIABLE = "BENCHBOX_NVTX", "BENCHBOX_PROFILE_COMMAND"
DOMAIN = "benchbox"


def marking() -> bool:
    """Whether this process names what it does."""
    return os.environ.get(NVTX_VARIABLE, "") not in {"", "0"}


def profile_command() -> tuple[str, ...]:
    """What timed workers are started by, () for nothing; raises UsageError for a text that is no command."""
    text = os.environ.get(PROFILE_VARIABLE, "")
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise UsageError("--profile-command is not a command", values=f"{text!r}: {error}") from error


def require_profiling() -> None:
    """Raises EnvironmentLackError where NVTX or the profiler is not installed."""
    if importlib.util.find_spec("nvtx") is None:
        raise EnvironmentLackError(
            "the Python package of NVTX is not installed",
            values="--nvtx and --profile-command name phases by it",
            remedy="pip install 'benchbox[nvtx]'",
        )
    command = profile_command()
    if command and shutil.which(command[0]) is None:
        raise EnvironmentLackError(
            f"there is no program {command[0]}",
            values=f"--profile-command {shlex.join(command)}",
            remedy="install Nsight Systems (nsys) or Nsight Compute (ncu), or name the program by its path",
        )


def counters_of_profiling() -> dict[str, float]:
    """What disturbs the times of this process, as counters of its trial."""
    found = {MARKED: marking(), PROFILED: bool(profile_command())}
    return {name: 1.0 for name, disturbs in found.items() if disturbs}


@contextlib.contextmanager
def phase(name: str) -> Iterator[None]:
    """A named range around what happens inside, where this process marks."""
    if not marking():
        yield
        return
    import nvtx

    with nvtx.annotate(name, domain=DOMAIN):
        yield


@contextlib.contextmanager
def captured_by_profilers() -> Iterator[None]:
    """The driver's profiler API on inside, where this process marks and has a CUDA context."""
    driver = _driver() if marking() else None
    if driver is None:
        yield
        return
    driver.cuProfilerStart()
    try:
        yield
    finally:
        driver.cuProfilerStop()


def _driver() -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL(LIBRARY)
    except OSError:
        return None


def mark_inferences(session: Session) -> None:
    """Puts a range around every call that starts an inference of a session, where this process marks."""
    if not marking():
        return
    import nvtx

    domain = nvtx.get_domain(DOMAIN)
    attributes = domain.get_event_attributes(message="inference")
    push, pop, enqueue = domain.push_range, domain.pop_range, session.enqueue

    def marked(slot: int) -> None:
        push(attributes)
        try:
            enqueue(slot)
        finally:
            pop()

    # On the object itself: what a session can is asked of its class.
    session.__dict__["enqueue"] = marked


class MarkedIssuer:
    """An issuer whose blocks are named ranges."""

    def __init__(self, issuer: Issuer) -> None:
        self.now_ns = issuer.now_ns
        self._block = issuer.block

    def block(self, count: int) -> Block:
        """As the issuer's."""
        with phase("block"):
            return self._block(count)
