"""What do records and artifacts look like as JSON, and how does JSON become a record again?

The documents are the contract with everything outside: numbers unrounded, base SI units, no NaN or infinity (JSON has
neither). What comes back in is validated, all errors at once; fields that this version does not know are ignored.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar, cast

from benchbox.errors import StoreError
from benchbox.schema.accuracy import AccuracyResult
from benchbox.schema.artifact import OnnxArtifact
from benchbox.schema.bisection import Bisection
from benchbox.schema.energy import EnergyRun
from benchbox.schema.engine import EngineArtifact
from benchbox.schema.loadgen import LoadgenRun
from benchbox.schema.record import RECORD_SCHEMA, Record
from benchbox.schema.trial import OutputsSeen
from benchbox.store.migrations import lifted

if TYPE_CHECKING:
    from pydantic import TypeAdapter

T = TypeVar("T")

ARTIFACT_SCHEMA = "benchbox.artifact/1"
ENGINE_SCHEMA = "benchbox.engine/1"
# A hop says from and to outside; inside, "from" is a keyword.
_OUTSIDE = {"source": "from", "target": "to"}
_INSIDE = {outside: inside for inside, outside in _OUTSIDE.items()}


def document_from_record(record: Record) -> dict[str, Any]:
    """A record as a JSON-ready dict (kind ``benchbox.record/1``)."""
    document = cast(dict[str, Any], _plain(record))
    document["correctness"]["hops"] = [_renamed(hop, _OUTSIDE) for hop in document["correctness"]["hops"]]
    if not document["key"]["variant"]:
        del document["key"]["variant"]  # most records have none, and older ones never
    if not document["builds"]:
        del document["builds"]
    for part, name in (("readings", "method"), ("flags", "metrics")):
        document[part] = [
            {key: value for key, value in entry.items() if key != name or value} for entry in document[part]
        ]
    return {"schema": RECORD_SCHEMA, **document}


def record_from_document(document: Mapping[str, Any], *, origin: str = "a record") -> Record:
    """The record in a document of this or an older version.

    Args:
        document: what ``document_from_record`` made, now or long ago.
        origin: where it came from, for the message of the StoreError that a damaged or newer one raises.
    """
    inside = lifted(document, origin=origin)
    inside.pop("schema", None)
    correctness = dict(inside.get("correctness") or {})
    correctness["hops"] = [_hop_inside(hop) for hop in correctness.get("hops", ())]
    return _validated(Record, {**inside, "correctness": correctness}, origin)


def document_from_artifact(artifact: OnnxArtifact) -> dict[str, Any]:
    """An ONNX artifact as a JSON-ready dict (kind ``benchbox.artifact/1``)."""
    document = cast(dict[str, Any], _plain(artifact))
    document["hops"] = [_renamed(hop, _OUTSIDE) for hop in document["hops"]]
    return {"schema": ARTIFACT_SCHEMA, **document}


def artifact_from_document(document: Mapping[str, Any], *, origin: str) -> OnnxArtifact:
    """The artifact in a document; a damaged one raises StoreError that names ``origin``."""
    inside = dict(document)
    if inside.pop("schema", None) != ARTIFACT_SCHEMA:
        raise StoreError(f"{origin} is no artifact of this version", values=f"want schema {ARTIFACT_SCHEMA}")
    inside["hops"] = [_hop_inside(hop) for hop in inside.get("hops", ())]
    return _validated(OnnxArtifact, inside, origin)


def document_from_accuracy(result: AccuracyResult) -> dict[str, Any]:
    """Top-1 and top-5 of one network as a JSON-ready dict."""
    return cast(dict[str, Any], _plain(result))


def document_from_bisection(found: Bisection) -> dict[str, Any]:
    """The layers that lose most and the exclude list as a JSON-ready dict."""
    document = cast(dict[str, Any], _plain(found))
    return document | {name: _renamed(document[name], _OUTSIDE) for name in ("before", "restored")}


def document_from_energy(run: EnergyRun) -> dict[str, Any]:
    """What an energy pass counted, as a JSON-ready dict."""
    return cast(dict[str, Any], _plain(run))


def energy_from_document(document: Mapping[str, Any], *, origin: str) -> EnergyRun:
    """The counts in a document; damaged ones raise StoreError that names ``origin``."""
    return _validated(EnergyRun, document, origin)


def document_from_outputs(seen: OutputsSeen) -> dict[str, Any]:
    """What a timed process saw of its outputs, as a JSON-ready dict."""
    document = cast(dict[str, Any], _plain(seen))
    return document | {
        name: _renamed(document[name], _OUTSIDE) for name in ("change", "reference") if document[name] is not None
    }


def outputs_from_document(document: Mapping[str, Any], *, origin: str) -> OutputsSeen:
    """What the document tells of outputs; a damaged one raises StoreError that names ``origin``."""
    inside = {name: _hop_inside(value) if isinstance(value, Mapping) else value for name, value in document.items()}
    return _validated(OutputsSeen, inside, origin)


def document_from_loadgen(run: LoadgenRun) -> dict[str, Any]:
    """What LoadGen said, as a JSON-ready dict."""
    return cast(dict[str, Any], _plain(run))


def loadgen_from_document(document: Mapping[str, Any], *, origin: str) -> LoadgenRun:
    """What LoadGen said in a document; a damaged one raises StoreError that names ``origin``."""
    return _validated(LoadgenRun, document, origin)


def document_from_engine(engine: EngineArtifact) -> dict[str, Any]:
    """An engine's artifact as a JSON-ready dict (kind ``benchbox.engine/1``)."""
    return {"schema": ENGINE_SCHEMA, **cast(dict[str, Any], _plain(engine))}


def engine_from_document(document: Mapping[str, Any], *, origin: str) -> EngineArtifact:
    """The engine's artifact in a document; a damaged one raises StoreError that names ``origin``."""
    inside = dict(document)
    if inside.pop("schema", None) != ENGINE_SCHEMA:
        raise StoreError(f"{origin} is no engine of this version", values=f"want schema {ENGINE_SCHEMA}")
    return _validated(EngineArtifact, inside, origin)


def _plain(value: object) -> object:
    """Dataclasses, enums and tuples as dicts, strings and lists; a non-finite number as None."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _renamed(entry: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(key, key): value for key, value in entry.items()}


def _hop_inside(hop: Mapping[str, Any]) -> dict[str, Any]:
    """A hop with the inside names; an error that JSON could not hold was infinite."""
    inside = _renamed(hop, _INSIDE)
    for name in ("max_abs_error", "rel_l2_error"):
        if inside.get(name, 0) is None:
            inside[name] = math.inf
    return inside


def _validated(kind: type[T], values: Mapping[str, Any], origin: str) -> T:
    import pydantic

    adapter: TypeAdapter[T] = pydantic.TypeAdapter(kind)
    try:
        return adapter.validate_python(dict(values))
    except pydantic.ValidationError as error:
        problems = [f"{'.'.join(map(str, entry['loc']))}: {entry['msg']}" for entry in error.errors()]
        raise StoreError(
            f"{origin} cannot be read",
            values="\n".join(problems[:20]),
            remedy="it was damaged or edited; restore it or delete it",
        ) from error
