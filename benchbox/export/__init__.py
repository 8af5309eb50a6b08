"""PyTorch to one canonical ONNX file, and from it to its precisions."""
