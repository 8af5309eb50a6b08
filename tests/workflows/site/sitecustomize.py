"""Makes every inference of ONNX Runtime on the CPU wait, as a slower runtime would, in processes that find this first.

WAIT is the share of an inference's own time. Only workers are changed, and only sessions that are timed.
"""

from __future__ import annotations

import os
import sys

if float(os.environ.get("WAIT", "0")) and "benchbox.measure.process.worker" in sys.orig_argv:
    from benchbox.backends.onnxruntime.cpu import OnnxRuntimeBackend
    from benchbox.measure.process.delayed import DelayedSession

    opened = OnnxRuntimeBackend.open

    def _open(self, request):  # type: ignore[no-untyped-def]
        session = opened(self, request)
        return session if request.inspect else DelayedSession(session, delay=float(os.environ["WAIT"]))

    OnnxRuntimeBackend.open = _open
