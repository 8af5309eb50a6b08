"""benchbox: ONNX and TensorRT deployment benchmarks set beside what a network costs on paper."""

__version__ = "0.2.0"
