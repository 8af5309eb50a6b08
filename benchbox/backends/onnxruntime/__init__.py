"""Which backends run a network through ONNX Runtime?"""

from __future__ import annotations

from benchbox.backends.onnxruntime import cpu, cuda

__all__ = ["cpu", "cuda"]
