"""What does benchbox ask of CUDA, and through which Python package?

A small interface, the **layer**: device and pinned memory, copies, streams, events, graphs. Two packages implement it:
cuda-bindings (``bindings.py``, the default) and pycuda (``pycuda.py``). Both use the device's primary context, the one
that TensorRT, ONNX Runtime and PyTorch use too, so that a stream or an address of one means the same to the others.
"""

from __future__ import annotations

import os
from typing import Any

from benchbox.backends.cuda.driver import Gpu, gpu_from_driver
from benchbox.backends.cuda.interface import (
    CudaLayer,
)
from benchbox.errors import EnvironmentLackError
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


def probed_layer(name: str) -> dict[str, str]:
    """``version`` of a layer that can be used here, else ``reason`` and ``remedy``; the others are ""."""
    try:
        layer = open_layer(name)
    except EnvironmentLackError as error:
        reason = ": ".join(part for part in (error.what, error.values) if part)
        return {"version": "", "reason": reason, "remedy": error.remedy}
    try:
        versions = ", ".join(f"{package} {version}" for package, version in layer.versions().items())
        return {"version": f"{versions}, {layer.gpu()}", "reason": "", "remedy": ""}
    finally:
        layer.close()


def first_gpu() -> Gpu:
    """The first visible GPU: as the chosen layer sees it, or as the driver does where no layer is installed.

    Raises:
        EnvironmentLackError: no driver, a driver that does not start, or no GPU.
    """
    if not layer_module(chosen_layer()).installed():
        return gpu_from_driver()
    layer = open_layer()
    try:
        return layer.gpu()
    finally:
        layer.close()
