"""Where does what somebody else's code prints go? To standard error: standard output is the command's own."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def prints_aside() -> Iterator[None]:
    """Sends what Python code prints meanwhile to standard error; also a decorator."""
    with contextlib.redirect_stdout(sys.stderr):
        yield
