"""What is the JSON of an answer?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from benchbox.choose.choosing import Choice, Undecided
from benchbox.choose.limits import Limit
from benchbox.choose.standing import Judged
from benchbox.choose.unmeasured import Unmeasured
from benchbox.store.documents import plain

SCHEMA = "benchbox.choose/1"


def document_from_choices(
    choices: Sequence[Choice], limits: Sequence[Limit], *, command_of: Callable[[Undecided], str]
) -> dict[str, Any]:
    """One document: the newest facet's answer at the top, all of them under ``facets``."""
    facets = [_facet(choice, command_of) for choice in choices]
    empty: dict[str, Any] = {
        "answer": None,
        "runners_up": [],
        "front": [],
        "undecided": [],
        "misses": [],
        "commands": [],
    }
    first = facets[0] if facets else empty
    return {
        "schema": SCHEMA,
        "limits": [_limit(limit) for limit in limits],
        **{name: first[name] for name in empty},
        "facets": facets,
    }


def _facet(choice: Choice, command_of: Callable[[Undecided], str]) -> dict[str, Any]:
    return {
        "facet": list(choice.facet),
        "objective": choice.request.objective.name,
        "confidence": choice.request.confidence,
        "answer": _judged(choice.answer) if choice.answer else None,
        "runners_up": [_judged(entry) for entry in choice.runners_up],
        "front": [
            {
                "case": member.candidate.name,
                "record": member.candidate.record.id,
                "probability": member.probability,
                **{name: member.candidate.amounts[name].value for name in choice.front_qualities},
            }
            for member in choice.front
        ],
        "front_qualities": list(choice.front_qualities),
        "undecided": [
            {
                **_judged(entry.judged),
                "trials": entry.trials,
                "passes": entry.passes,
                "pictures": entry.pictures,
                "command": command_of(entry),
            }
            for entry in choice.undecided
        ],
        "misses": [_judged(entry) for entry in choice.misses],
        "unknown": [{**_judged(entry.judged), "command": command_of(entry)} for entry in choice.unknown],
        "unmeasured": [_unmeasured(entry) for entry in choice.unmeasured],
        "counts": {"considered": choice.considered, "feasible": choice.feasible, "excluded": dict(choice.excluded)},
        "commands": [command_of(entry) for entry in (*choice.undecided, *choice.unknown) if entry.is_open],
    }


def _unmeasured(entry: Unmeasured) -> dict[str, Any]:
    return {
        "case": entry.name,
        "key": plain(entry.like.key),
        "latency_at_least_s": entry.latency_s,
        "cannot_meet": [
            {"quality": bounded.limit.quality.name, "limit": bounded.limit.value, "best": bounded.best}
            for bounded in entry.broken
        ],
    }


def _limit(limit: Limit) -> dict[str, Any]:
    return {
        "quality": limit.quality.name,
        "sign": limit.sign,
        "text": limit.text,
        "value": limit.value,
        "unit": limit.quality.unit,
    }


def _judged(judged: Judged) -> dict[str, Any]:
    record = judged.candidate.record
    return {
        "case": judged.candidate.name,
        "key": plain(record.key),
        "record": record.id,
        "records": [entry.id for entry in judged.candidate.records],
        "standing": judged.standing.value,
        "probability": judged.chance,
        "flags": list(dict.fromkeys(flag.code for flag in judged.candidate.flags)),
        "onnx_sha256": record.onnx_sha256,
        "engine_sha256": record.engine_sha256,
        "values": {
            name: {"value": amount.value, "source": amount.source} for name, amount in judged.candidate.amounts.items()
        },
        "checks": [
            {
                "quality": check.limit.quality.name,
                "standing": check.standing.value,
                "value": check.amount.value if check.amount else None,
                "bound": check.bound,
                "limit": check.limit.value,
                "excess": check.excess if check.amount else None,
            }
            for check in judged.checks
        ],
    }
