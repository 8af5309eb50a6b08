"""Where in a TOML text is what is wrong, and what was probably meant?"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from benchbox.registry import suggestion


def problem_text(entry: Any, text: str, *, tables: Mapping[str, type[BaseModel]], whole: type[BaseModel]) -> str:
    """One of pydantic's errors as "line 4: gate.rule.1.effect: Input should be less than 1".

    Args:
        entry: of ``ValidationError.errors()``.
        text: of the file.
        tables: what may stand in a table, by its name; for a key that is not known.
        whole: what may stand in all others.
    """
    place: Sequence[str | int] = [part for part in entry["loc"] if part not in {"str", "list[str]", "float"}]
    name = ".".join(str(part + 1 if isinstance(part, int) else part) for part in place)
    message = entry["msg"].removeprefix("Value error, ")
    if entry["type"] == "extra_forbidden":
        message = f"there is no such key{_nearest(place, tables, whole)}"
    return f"line {line_of(place, text)}: {name}: {message}"


def _nearest(place: Sequence[str | int], tables: Mapping[str, type[BaseModel]], whole: type[BaseModel]) -> str:
    owners = (tables[part] for part in reversed(place[:-1]) if isinstance(part, str) and part in tables)
    known = next(owners, whole).model_fields
    near = suggestion(str(place[-1]), known)
    return f", {near}" if near else f" (known: {', '.join(known)})"


def line_of(place: Sequence[str | int], text: str) -> int:
    """The line of a TOML text at which a key is set, or that of the nearest table around it."""
    best, table, counts = (0, 1), tuple[str | int, ...](), dict[str, int]()
    wanted = tuple(place)
    for number, line in enumerate(text.splitlines(), start=1):
        bare = line.strip()
        if header := re.match(r"\[\[?\s*([^\[\]]+?)\s*\]\]?", bare):
            names = tuple(part.strip(" \"'") for part in header[1].split("."))
            if bare.startswith("[["):
                counts[header[1]] = counts.get(header[1], -1) + 1
                table = (*names, counts[header[1]])
            else:
                table = names
            here: tuple[str | int, ...] = table
        elif key := re.match(r"([A-Za-z0-9_\-.\"']+)\s*=", bare):
            here = (*table, *(part.strip("\"'") for part in key[1].split(".")))
        else:
            continue
        if wanted[: len(here)] == here and len(here) > best[0]:
            best = (len(here), number)
    return best[1]
