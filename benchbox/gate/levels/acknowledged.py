"""Which changes did somebody accept, why, how much of a change, and until when?

``results/baseline/acknowledged.toml``: tables that ``benchbox baseline accept`` appends and people review. What was
accepted is shown every night; it turns red again when it gets worse than that, or when its date has passed.
"""

from __future__ import annotations

import fnmatch
import json
import math
import tomllib
from collections.abc import Collection, Sequence
from pathlib import Path

from benchbox.errors import StoreError
from benchbox.gate.night import Acknowledgement, Finding, Qualifier
from benchbox.schema.reading import Better
from benchbox.schema.verdict import Outcome
from benchbox.store.atomic import write_text
from benchbox.store.documents import value_from_plain
from benchbox.units import format_change

FILE = "acknowledged.toml"
# Why a change was accepted; those that were no change of the network count as false alarms.
EXPECTED, VENDOR, INFRA, NOISE = KINDS = ("expected", "vendor", "infra", "noise")
FALSE_ALARMS = frozenset({INFRA, NOISE})
# A pattern that covers more cases than this covers what nobody looked at.
MOST_BY_PATTERN = 20
_EXACTLY = 1e-9


def read_acknowledged(folder: Path) -> tuple[Acknowledgement, ...]:
    """All acknowledgements beside a baseline, in their order; none where there is no file.

    Raises:
        StoreError: the file is damaged.
    """
    path = folder / FILE
    if not path.exists():
        return ()
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise StoreError(
            f"{path} cannot be read", values=str(error), remedy="mend it, or restore it from git"
        ) from error
    entries = document.get("accepted", [])
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict):
            # Dates are written without quotes too.
            entry |= {key: str(entry[key]) for key in ("until", "accepted") if key in entry}
    found = value_from_plain(tuple[Acknowledgement, ...], entries, origin=str(path))
    if wrong := [entry.kind for entry in found if entry.kind not in KINDS]:
        raise StoreError(
            f"{path} cannot be read", values=f"kind '{wrong[0]}' is none of {', '.join(KINDS)}", remedy="mend it"
        )
    return found


def append_acknowledgements(folder: Path, added: Sequence[Acknowledgement]) -> Path:
    """Writes further tables at the end of the file and returns it."""
    path = folder / FILE
    text = path.read_text(encoding="utf-8") if path.exists() else "# Changes that were accepted: docs/nightly.md\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_text(path, text.rstrip("\n") + "\n" + "".join(f"\n{table_of(entry)}" for entry in added))
    except OSError as error:
        raise StoreError("the acknowledgement cannot be written", values=f"{path}: {error.strerror}") from error
    return path


def holds_for(entry: Acknowledgement, finding: Finding) -> bool:
    """Whether a finding is the change that was accepted, however large it is now."""
    named = finding.name in entry.cases or any(fnmatch.fnmatchcase(finding.name, case) for case in entry.cases)
    return named and fnmatch.fnmatchcase(finding.verdict.metric, entry.metric)


def width_of(entry: Acknowledgement, names: Collection[str]) -> int:
    """How many of these cases the widest pattern of an acknowledgement covers."""
    return max((sum(fnmatch.fnmatchcase(name, case) for name in names) for case in entry.cases), default=0)


def lapse(entry: Acknowledgement, finding: Finding, *, night: str, effect: float, better: Better) -> str:
    """Why an acknowledgement no longer covers a finding, "" where it does."""
    if night > entry.until:
        return f"its acknowledgement ended with the night of {entry.until}"
    ratio = finding.verdict.ratio
    if ratio is None or ratio <= 0:
        return ""
    if Qualifier.EXACT in finding.qualifiers:
        return (
            ""
            if math.isclose(ratio, entry.ratio[1], rel_tol=_EXACTLY)
            else f"not the change that was acknowledged, {format_change(entry.ratio[1])}"
        )
    worse = ratio if better is Better.LOWER else 1 / ratio
    accepted = max(entry.ratio) if better is Better.LOWER else 1 / min(entry.ratio)
    if worse > accepted * (1 + effect):
        most = entry.ratio[1] if better is Better.LOWER else entry.ratio[0]
        return f"worse than what was acknowledged, {format_change(most)}, by more than the effect"
    return ""


def is_acceptable(finding: Finding) -> bool:
    """Whether a finding can be acknowledged at all: a change with a size."""
    exact = Qualifier.EXACT in finding.qualifiers and finding.verdict.outcome is Outcome.FASTER
    return (finding.verdict.outcome is Outcome.SLOWER or exact) and finding.verdict.ratio is not None


def table_of(entry: Acknowledgement) -> str:
    """The table of TOML that says it."""
    lines = [
        "[[accepted]]",
        f"group    = {_text(entry.group)}",
        "cases    = [",
        *(f"  {_text(case)}," for case in entry.cases),
        "]",
        f"metric   = {_text(entry.metric)}",
        f"ratio    = [{entry.ratio[0]!r}, {entry.ratio[1]!r}]",
        *(f"{name:8s} = {_text(value)}" for name, value in _optional(entry)),
        *(["wide     = true"] if entry.wide else []),
        f"kind     = {_text(entry.kind)}",
        f"reason   = {_text(entry.reason)}",
        f"accepted = {entry.accepted}",
        f"until    = {entry.until}",
    ]
    return "\n".join(lines) + "\n"


def _optional(entry: Acknowledgement) -> list[tuple[str, str]]:
    return [(name, value) for name in ("since", "issue", "by") if (value := getattr(entry, name))]


def _text(value: str) -> str:
    # JSON's strings are strings of TOML too, but for the sign DEL.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
