"""How is a definition shown?"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from benchbox.report.definitions import Definition


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
    heading = textwrap.fill(f"{', '.join(definition.names)} ({definition.kind})", width, subsequent_indent="  ")
    lines = [
        textwrap.fill(
            text,
            width,
            initial_indent=f"  {title:<{indent - 2}}",
            subsequent_indent=" " * indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
        for title, text in definition.facts
    ]
    return "\n".join([heading, *lines, f"  see {definition.place}"])
