"""Which levels does a team expect of its cases? Files in git, one per network and kind of machine.

``results/baseline/<machine>/<network>.json`` has, for each case and metric, its level, and its anchor where one was
pinned: the values of single processes, since the rank test needs them, and where they come from. Entries are sorted and
one value a line, so that a change of one level is a small difference in a review.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchbox.errors import StoreError
from benchbox.schema.identity import CaseIdentity
from benchbox.store.atomic import write_text
from benchbox.store.documents import json_text, value_from_plain

SCHEMA = "benchbox.baseline/1"
ACCEPTED = "accepted"


@dataclass(frozen=True, kw_only=True)
class Level:
    """What one metric of a case is expected to be.

    ``values`` are one per process, in ``unit``; empty for counts. ``kind`` says why it was written: "new", "better" or
    "accepted" (worse, on purpose). ``pinned`` is the name of an anchor, "" for a level.
    """

    unit: str
    value: float
    night: str
    environment: str
    kind: str
    values: tuple[float, ...] = ()
    records: tuple[str, ...] = ()
    commit: str = ""
    onnx_sha256: str = ""
    engine_sha256: str = ""
    pinned: str = ""


@dataclass(frozen=True, kw_only=True)
class Expected:
    """One case of a baseline: its identity, and by metric its levels and its anchors."""

    case: CaseIdentity
    machine: str
    levels: Mapping[str, Level] = field(default_factory=dict)
    anchors: Mapping[str, Level] = field(default_factory=dict)

    def anchor(self, metric: str) -> Level | None:
        """What drift is judged against: the pinned level, else the level itself."""
        return self.anchors.get(metric) or self.levels.get(metric)


Baseline = Mapping[str, Expected]


def read_baseline(folder: Path) -> dict[str, Expected]:
    """All cases of a baseline by their names; none where there is no folder.

    Raises:
        StoreError: a file is damaged or of another version; it is named.
    """
    found: dict[str, Expected] = {}
    for path in sorted(folder.glob("*/*.json")):
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise StoreError(f"the baseline {path} cannot be read", values=str(error), remedy=_REMEDY) from error
        if not isinstance(document, dict) or document.get("schema") != SCHEMA:
            schema = document.get("schema") if isinstance(document, dict) else None
            raise StoreError(
                f"the baseline {path} has another version",
                values=f"schema {schema!r}, expected {SCHEMA!r}",
                remedy=_REMEDY,
            )
        found |= value_from_plain(dict[str, Expected], document.get("cases"), origin=str(path))
    return found


_REMEDY = "restore it from git, or write it again: benchbox baseline propose"


def write_baseline(folder: Path, cases: Iterable[tuple[str, Expected]]) -> tuple[Path, ...]:
    """Adds cases to a baseline, or replaces them, and returns the files that changed."""
    merged = {**read_baseline(folder), **dict(cases)}
    files: dict[Path, dict[str, Expected]] = {}
    for name, expected in merged.items():
        files.setdefault(folder / expected.machine / f"{_file_name(expected.case.model)}.json", {})[name] = expected
    changed = []
    for path, entries in files.items():
        text = (
            json_text({"schema": SCHEMA, "cases": {name: _document(entries[name]) for name in sorted(entries)}}) + "\n"
        )
        try:
            if path.exists() and path.read_text(encoding="utf-8") == text:
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, text)
        except OSError as error:
            raise StoreError("the baseline cannot be written", values=f"{path}: {error.strerror}") from error
        changed.append(path)
    return tuple(changed)


def with_level(expected: Expected, metric: str, level: Level) -> Expected:
    """The same with another level of a metric."""
    return dataclasses.replace(expected, levels={**expected.levels, metric: level})


def pinned(expected: Expected, name: str) -> Expected:
    """The same with every level as an anchor of that name."""
    anchors = {metric: dataclasses.replace(level, pinned=name) for metric, level in expected.levels.items()}
    return dataclasses.replace(expected, anchors={**expected.anchors, **anchors})


def _document(expected: Expected) -> dict[str, Any]:
    return {
        "case": expected.case,
        "machine": expected.machine,
        "levels": dict(sorted(expected.levels.items())),
        "anchors": dict(sorted(expected.anchors.items())),
    }


def _file_name(model: str) -> str:
    return re.sub(r"[^A-Za-z0-9._+-]+", "_", model).strip("._") or "network"
