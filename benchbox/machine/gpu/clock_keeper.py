"""Who sets the GPU's clocks free when the process that wanted them held is gone?

``python -m benchbox.machine.gpu.clock_keeper MHZ`` (or ``base``) holds the clocks, says so in one line of JSON,
waits until its standard input ends, sets the clocks free, and says that. The end comes when the parent closes it, and
as well when the parent is killed: the kernel closes it then. It lives in a session of its own and ignores what is sent
to stop it. The parent is ``clock_lock.py``.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys

from benchbox.errors import BenchboxError
from benchbox.machine.gpu.nvml import held_gpu_clocks
from benchbox.schema.plan import BASE_CLOCKS

HELD, FREED, ERROR = "held", "freed", "error"


def main(wanted: str) -> None:
    """Holds the clocks for as long as standard input is open."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    try:
        with held_gpu_clocks(None if wanted == BASE_CLOCKS else int(wanted)) as clocks:
            _say({HELD: clocks})
            while os.read(sys.stdin.fileno(), 4096):
                pass
        _say({FREED: True})
    except BenchboxError as error:
        _say({ERROR: [type(error).__name__, error.what, error.values, error.remedy]})


def _say(words: dict[str, object]) -> None:
    """One line to the parent, which may be gone."""
    with contextlib.suppress(BrokenPipeError):
        os.write(sys.stdout.fileno(), json.dumps(words).encode() + b"\n")


if __name__ == "__main__":
    main(sys.argv[1])
