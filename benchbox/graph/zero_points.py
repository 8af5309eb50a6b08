"""Has a file weights of signed bytes with a scale for each channel, and without zero points?

Exporters leave a zero point of 0 out. ONNX Runtime's exact 8-bit mode takes weights as unsigned bytes, gives them a
zero point of one element, and fails on those when it runs.
"""

from __future__ import annotations

import math
from pathlib import Path

from benchbox.graph.skimming import structure_bytes
from benchbox.graph.stored import stored_tensors


def lacks_zero_points(path: Path) -> bool:
    """Whether a DequantizeLinear with several scales and no zero point reads stored bytes."""
    import onnx

    try:
        graph = onnx.ModelProto.FromString(structure_bytes(path)).graph
    except Exception:  # whoever opens the file says what is wrong with it
        return False
    bare = [
        node
        for node in graph.node
        if node.op_type == "DequantizeLinear" and len([name for name in node.input if name]) == 2
    ]
    if not bare:
        return False
    stored = stored_tensors(graph)
    weights = {name for name, tensor in stored.items() if tensor.data_type == onnx.TensorProto.INT8}
    return any(
        node.input[0] in weights and node.input[1] in stored and math.prod(stored[node.input[1]].dims) > 1
        for node in bare
    )
