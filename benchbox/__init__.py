"""benchbox: ONNX and TensorRT deployment benchmarks set beside the analytical cost of a network."""

__version__ = "0.2.0"
