"""How is a record of an older version lifted to this one?

Each entry of ``STEPS`` turns a document of one version into the next; a test reads a golden file of every old version.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from benchbox.errors import StoreError
from benchbox.schema.record import RECORD_SCHEMA

Document = dict[str, Any]

STEPS: Mapping[str, Callable[[Document], Document]] = {}


def lifted(document: Mapping[str, Any], *, origin: str) -> Document:
    """A copy of the document in this version's form.

    Raises:
        StoreError: it is no record, or was written by a newer benchbox.
    """
    current = dict(document)
    while (version := current.get("schema")) != RECORD_SCHEMA:
        step = STEPS.get(str(version))
        if step is None:
            raise StoreError(
                f"{origin} has a version that this benchbox does not know",
                values=f"schema {version!r}, known: {', '.join([*STEPS, RECORD_SCHEMA])}",
                remedy="it may have been written by a newer benchbox: upgrade",
            )
        current = step(current)
    return current
