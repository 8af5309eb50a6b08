"""Which version of ONNX's own operators does a file use?"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

# Both names of the domain of ONNX's own operators.
STANDARD_DOMAINS = frozenset({"", "ai.onnx"})


def standard_opset(proto: onnx.ModelProto) -> int:
    """The highest opset of ONNX's own operators that a model imports; 0 where it imports none."""
    return max((entry.version for entry in proto.opset_import if entry.domain in STANDARD_DOMAINS), default=0)
