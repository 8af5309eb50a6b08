"""Which Python package drives CUDA, and does it work here?

``open_layer`` makes the process's CUDA context; everything else here leaves it without one, so that the process that
starts the workers is no user of the GPU.
"""

from __future__ import annotations

import os
from typing import Any

from benchbox.backends.child import in_child
from benchbox.backends.cuda.driver import Gpu, gpu_from_driver
from benchbox.backends.cuda.interface import CudaLayer, unavailable
from benchbox.errors import BenchboxError
from benchbox.registry import require_known

CHOICE_VARIABLE = "BENCHBOX_CUDA"
LAYERS = ("cuda-bindings", "pycuda")


def chosen_layer() -> str:
    """The layer named by BENCHBOX_CUDA, else the default; raises UsageError for a name of none."""
    name = os.environ.get(CHOICE_VARIABLE) or LAYERS[0]
    return require_known("CUDA layer", name, LAYERS)


def layer_module(name: str) -> Any:
    """The module of a layer: it has ``opened()`` and ``REMEDY``; its package is not imported by this."""
    if name == "pycuda":
        from benchbox.backends.cuda import pycuda

        return pycuda
    from benchbox.backends.cuda import bindings

    return bindings


def open_layer(name: str | None = None) -> CudaLayer:
    """A layer on the first visible device.

    Args:
        name: "cuda-bindings" or "pycuda"; by default what ``chosen_layer`` says.

    Raises:
        EnvironmentLackError: the package, the driver or a device is missing.
    """
    layer: CudaLayer = layer_module(name or chosen_layer()).opened()
    return layer


def ready_gpu(name: str | None = None) -> Gpu:
    """The first visible GPU if a layer can work on it; this process gets no CUDA context by the question.

    Where the GPU admits one process at a time, only an attempt shows whether it is free: a child makes it.

    Args:
        name: of the layer; by default what ``chosen_layer`` says.

    Raises:
        EnvironmentLackError: the package, the driver or a device is missing, or the GPU's compute mode forbids it.
    """
    chosen = name or chosen_layer()
    layer_module(chosen).require_device()
    gpu = gpu_from_driver()
    if gpu.prohibited:
        raise unavailable("its compute mode is PROHIBITED", remedy="allow it: nvidia-smi -c DEFAULT")
    if gpu.exclusive and not gpu.entered:
        in_child("benchbox.backends.cuda.choice:opened_versions", chosen)
    return gpu


def probed_layer(name: str) -> dict[str, str]:
    """``version`` of a layer that works here, tried in a child, else ``reason`` and ``remedy``; the others are ""."""
    try:
        gpu = ready_gpu(name)
        versions = in_child("benchbox.backends.cuda.choice:opened_versions", name)
    except BenchboxError as error:
        reason = ": ".join(part for part in (error.what, error.values) if part)
        return {"version": "", "reason": reason, "remedy": error.remedy}
    return {"version": f"{versions}, {gpu}", "reason": "", "remedy": ""}


def opened_versions(name: str) -> str:
    """Versions of a layer after it was opened and closed again, for ``in_child``: opening makes a CUDA context."""
    layer = open_layer(name)
    try:
        return ", ".join(f"{package} {version}" for package, version in layer.versions().items())
    finally:
        layer.close()
