"""How is a definition shown?"""

from __future__ import annotations

from collections.abc import Sequence

from benchbox.report.definitions import Definition
from benchbox.report.screen import folded


def render_definitions(found: Sequence[Definition], *, width: int) -> str:
    """The definitions one below the other, folded to a number of characters."""
    return "\n\n".join(_block(each, width) for each in found)


def document_from_definitions(found: Sequence[Definition]) -> dict[str, object]:
    """The JSON document ``benchbox.explain/1``."""
    return {
        "schema": "benchbox.explain/1",
        "definitions": [
            {"names": list(each.names), "kind": each.kind, "facts": dict(each.facts), "place": each.place}
            for each in found
        ],
    }


def _block(definition: Definition, width: int) -> str:
    titles = [title for title, _ in definition.facts]
    indent = max(map(len, titles), default=0) + 4
    lines = folded(f"{', '.join(definition.names)} ({definition.kind})", width, indent="  ")
    for title, text in definition.facts:
        lines += folded(text, width, first=f"  {title:<{indent - 2}}", indent=" " * indent)
    return "\n".join([*lines, f"  see {definition.place}"])
