"""Which backends can run on this machine?

The one place that asks a runtime about the machine and survives whatever it raises.
"""

from __future__ import annotations

from benchbox.backends.base import BACKENDS, Availability, Backend
from benchbox.errors import BenchboxError, EnvironmentLackError
from benchbox.schema.model import Precision

_DEVICES = {"cpu": "CPU", "cuda": "NVIDIA GPU"}
# A damaged runtime may raise anything when it is imported or asked, and some call sys.exit.
_ANYTHING = (Exception, SystemExit)


def probe_of(backend: Backend) -> Availability:
    """Whether a backend can run here; one whose probe raises is unavailable, with the error as the reason."""
    try:
        return backend.probe()
    except _ANYTHING as error:
        return _unavailable(error, backend.name)


def probe_of_layer(name: str) -> Availability:
    """Whether a CUDA layer ("cuda-bindings", "pycuda") can be used here; survives what ``probe_of`` does."""
    from benchbox.backends.cuda.choice import probed_layer

    try:
        state = probed_layer(name)
    except _ANYTHING as error:
        return _unavailable(error, name)
    return Availability(
        usable=bool(state["version"]), version=state["version"], reason=state["reason"], remedy=state["remedy"]
    )


def supported_precisions(backend: Backend) -> tuple[Precision, ...]:
    """The precisions that a backend runs; none where asking raises, which ``probe_of`` then explains."""
    try:
        return tuple(precision for precision in Precision if backend.refusal(precision) is None)
    except _ANYTHING:
        return ()


def require_some_backend() -> None:
    """Raises EnvironmentLackError with what each backend needs where none can run on this machine."""
    reasons = []
    for backend in sorted((found for found in BACKENDS if found.rank >= 0), key=lambda found: -found.rank):
        state = probe_of(backend)
        if state.usable:
            return
        lack = "; ".join(part for part in (state.reason, state.remedy) if part)
        reasons.append(f"{_DEVICES.get(backend.device, backend.device)}, {backend.name}: {lack}")
    raise EnvironmentLackError(
        "no backend can run on this machine",
        values="\n".join(reasons),
        remedy="install one of them; 'benchbox doctor' lists every backend",
    )


def _unavailable(error: BaseException, name: str) -> Availability:
    if isinstance(error, BenchboxError):
        reason = ": ".join(part for part in (error.what, error.values) if part)
        return Availability(usable=False, reason=reason, remedy=error.remedy)
    return Availability(
        usable=False,
        reason=f"its probe failed: {type(error).__name__}: {error}",
        remedy=f"reinstall the packages of {name}",
    )
