"""When are kernels compiled that an engine does not hold?

TensorRT-RTX compiles them when an engine is loaded, and with its default strategy others later in the background, for
the shapes that it saw: the kernel changes under the clock. So they are compiled at once (EAGER), and what was compiled
is kept beside the engine: processes of a case run the same kernels, and only the first of them waits for the compiler.
Both are features of TensorRT-RTX alone.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from benchbox.backends.tensorrt.vendor import Bindings
from benchbox.schema.engine import KERNELS

_DIGITS = 12


class KernelCache:
    """The kernels of one engine on one kind of GPU.

    Args:
        bindings: of the vendor.
        engine: the engine's file, beside which they are kept.
        target: compute capability of the GPU ("sm89").
    """

    def __init__(self, bindings: Bindings, engine: Path, *, target: str) -> None:
        self._bindings = bindings
        self._path = engine.with_name(f"{engine.stem}.{target}.{bindings.version}{KERNELS}")
        self._cache: Any = None
        self._loaded = False
        self.state: dict[str, str] = {}
        """For the evidence; empty where the vendor compiles nothing while it runs."""

    def configure(self, config: Any) -> None:
        """Asks a runtime configuration for kernels that are compiled at once, and gives it those that are kept."""
        if hasattr(config, "dynamic_shapes_kernel_specialization_strategy"):
            strategy = self._bindings.api.DynamicShapesKernelSpecializationStrategy.EAGER
            config.dynamic_shapes_kernel_specialization_strategy = strategy
            self.state["kernel_specialization"] = "eager"
        if not hasattr(config, "create_runtime_cache"):
            return
        self._cache = config.create_runtime_cache()
        if self._cache is None:
            self.state["kernel_cache"] = "none: the runtime makes none"
            return
        kept = self._path.read_bytes() if self._path.exists() else b""
        # Of another GPU, version or driver it is refused, and nothing of it is used.
        self._loaded = bool(kept) and bool(self._cache.deserialize(kept))
        digest = hashlib.sha256(kept).hexdigest()[:_DIGITS]
        self.state["kernel_cache"] = digest if self._loaded else "refused, compiled anew" if kept else "compiled anew"
        config.set_runtime_cache(self._cache)

    def keep(self) -> None:
        """Writes what was compiled, where nothing was loaded; a folder that cannot be written keeps nothing."""
        if self._cache is None or self._loaded:
            return
        draft = self._path.with_suffix(f"{KERNELS}.{os.getpid()}")
        try:
            draft.write_bytes(bytes(self._cache.serialize()))
            draft.replace(self._path)
        except OSError:
            draft.unlink(missing_ok=True)
