"""Where does ONNX Runtime's TensorRT provider keep the engines that it builds, and which were used?

Without a cache every process builds its own: minutes each, and other kernels in each by chance. The provider names its
files by the network's file name and its own versions, not by the weights, so each network, precision, batch size, kind
of GPU and pair of versions has a folder of its own. A process that finds none works in a draft and gives it the
folder's name when it closes without an error: engines of a killed build are used by nobody.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
import os
import re
import shutil
from pathlib import Path

from benchbox.schema.engine import RUNTIME_RECIPE, RuntimeEngines

# What the wheel's TensorRT provider is linked against; TensorRT 11 has another number.
TENSORRT_LIBRARY = "libnvinfer.so.10"
_ENGINES = "*.engine"
_DIGITS = 12


def tensorrt_version() -> str:
    """The version of the TensorRT that the provider uses ("10.13.3"), "unknown" where it does not say."""
    try:
        number = int(ctypes.CDLL(TENSORRT_LIBRARY).getInferLibVersion())
    except (OSError, AttributeError):
        return "unknown"
    return f"{number // 10000}.{number // 100 % 100}.{number % 100}"


class EngineFolder:
    """The engines of one network on one kind of GPU.

    Args:
        kept: of the network.
        gpu: name and compute capability.
        versions: of what builds and runs the engines, by name.
    """

    def __init__(self, kept: RuntimeEngines, *, gpu: str, versions: dict[str, str]) -> None:
        name = "-".join([gpu, *(f"{package}-{version}" for package, version in versions.items())])
        self._folder = kept.folder / re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-")
        self._recipe = {
            "onnx_path": kept.onnx_path,
            "onnx_sha256": kept.onnx_sha256,
            "device": gpu,
            "versions": versions,
        }
        self._found = (self._folder / RUNTIME_RECIPE).is_file()
        self.path = self._folder if self._found else self._folder.with_name(f".{self._folder.name}.{os.getpid()}")
        """Where the provider is to look and to write."""
        if not self._found:
            self._sweep()
            self.path.mkdir(parents=True, exist_ok=True)

    def options(self) -> dict[str, str]:
        """Of the provider."""
        return {"trt_engine_cache_enable": "1", "trt_engine_cache_path": str(self.path)}

    @property
    def digest(self) -> str:
        """Of all engines that are there now: equal in processes that ran the same ones."""
        engines = sorted(self.path.glob(_ENGINES))
        if not engines:
            return "no engine was made"
        whole = hashlib.sha256()
        for engine in engines:
            with engine.open("rb") as file:
                whole.update(hashlib.file_digest(file, "sha256").digest())
        return whole.hexdigest()[:_DIGITS]

    def close(self, *, keep: bool) -> None:
        """Gives a draft its name, or drops it; of two processes that built at once the first one's engines stay."""
        if self._found:
            return
        if keep and any(self.path.glob(_ENGINES)):
            (self.path / RUNTIME_RECIPE).write_text(json.dumps(self._recipe, indent=2) + "\n")
            with contextlib.suppress(OSError):
                self.path.rename(self._folder)
        shutil.rmtree(self.path, ignore_errors=True)

    def _sweep(self) -> None:
        """Drops drafts of processes that are no more."""
        for draft in self._folder.parent.glob(f".{self._folder.name}.*"):
            process = draft.name.rpartition(".")[2]
            if process.isdigit() and not Path("/proc", process).exists():
                shutil.rmtree(draft, ignore_errors=True)
