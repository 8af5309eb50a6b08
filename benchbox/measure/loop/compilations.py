"""Was anything compiled while inferences were timed?

Compilers that work at the first call do so again when what they had assumed no longer holds. A sample in which that
happens is no inference, and those before and after it may be of different code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchbox.backends.base import CompilingSession
from benchbox.flags.compilations import COMPILED
from benchbox.machine.counters import counters

if TYPE_CHECKING:
    from benchbox.backends.base import Session


def counters_of(session: Session) -> dict[str, float]:
    """What the kernel counts, and the compilations so far of a session that may compile while it runs."""
    own = {COMPILED: float(session.compilations())} if isinstance(session, CompilingSession) else {}
    return {**counters(), **own}
