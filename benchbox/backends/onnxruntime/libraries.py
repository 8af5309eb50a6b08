"""Do the shared libraries of ONNX Runtime's GPU providers load?

The wheel lists a provider whether or not its libraries (cuDNN, cuBLAS, TensorRT) are there; a session that asks for it
is then given the CPU. Loading them makes no CUDA context.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib.util
import sys
from pathlib import Path
from typing import Any

_SHARED = "libonnxruntime_providers_shared.so"


def preload(runtime: Any) -> None:
    """Loads the CUDA libraries that pip installed: they are not on the loader's path."""
    if hasattr(runtime, "preload_dlls"):
        with contextlib.redirect_stdout(sys.stderr):  # it prints what it skips; standard output is for results
            runtime.preload_dlls()


def provider_folder() -> Path | None:
    """Where the wheel has its libraries."""
    spec = importlib.util.find_spec("onnxruntime")
    return Path(spec.origin).parent / "capi" if spec is not None and spec.origin else None


@functools.cache
def library_lack(library: str, folder: Path) -> str:
    """Why a provider's library ("libonnxruntime_providers_cuda.so") does not load, "" if it does; asked once."""
    for name in (_SHARED, library):
        try:
            # The provider's library looks for the shared one's symbols.
            ctypes.CDLL(str(folder / name), mode=ctypes.RTLD_GLOBAL)
        except OSError as error:
            return f"{name} does not load: {error}"
    return ""
