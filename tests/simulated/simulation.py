"""How does a test get the simulated GPU, in this process or in one that it starts?"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

SITE = Path(__file__).parent / "site"
_SIMULATED = ("cuda", "pycuda", "tensorrt", "pynvml", "simulated_device")


def environment(**knobs: Any) -> dict[str, str]:
    """The environment of a process that finds the simulation instead of the real packages."""
    path = os.pathsep.join(filter(None, (str(SITE), os.environ.get("PYTHONPATH", ""))))
    return {**os.environ, "PYTHONPATH": path, "BENCHBOX_SIMULATION": json.dumps(knobs)}


@contextlib.contextmanager
def simulated(**knobs: Any) -> Iterator[ModuleType]:
    """The simulation in this process: a fresh device, whose module is given; the real packages are back afterwards."""
    with (
        mock.patch.dict(os.environ, {"BENCHBOX_SIMULATION": json.dumps(knobs)}),
        mock.patch.object(sys, "path", [str(SITE), *sys.path]),
    ):
        # Only these: whatever else is imported meanwhile stays, as most packages cannot be imported twice.
        real = _taken_out()
        try:
            import simulated_device

            yield simulated_device
        finally:
            _taken_out()
            sys.modules.update(real)


def _taken_out() -> dict[str, ModuleType]:
    """The simulated modules and those that they stand for, no longer imported."""
    names = [name for name in sys.modules if name.partition(".")[0] in _SIMULATED]
    return {name: sys.modules.pop(name) for name in names}
