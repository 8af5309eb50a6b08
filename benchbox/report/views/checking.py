"""How much of a store was read, and which of its files are damaged?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from benchbox.report.screen import lines_below
from benchbox.store.checking import Checked, Fault

_ONE = {
    "records": "record",
    "accuracies": "accuracy",
    "layers": "table of layers",
    "artifacts": "artifact",
    "engines": "engine",
}
_MANY = {"layers": "tables of layers"}


def render_checked(found: Checked, aside: Mapping[Path, Path], *, root: Path) -> str:
    """What was read in one line, then a damaged file in each: where it lies under the root, and what is wrong.

    Args:
        found: what was read.
        aside: where damaged files were moved to.
        root: project root.
    """
    counts = [f"{count} {_ONE[kind] if count == 1 else _MANY.get(kind, kind)}" for kind, count in found.counts.items()]
    read = [text for text, count in zip(counts, found.counts.values(), strict=True) if count]
    whole = "" if found.faults or not read else ": all whole"
    lines = [f"{', '.join(read)} read{whole}" if read else f"nothing is stored under {root}"]
    return lines_below(*lines, *(_line(fault, aside, root) for fault in found.faults))


def _line(fault: Fault, aside: Mapping[Path, Path], root: Path) -> str:
    moved = f", moved to {_below(aside[fault.path], root)}" if fault.path in aside else ""
    return f"{_below(fault.path, root)}{moved}: {fault.reason}"


def _below(path: Path, root: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
