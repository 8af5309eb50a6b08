"""What do records and artifacts look like as JSON, and how does JSON become a record again?

The documents are the contract with everything outside: numbers unrounded, base SI units, no NaN or infinity (JSON has
neither: null). What is read is validated, all errors at once; fields that this version does not know are ignored.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import typing
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from benchbox.errors import StoreError
from benchbox.schema.artifact import Hop, OnnxArtifact
from benchbox.schema.engine import EngineArtifact
from benchbox.schema.environment import Environment
from benchbox.schema.plan import MeasurementPlan
from benchbox.schema.record import RECORD_SCHEMA, Record
from benchbox.store.migrations import raise_document

if TYPE_CHECKING:
    from pydantic import TypeAdapter

T = TypeVar("T")

ARTIFACT_SCHEMA = "benchbox.artifact/2"
ENGINE_SCHEMA = "benchbox.engine/1"
# The ends of a hop are "from" and "to" in JSON; "from" is a keyword of Python.
_OUTSIDE = {"source": "from", "target": "to"}
_INSIDE = {outside: inside for inside, outside in _OUTSIDE.items()}
_ADAPTERS: dict[object, Any] = {}
_HEADLINE = (
    *("id", "status", "reason", "key", "plan", "environment", "started_at", "readings", "flags", "analytic"),
    *("onnx_sha256", "weights_sha256", "engine_sha256"),
)
_OWN = tuple(name for name in _HEADLINE if name != "plan")
# How a document of this version begins: the schema is its first key.
_BEGINNING = f'{{"schema": "{RECORD_SCHEMA}"'.encode()
# Where what many records have in common begins and ends, where what no judgement needs does, what stands instead.
_PLAN, _OBSERVED = b', "plan": {', b', "observed": {'
_CORRECTNESS, _NETWORK = b', "correctness": {', b', "onnx_sha256": '
_NO_ENVIRONMENT = b', "environment": {"hash": "", "hardware": {}, "software": {}'
_OF_HOPS = frozenset({"from", "to", "cosine"})


def plain(value: Any) -> Any:
    """Dataclasses, enums, paths and tuples as dicts, strings and lists; a non-finite number as None."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = _OUTSIDE if isinstance(value, Hop) else {}
        return {
            names.get(field.name, field.name): plain(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, tuple | list | frozenset):
        return [plain(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def json_text(document: object) -> str:
    """The text of a JSON document, or of values that ``plain`` makes one of."""
    return json.dumps(plain(document), indent=2, ensure_ascii=False, allow_nan=False)


def value_from_plain(kind: type[T], value: object, *, origin: str) -> T:
    """The value of a type that ``plain`` turned into JSON; a damaged one raises StoreError that names ``origin``."""
    import pydantic

    try:
        return _adapter(kind).validate_python(_inside(value))
    except pydantic.ValidationError as error:
        problems = [f"{'.'.join(map(str, entry['loc']))}: {entry['msg']}" for entry in error.errors()]
        raise StoreError(
            f"{origin} cannot be read",
            values="\n".join(problems[:20]),
            remedy="it was damaged or edited; restore it or delete it",
        ) from error


def _adapter(kind: type[T]) -> TypeAdapter[T]:
    """The validator of a type, made once: that takes far longer than to validate a record."""
    import pydantic

    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = pydantic.TypeAdapter(kind)
    found: TypeAdapter[T] = _ADAPTERS[kind]
    return found


def document_from_record(record: Record) -> dict[str, Any]:
    """A record as a JSON-ready dict (kind ``benchbox.record/4``)."""
    document = cast(dict[str, Any], plain(record))
    if not document["key"]["variant"]:
        del document["key"]["variant"]  # most records have none
    if not document["builds"]:
        del document["builds"]
    for part, name in (("readings", "method"), ("flags", "metrics"), ("flags", "size")):
        document[part] = [
            {key: value for key, value in entry.items() if key != name or value not in (None, "", [])}
            for entry in document[part]
        ]
    return {"schema": RECORD_SCHEMA, **document}


def record_from_document(document: Mapping[str, Any], *, origin: str = "a record") -> Record:
    """The record in a document of this or an older version.

    Args:
        document: what ``document_from_record`` made, now or long ago.
        origin: where it came from, for the message of the StoreError that a damaged or newer one raises.
    """
    raised = raise_document(document, origin=origin)
    return value_from_plain(Record, {key: value for key, value in raised.items() if key != "schema"}, origin=origin)


def headline_from_json(text: bytes, *, origin: object) -> Record:
    """As ``record_from_document``, with the fields of a judgement only; the others are empty, and not looked at.

    Args:
        text: the JSON of a document.
        origin: as there, as text.
    """
    if text.startswith(_BEGINNING):  # nothing to raise: what is left out never becomes a value of Python
        try:
            return _skimmed(text)
        except ValueError:
            pass  # what follows names all that is wrong
    whole = record_from_document(json.loads(text), origin=str(origin))
    return Record(**{name: getattr(whole, name) for name in _HEADLINE})


def _skimmed(text: bytes) -> Record:
    """The headline in a document as this version writes it; raises ValueError for any other.

    Plan and environment, but for what was observed, are those of many records: they are validated once. Their ends, and
    those of what no judgement needs, are found by keys with the braces that follow, which no string of JSON holds: its
    quotes are escaped.
    """
    begin = text.find(_PLAN)
    end = text.find(_OBSERVED, begin)
    skip = text.find(_CORRECTNESS, end)
    rest = text.rfind(_NETWORK)
    if not 0 < begin < end < skip < rest:
        raise ValueError("not in the order of this version")
    own = b"".join((text[:begin], _NO_ENVIRONMENT, text[end:skip], text[rest:]))
    found = vars(_validator_of_headlines().validate_json(own, strict=True))  # strictly takes less time
    plan, shared = _plan_and_environment(text[begin:end])
    environment = object.__new__(Environment)
    vars(environment).update(vars(shared), observed=found["environment"].observed)
    # Filled as pydantic fills a dataclass: its constructor, field by field, takes as long as half of the JSON.
    record = object.__new__(Record)
    vars(record).update(_blank(), **found)
    vars(record).update(plan=plan, environment=environment)
    return record


@functools.lru_cache(maxsize=1024)
def _plan_and_environment(part: bytes) -> tuple[MeasurementPlan, Environment]:
    """The plan and the environment in a part of a document, from the comma before the one to within the other."""
    found = _validator_of(("plan", "environment")).validate_json(b"{" + part[2:] + b"}}", strict=True)
    return found.plan, found.environment


@functools.cache
def _blank() -> dict[str, Any]:
    """The fields that a headline has not, as they are where nothing is known."""
    found: dict[str, Any] = {}
    for field in dataclasses.fields(Record):
        if field.name not in _HEADLINE:
            made = field.default_factory
            found[field.name] = field.default if made is dataclasses.MISSING else made()
    return found


def _validator_of_headlines() -> Any:
    """The validator of a record's headline without its plan."""
    return _validator_of(_OWN)


@functools.cache
def _validator_of(names: tuple[str, ...]) -> Any:
    """The validator of some fields of a record. None of those in a headline holds hops, whose names differ in JSON."""
    import pydantic

    known = {field.name: field for field in dataclasses.fields(Record)}
    types = typing.get_type_hints(Record)
    wanted = [
        (name, types[name])
        if known[name].default is dataclasses.MISSING
        else (name, types[name], dataclasses.field(default=known[name].default))
        for name in names
    ]
    return pydantic.TypeAdapter(dataclasses.make_dataclass("Headline", wanted, kw_only=True)).validator


def document_from_artifact(artifact: OnnxArtifact) -> dict[str, Any]:
    """An ONNX artifact as a JSON-ready dict (kind ``benchbox.artifact/2``)."""
    return {"schema": ARTIFACT_SCHEMA, **plain(artifact)}


def artifact_from_document(document: Mapping[str, Any], *, origin: str) -> OnnxArtifact:
    """The artifact in a document; a damaged one raises StoreError that names ``origin``."""
    return value_from_plain(OnnxArtifact, _of_schema(document, ARTIFACT_SCHEMA, origin), origin=origin)


def document_from_engine(engine: EngineArtifact) -> dict[str, Any]:
    """An engine's artifact as a JSON-ready dict (kind ``benchbox.engine/1``)."""
    return {"schema": ENGINE_SCHEMA, **plain(engine)}


def engine_from_document(document: Mapping[str, Any], *, origin: str) -> EngineArtifact:
    """The engine's artifact in a document; a damaged one raises StoreError that names ``origin``."""
    return value_from_plain(EngineArtifact, _of_schema(document, ENGINE_SCHEMA, origin), origin=origin)


def _of_schema(document: Mapping[str, Any], schema: str, origin: str) -> dict[str, Any]:
    """The document without its schema, which must be this one."""
    if document.get("schema") != schema:
        raise StoreError(
            f"{origin} has another version", values=f"schema {document.get('schema')!r}, expected {schema!r}"
        )
    return {key: value for key, value in document.items() if key != "schema"}


def _inside(value: object) -> object:
    """JSON with the field names of Python: of hops, whose errors were infinite where JSON has null."""
    if isinstance(value, list):
        return [_inside(entry) for entry in value]
    if not isinstance(value, Mapping):
        return value
    inside = {key: _inside(entry) for key, entry in value.items()}
    if value.keys() >= _OF_HOPS:
        inside = {_INSIDE.get(key, key): entry for key, entry in inside.items()}
        for name in ("max_abs_error", "rel_l2_error"):
            if inside.get(name, 0) is None:
                inside[name] = math.inf
    return inside
