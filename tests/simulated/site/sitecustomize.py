"""How does a process of the tests find the simulated driver's library? Python imports this when it starts."""

from __future__ import annotations

import ctypes
from typing import Any


class SimulatedCDLL(ctypes.CDLL):
    """Opens libraries, the driver's being the simulated one."""

    def __new__(cls, name: str | None = None, *arguments: Any, **options: Any) -> Any:
        if name == "libcuda.so.1":
            import simulated_driver

            return simulated_driver.opened()
        return super().__new__(cls)


ctypes.CDLL = SimulatedCDLL  # type: ignore[misc]
