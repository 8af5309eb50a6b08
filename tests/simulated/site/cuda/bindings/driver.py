"""The one name of ``cuda.bindings.driver`` that benchbox uses."""

from __future__ import annotations


class cuuint64_t:
    """A number that the driver reads by address."""

    def __init__(self, value: int = 0) -> None:
        self.value = value
