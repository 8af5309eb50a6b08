"""Where are measured ceilings kept, and how are they read again?

One JSON file per measurement, ``results/ceilings/<id>.json``, written beside its place and renamed; none is ever
changed. Which of them holds here and now is decided by the hash of the environment (``epoch``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

from benchbox.errors import StoreError
from benchbox.schema.device import Ceilings
from benchbox.store.atomic import draft_of
from benchbox.store.documents import json_text, plain, value_from_plain

FOLDER = Path("results") / "ceilings"
SCHEMA = "benchbox.ceilings/1"


def append_ceilings(root: Path, ceilings: Ceilings) -> Path:
    """Writes one measurement and returns its file; raises StoreError where the place cannot be written."""
    target = root / FOLDER / f"{ceilings.id}.json"
    try:
        with draft_of(target) as draft:
            draft.write_text(json_text(document_from_ceilings(ceilings)) + "\n", encoding="utf-8")
    except OSError as error:
        raise StoreError(
            "the ceilings cannot be stored",
            values=f"{target}: {error.strerror or error}",
            remedy="choose another --root",
        ) from error
    return target


def document_from_ceilings(ceilings: Ceilings) -> dict[str, object]:
    """Ceilings as a JSON-ready dict (kind ``benchbox.ceilings/1``)."""
    return {"schema": SCHEMA, **plain(ceilings)}


def stored_ceilings(root: Path, *, warn: Callable[[str], None] = lambda _: None) -> tuple[Ceilings, ...]:
    """All ceilings under a root, oldest first; a damaged file is named in a warning and left out."""
    found = (read_ceilings(path, warn=warn) for path in sorted((root / FOLDER).glob("*.json")))
    return tuple(one for one in found if one is not None)


def read_ceilings(path: Path, *, warn: Callable[[str], None] = lambda _: None) -> Ceilings | None:
    """The ceilings in a file; None, and a warning that names it, where it cannot be read."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(document, dict) or document.get("schema") != SCHEMA:
            raise StoreError(f"it is not a {SCHEMA}")
        return value_from_plain(Ceilings, document, origin=str(path))
    except (OSError, ValueError, StoreError) as error:
        reason = error.what if isinstance(error, StoreError) else str(error).splitlines()[0]
        warn(f"warning: skipped: the ceilings {path} cannot be read: {reason}")
        return None


def newest_of(stored: Iterable[Ceilings], *, epoch: str, device: str, quick: bool = False) -> Ceilings | None:
    """The newest ceilings of an environment and device; None where there are none.

    Args:
        stored: in the order of time.
        epoch: hash of the environment.
        device: "cpu" or "cuda".
        quick: whether quick ones count; a whole one is preferred to any of them.
    """
    fitting = [one for one in stored if (one.epoch, one.device) == (epoch, device) and (quick or not one.quick)]
    whole = [one for one in fitting if not one.quick]
    return (whole or fitting)[-1] if fitting else None
