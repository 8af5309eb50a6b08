"""What does a backend look like that computes nothing?

It walks through the whole harness on a virtual clock: every inference advances the clock by a known, seeded amount, so
that tests can say exactly what must come out. Its device is "virtual" and its numbers are never stored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from benchbox.backends.base import BACKENDS, Availability, OpenRequest
from benchbox.schema.model import Precision
from benchbox.schema.trial import Evidence
from benchbox.tensor_types import array_type

if TYPE_CHECKING:
    from benchbox.backends.base import Arrays


class VirtualStopwatch:
    """A clock that stands still until it is told to advance."""

    clock = "virtual"

    def __init__(self) -> None:
        self._now_ns = 0

    def now_ns(self) -> int:
        """Virtual nanoseconds since the session was opened."""
        return self._now_ns

    def advance(self, duration_ns: int) -> None:
        """Lets virtual time pass."""
        self._now_ns += duration_ns


class NullBackend:
    """A backend without computation.

    Args:
        inference_ns: how long an inference of the steady state takes.
        jitter: relative standard deviation of an inference.
        cold_factor: how many times longer the first inference takes; the excess halves with each further one.
    """

    name: ClassVar[str] = "null"
    device: ClassVar[str] = "virtual"
    consumes: ClassVar[str] = "nothing"
    virtual: ClassVar[bool] = True
    rank: ClassVar[int] = -1

    def __init__(self, *, inference_ns: int = 1_000_000, jitter: float = 0.01, cold_factor: float = 5.0) -> None:
        self.inference_ns = inference_ns
        self.jitter = jitter
        self.cold_factor = cold_factor

    def probe(self) -> Availability:
        """Always usable: there is nothing to miss."""
        return Availability(usable=True, version="virtual clock", device=self.device)

    def refusal(self, precision: Precision) -> str | None:
        """Nothing is computed, so every precision goes."""
        return None

    def open(self, request: OpenRequest) -> NullSession:
        """A session that makes zeros."""
        return NullSession(self, request)


class NullSession:
    """Zeros of the right shape, on a virtual clock."""

    def __init__(self, backend: NullBackend, request: OpenRequest) -> None:
        self.stopwatch = VirtualStopwatch()
        self._backend = backend
        self._request = request
        self._draw = np.random.default_rng(0)
        self._excess = backend.cold_factor - 1

    def upload(self, slot: int, arrays: Arrays) -> None:
        """Looks that every input is there, as a real session would."""
        for spec in self._request.inputs:
            assert arrays[spec.name].shape == spec.shape

    def enqueue(self, slot: int) -> None:
        """Lets the time of one inference pass."""
        factor = 1 + self._excess + self._backend.jitter * float(self._draw.standard_normal())
        self._excess /= 2
        self.stopwatch.advance(max(1, round(self._backend.inference_ns * factor)))

    def synchronize(self) -> None:
        """Nothing runs, so nothing is waited for."""

    def download(self, slot: int) -> dict[str, np.ndarray]:
        """Zeros."""
        return {
            spec.name: np.zeros([size or 1 for size in spec.shape], array_type(spec.dtype))
            for spec in self._request.outputs
        }

    def evidence(self) -> Evidence:
        """That nothing was executed."""
        return Evidence(
            backend=NullBackend.name,
            device=NullBackend.device,
            providers=("virtual clock",),
            threads=self._request.threads,
            executed={} if self._request.inspect else None,
        )

    def close(self) -> None:
        """Nothing to free."""


BACKENDS.register(NullBackend.name, NullBackend())
