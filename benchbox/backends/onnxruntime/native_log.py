"""What does a library say on standard error that writes past Python?

ONNX Runtime names the shared library that its provider lacks there and nowhere else.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

STDERR = 2
# "2026-11-29 ... [E:onnxruntime:Default, provider_bridge_ort.cc:2195 TryGetProviderInfo_CUDA] ... Failed to load ..."
_ERROR = re.compile(r"\[[EF]:onnxruntime:[^\]]*\]\s*(?P<text>.+)")
_COLORS = re.compile(r"\x1b\[[0-9;]*m")
_MOST = 3


class NativeLog:
    """What was written meanwhile."""

    def __init__(self) -> None:
        self.text = ""

    def errors(self) -> tuple[str, ...]:
        """ONNX Runtime's errors in it, each once, the first ones."""
        found = (match["text"].strip() for match in _ERROR.finditer(_COLORS.sub("", self.text)))
        return tuple(dict.fromkeys(found))[:_MOST]


@contextmanager
def native_stderr() -> Iterator[NativeLog]:
    """Collects what this process writes on standard error, of all threads; nothing of it is shown."""
    log = NativeLog()
    sys.stderr.flush()
    with tempfile.TemporaryFile() as file:
        before = os.dup(STDERR)
        os.dup2(file.fileno(), STDERR)
        try:
            yield log
        finally:
            sys.stderr.flush()
            os.dup2(before, STDERR)
            os.close(before)
            file.seek(0)
            log.text = file.read().decode(errors="replace")
