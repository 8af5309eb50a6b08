"""Where are measured accuracies kept, and how are they read again?

One JSON file per result, ``results/accuracy/<id>.json``, written beside its place and renamed; none is ever changed.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from pathlib import Path

from benchbox.errors import StoreError
from benchbox.schema.accuracy import AccuracyResult
from benchbox.store.atomic import draft_of
from benchbox.store.documents import json_text, plain, value_from_plain

FOLDER = Path("results") / "accuracy"
SCHEMA = "benchbox.accuracy-record/1"


def append_accuracy(
    root: Path, result: AccuracyResult, *, identity: str, environment: str, at: datetime.datetime
) -> Path:
    """Writes one result and returns its file.

    Args:
        root: project root.
        result: what was measured.
        identity: the name of the file, as of records: unique, and in the order of time.
        environment: hash of the environment that it was measured in.
        at: when.

    Raises:
        StoreError: the place cannot be written.
    """
    target = root / FOLDER / f"{identity}.json"
    document = {
        "schema": SCHEMA,
        "id": identity,
        "started_at": at.astimezone(datetime.UTC).isoformat(),
        "environment": environment,
        "result": plain(result),
    }
    try:
        with draft_of(target) as draft:
            draft.write_text(json_text(document) + "\n", encoding="utf-8")
    except OSError as error:
        raise StoreError(
            "the accuracy cannot be stored",
            values=f"{target}: {error.strerror or error}",
            remedy="choose another --root",
        ) from error
    return target


def accuracies_under(root: Path, *, warn: Callable[[str], None]) -> tuple[AccuracyResult, ...]:
    """The accuracies under a root, oldest first; a damaged file is named in a warning and left out."""
    found = (read_accuracy(path, warn=warn) for path in sorted((root / FOLDER).glob("*.json")))
    return tuple(result for result in found if result is not None)


def read_accuracy(path: Path, *, warn: Callable[[str], None]) -> AccuracyResult | None:
    """The accuracy in a file; None, and a warning that names it, where it cannot be read."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(document, dict) or document.get("schema") != SCHEMA:
            raise StoreError(f"it is not a {SCHEMA}")
        return value_from_plain(AccuracyResult, document.get("result"), origin=str(path))
    except (OSError, ValueError, StoreError) as error:
        reason = error.what if isinstance(error, StoreError) else str(error).splitlines()[0]
        warn(f"warning: skipped: the accuracy {path} cannot be read: {reason}")
        return None
