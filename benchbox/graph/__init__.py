"""What does an ONNX file say of its network, without its weights?"""
