"""Which form has the JSON of "benchbox gate --json"? Writes docs/schemas/: ``python docs/write_schemas.py``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from benchbox.gate.formats.document import SCHEMA
from benchbox.gate.night import Acknowledgement, Coverage, Finding, Group, NewEnvironment, References, Standing
from benchbox.gate.selftest import Trust

PAGE = Path(__file__).parent / "schemas" / "benchbox.gate-1.json"
_DEFS = "#/$defs/"


def gate_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of ``benchbox.gate/1``."""
    kinds = (Finding, Group, Coverage, NewEnvironment, Acknowledgement, References, Trust)
    definitions: dict[str, Any] = {}
    for kind in kinds:
        schema = TypeAdapter(kind).json_schema(ref_template=_DEFS + "{model}")
        definitions |= schema.pop("$defs", {})
        definitions[kind.__name__] = schema
    finding, verdict = definitions.pop("Finding"), definitions.pop("Verdict")
    fields = {**verdict["properties"], **finding["properties"], "alarm": {"type": "boolean"}}
    fields = {"key": fields.pop("case"), "base_key": fields.pop("base_case"), **fields}
    del fields["verdict"]
    definitions["Row"] = _object(fields)
    standing = {"type": "string", "enum": [one.value for one in Standing]}
    definitions["Acknowledgement"]["properties"] |= {"standing": standing, "days": {"type": "integer"}}
    for name, schema in definitions.items():
        if schema.get("type") == "object":
            definitions[name] = _object(schema["properties"])
    text, count = {"type": "string"}, {"type": "integer"}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": SCHEMA,
        **_object(
            {
                "schema": {"const": SCHEMA},
                "night": text,
                "verdicts": _list_of("Row"),
                "groups": _list_of("Group"),
                "coverage": {"$ref": _DEFS + "Coverage"},
                "environments": _list_of("NewEnvironment"),
                "outcome": {"$ref": _DEFS + "Outcome"},
                "machines": {"type": "array", "items": text},
                "references": {"$ref": _DEFS + "References"},
                "selftest": {"$ref": _DEFS + "Trust"},
                "acknowledged": _list_of("Acknowledgement"),
                "accepted_alarms": _object({"accepted": count, "false": count}),
                "policy_sha256": text,
                "rule": text,
                "unreadable": {"type": "array", "items": text},
                "reasons": {"type": "array", "items": _object({"exit": count, "text": text})},
                "exit": count,
            }
        ),
        "$defs": {name: _without_defaults(definitions[name]) for name in sorted(definitions)},
    }


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    """All fields are there, and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _list_of(name: str) -> dict[str, Any]:
    return {"type": "array", "items": {"$ref": _DEFS + name}}


def _without_defaults(schema: Any) -> Any:
    """Nothing is left out of the document, so that defaults mean nothing."""
    if isinstance(schema, dict):
        return {key: _without_defaults(value) for key, value in schema.items() if key not in {"default", "description"}}
    return [_without_defaults(entry) for entry in schema] if isinstance(schema, list) else schema


if __name__ == "__main__":
    PAGE.write_text(json.dumps(gate_schema(), indent=2) + "\n", encoding="utf-8")
