"""Which backend runs a network through OpenVINO?"""

from __future__ import annotations

from benchbox.backends.openvino import cpu

__all__ = ["cpu"]
