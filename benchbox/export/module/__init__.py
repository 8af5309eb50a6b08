"""How does a PyTorch module become a canonical ONNX graph?"""
