"""Which backends run a network through PyTorch?"""

from __future__ import annotations

from benchbox.backends.pytorch import cpu, cuda

__all__ = ["cpu", "cuda"]
