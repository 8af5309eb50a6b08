"""How does a test get the simulated GPU, in this process or in one that it starts?"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

SITE = Path(__file__).parent / "site"
_SIMULATED = (
    "cuda",
    "pycuda",
    "tensorrt",
    "tensorrt_rtx",
    "pynvml",
    "simulated_device",
    "simulated_driver",
    "simulated_memory",
)


def environment(**knobs: Any) -> dict[str, str]:
    """The environment of a process that finds the simulation instead of the real packages."""
    path = os.pathsep.join(filter(None, (str(SITE), os.environ.get("PYTHONPATH", ""))))
    return {**os.environ, "PYTHONPATH": path, "BENCHBOX_SIMULATION": json.dumps(knobs)}


@contextlib.contextmanager
def simulated(**knobs: Any) -> Iterator[ModuleType]:
    """The simulation in this process: a fresh device, whose module is given; the real packages are back afterwards."""
    with (
        mock.patch.dict(os.environ, environment(**knobs)),
        mock.patch.object(sys, "path", [str(SITE), *sys.path]),
        mock.patch.object(ctypes, "CDLL", _library_opener()),
    ):
        # Only these: whatever else is imported meanwhile stays, as most packages cannot be imported twice.
        real = _taken_out()
        try:
            import simulated_device

            yield simulated_device
        finally:
            _taken_out()
            sys.modules.update(real)


def _library_opener() -> Any:
    """``ctypes.CDLL`` as it is in a process that was started with the simulation."""
    spec = importlib.util.spec_from_file_location("simulated_site", SITE / "sitecustomize.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with mock.patch.object(ctypes, "CDLL", ctypes.CDLL):
        spec.loader.exec_module(module)
    return module.SimulatedCDLL


def _taken_out() -> dict[str, ModuleType]:
    """The simulated modules and those that they stand for, no longer imported."""
    names = [name for name in sys.modules if name.partition(".")[0] in _SIMULATED]
    return {name: sys.modules.pop(name) for name in names}
