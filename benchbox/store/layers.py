"""Where are tables of executed layers kept, and how are they read again?

One JSON file per table, ``results/layers/<id>.json``, written beside its place and renamed; none is ever changed. It
holds the time of every layer in every profiled inference. Ceilings are named by their id, not repeated.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path

from benchbox.errors import StoreError
from benchbox.schema.environment import Environment
from benchbox.schema.layers import LayerTable, StoredLayers
from benchbox.store.atomic import draft_of
from benchbox.store.ceilings import stored_ceilings
from benchbox.store.documents import plain, value_from_plain
from benchbox.store.records import SIMULATION_MARK

FOLDER = Path("results") / "layers"
SCHEMA = "benchbox.layers-record/1"
_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}")


def append_layers(
    root: Path,
    table: LayerTable,
    *,
    identity: str,
    environment: Environment,
    device: str,
    at: str,
    simulated: bool = False,
) -> Path | None:
    """Writes one table and returns its file; None for one of the tests' simulated GPU in a store of measurements.

    Args:
        root: project root.
        table: all rows, in the order of execution.
        identity: the name of the file, as of records: unique, and in the order of time.
        environment: that it was measured in.
        device: "cpu" or "cuda".
        at: when, UTC in ISO 8601.
        simulated: nothing was measured.

    Raises:
        StoreError: the place cannot be written.
    """
    if simulated and not (root / SIMULATION_MARK).exists():
        return None
    target = root / FOLDER / f"{identity}.json"
    document = {
        "schema": SCHEMA,
        "id": identity,
        "started_at": at,
        "device": device,
        "environment": plain(environment),
        "ceilings": table.ceilings.id if table.ceilings else None,
        "table": plain(dataclasses.replace(table, ceilings=None)),
    }
    try:
        with draft_of(target) as draft:
            draft.write_text(json.dumps(document, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise StoreError(
            "the layers cannot be stored",
            values=f"{target}: {error.strerror or error}",
            remedy="choose another --root",
        ) from error
    return target


def layer_files(root: Path) -> tuple[Path, ...]:
    """The files of all tables under a root, oldest first; what else lies there, such as other JSON, is not theirs."""
    return tuple(path for path in sorted((root / FOLDER).glob("*.json")) if _ID.fullmatch(path.stem))


def stored_layers(root: Path, *, warn: Callable[[str], None] = lambda _: None) -> tuple[StoredLayers, ...]:
    """All tables under a root, oldest first, with their ceilings; a damaged file is named in a warning and left out."""
    known = {one.id: one for one in stored_ceilings(root, warn=warn)}
    found = []
    for path in layer_files(root):
        stored = read_layers(path, warn=warn)
        if stored is not None:
            table = dataclasses.replace(stored.table, ceilings=known.get(stored.ceilings or ""))
            found.append(dataclasses.replace(stored, table=table))
    return tuple(found)


def read_layers(path: Path, *, warn: Callable[[str], None] = lambda _: None) -> StoredLayers | None:
    """The table in a file, without its ceilings; None, and a warning that names it, where it cannot be read."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(document, dict) or document.get("schema") != SCHEMA:
            raise StoreError(f"it is not a {SCHEMA}")
        return value_from_plain(StoredLayers, document, origin=str(path))
    except (OSError, ValueError, StoreError) as error:
        reason = error.what if isinstance(error, StoreError) else str(error).splitlines()[0]
        warn(f"warning: skipped: the layers {path} cannot be read: {reason}")
        return None
