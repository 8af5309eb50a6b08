"""How is a record of an older version raised to this one?

Each entry of ``STEPS`` turns the document, and each row of raw samples, of one version into the next; tests read golden
files of every old version.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from benchbox.errors import StoreError
from benchbox.schema.record import RECORD_SCHEMA

Document = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Step:
    """From one version to the next: of the record's document, and of one trial's row."""

    document: Callable[[Document], Document]
    row: Callable[[Document], Document]


_PROBES = {f"reference_{kind}": f"probe_{kind}" for kind in ("arithmetic", "handover")}
_PROBE_COUNTERS = {f"{old}_{when}_s": f"{new}_{when}_s" for old, new in _PROBES.items() for when in ("before", "after")}
_COLUMNS = {"purpose": "pass", "load": "loadgen"}
_FLAGS = {"PRECISION_MISS": "WIDE_INTERVAL", "BETWEEN_PROC": "PROCESSES_DIFFER"}
_TYPES = {"untold": "unreported"}


def _document_2(document: Document) -> Document:
    """Probes were called references, work without a reported type untold; the tool imitated was part of the variant."""
    raised = {**document, "schema": "benchbox.record/2"}
    raised["readings"] = [
        {**reading, "metric": _PROBES.get(reading["metric"], reading["metric"])} for reading in document["readings"]
    ]
    raised["flags"] = [
        {**flag, "metrics": [_PROBES.get(name, name) for name in flag["metrics"]]} if flag.get("metrics") else flag
        for flag in document["flags"]
    ]
    if proof := document.get("proof"):
        raised["proof"] = {
            **proof,
            **{name: _renamed(proof[name], _TYPES) for name in ("macs", "bytes")},
            "layers": [{**layer, "type": _TYPES.get(layer["type"], layer["type"])} for layer in proof["layers"]],
        }
    key, like = document["key"], document["plan"].get("like", "")
    if like and key.get("variant"):
        raised["key"] = {**key, "variant": key["variant"].removesuffix(f"like {like}").strip()}
    return raised


def _row_2(row: Document) -> Document:
    raised = _renamed(row, _COLUMNS)
    if raised.get("counters"):
        raised["counters"] = json.dumps(_renamed(json.loads(raised["counters"]), _PROBE_COUNTERS))
    return raised


def _document_3(document: Document) -> Document:
    """Weights beside an ONNX file were no part of its network: which they were is not known."""
    return {**document, "schema": "benchbox.record/3"}


def _document_4(document: Document) -> Document:
    """Flags that only say how wide an interval is, or how processes vary, had names that read as something else."""
    flags = [{**flag, "code": _FLAGS.get(flag["code"], flag["code"])} for flag in document["flags"]]
    return {**document, "schema": "benchbox.record/4", "flags": flags}


def _renamed(entries: Mapping[str, Any], names: Mapping[str, str]) -> Document:
    return {names.get(key, key): value for key, value in entries.items()}


STEPS: Mapping[str, Step] = {
    "benchbox.record/1": Step(document=_document_2, row=_row_2),
    "benchbox.record/2": Step(document=_document_3, row=dict),
    "benchbox.record/3": Step(document=_document_4, row=dict),
}


def raise_document(document: Mapping[str, Any], *, origin: str) -> Document:
    """A copy of a record's document in this version's form.

    Raises:
        StoreError: it is no record, is damaged, or was written by a newer benchbox.
    """
    current = dict(document)
    for step in _steps_from(document.get("schema"), origin):
        try:
            current = step.document(current)
        except (KeyError, TypeError, AttributeError) as error:
            raise StoreError(
                f"{origin} cannot be read",
                values=f"schema {document['schema']}: {type(error).__name__} {error}",
                remedy="it was damaged or edited; restore it or delete it",
            ) from error
    return current


def raise_row(row: Mapping[str, Any], *, schema: object, origin: str) -> Document:
    """A copy of a trial's row in this version's form; ``schema`` is that of the record beside it. Raises as above."""
    current = dict(row)
    for step in _steps_from(schema, origin):
        current = step.row(current)
    return current


def _steps_from(schema: object, origin: str) -> list[Step]:
    steps: list[Step] = []
    for version, step in STEPS.items():
        if steps or version == schema:
            steps.append(step)
    if not steps and schema != RECORD_SCHEMA:
        raise StoreError(
            f"{origin} has an unknown version",
            values=f"schema {schema!r}, known: {', '.join([*STEPS, RECORD_SCHEMA])}",
            remedy="it may have been written by a newer benchbox: upgrade",
        )
    return steps
