"""How much processor time did whatever dispatched this measurement take meanwhile?

A scheduler's daemons run beside what is measured. Their processes are found by name under /proc; the seconds that they
used are kept with the record, so that "does it disturb?" has an answer.
"""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "BENCHBOX_DISPATCHER"
# Processes of Ray: by the name of their program, or a part of their command line.
_PROGRAMS = frozenset({"raylet", "gcs_server"})
_PARTS = ("/ray/dashboard/", "/ray/_private/", "/ray/autoscaler/", "ray::")


def dispatcher_seconds(proc: Path = Path("/proc")) -> float | None:
    """Processor seconds that all daemons of the dispatcher have used so far; None where nothing dispatched this."""
    if VARIABLE not in os.environ:
        return None
    return sum(processor_seconds(folder) for folder in proc.glob("[0-9]*") if _is_daemon(folder))


def _is_daemon(folder: Path) -> bool:
    try:
        words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return False  # it has ended
    return Path(words[0]).name in _PROGRAMS or any(part in " ".join(words) for part in _PARTS)


def processor_seconds(folder: Path) -> float:
    """User and system time of a process, by its folder in /proc (proc(5), fields 14 and 15 of stat); 0 if it ended."""
    try:
        fields = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
