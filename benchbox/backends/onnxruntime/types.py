"""How is ONNX Runtime told the type of a tensor that NumPy has none for? By ONNX's number of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchbox.errors import UsageError
from benchbox.tensor_types import array_type, is_extended

# TensorProto.DataType of onnx.proto, whose package a worker does not import.
_ONNX_NUMBERS = {
    "bfloat16": 16,
    "float8_e4m3fn": 17,
    "float8_e4m3fnuz": 18,
    "float8_e5m2": 19,
    "float8_e5m2fnuz": 20,
    "float8_e8m0fnu": 24,
}


def runtime_type(name: str) -> Any:
    """What ``bind_input`` and its like take: a NumPy type of NumPy's own, else ONNX's number.

    Raises UsageError for a type that ONNX has no number for.
    """
    if not is_extended(name):
        return np.dtype(name)
    if name not in _ONNX_NUMBERS:
        raise UsageError(f"ONNX Runtime takes no tensors of {name}", remedy="use float32 at the network's border")
    return _ONNX_NUMBERS[name]


def value_of(runtime: Any, array: np.ndarray, name: str) -> Any:
    """An OrtValue on the memory of an array, which must live as long."""
    if not is_extended(name):
        return runtime.OrtValue.ortvalue_from_numpy(array)
    raw = array.view(f"u{array_type(name).itemsize}")
    return runtime.OrtValue.ortvalue_from_numpy_with_onnx_type(raw, runtime_type(name))
