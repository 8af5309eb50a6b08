"""What does a name in a table, a record or a flag mean?

The definitions are the tables of docs/metrics.md and docs/records.md, so that readers of the pages and users of
``benchbox explain`` get one text. An installed package carries copies of the pages beside this file; in a checkout the
pages themselves are read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchbox.errors import StoreError

PAGES = ("metrics.md", "records.md")
_COPIES = Path(__file__).with_name("pages")
_CHECKOUT = Path(__file__).parents[2] / "docs"
# In the pages the last part of these names is a word in capitals: trtexec_latency_STATISTIC.
_PLACEHOLDER = re.compile(r"[A-Z]{4,}$")


@dataclass(frozen=True, kw_only=True)
class Definition:
    """One row of a table of the pages.

    ``names`` are those that it defines, as written there; ``facts`` its other cells under the table's titles, without
    Markdown; ``kind`` the title of the first column ("metric", "flag", "counter"); ``place`` the page and its section.
    """

    names: tuple[str, ...]
    kind: str
    facts: tuple[tuple[str, str], ...]
    place: str

    def defines(self, name: str) -> bool:
        """Whether a name is among the row's, capitals or not."""
        return any(_matches(known, name) for known in self.names)


def definitions() -> tuple[Definition, ...]:
    """Every definition of the pages, in their order; raises StoreError where the installation lacks a page."""
    return tuple(found for page in PAGES for found in _rows(page, _text(page)))


def definitions_of(name: str) -> tuple[Definition, ...]:
    """The definitions of a name; none for an unknown one. A column's title may be written with blanks."""
    name = re.sub(r" \(.*\)$", "", name.strip()).replace(" ", "_")
    return tuple(each for each in definitions() if each.defines(name))


def known_names() -> tuple[str, ...]:
    """Every name that has a definition, in the order of the pages, each once."""
    return tuple(dict.fromkeys(name for each in definitions() for name in each.names))


def _text(page: str) -> str:
    for folder in (_COPIES, _CHECKOUT):
        try:
            return (folder / page).read_text(encoding="utf-8")
        except OSError:
            continue
    raise StoreError(
        "the definitions are missing",
        values=f"no {page} in {_COPIES} or {_CHECKOUT}",
        remedy="install benchbox again, from its checkout",
    )


def _rows(page: str, text: str) -> Iterator[Definition]:
    """Rows of tables whose first cell is made of names in backticks."""
    section = ""
    titles: list[str] = []
    for line in text.splitlines():
        if line.startswith("#"):
            section = line.lstrip("# ")
        if not line.startswith("|"):
            titles = []
            continue
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if not titles:
            titles = [_plain(cell) for cell in cells]
            continue
        marked = re.findall(r"`([^`]+)`", re.sub(r"\(.*?\)", "", cells[0]))
        names = tuple(text.split()[0] for text in marked if not text.startswith(("-", " ")))
        if names and len(cells) == len(titles):
            facts = tuple((title, _plain(cell)) for title, cell in zip(titles, cells, strict=True))[1:]
            yield Definition(
                names=names,
                kind=titles[0],
                facts=tuple((title, cell) for title, cell in facts if cell not in ("", "—")),
                place=f"docs/{page}, {section}",
            )


def _plain(cell: str) -> str:
    """A cell without Markdown: emphasis, code marks and the targets of links are left out."""
    cell = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", cell)
    return cell.replace("`", "").replace("**", "").replace("\\|", "|").replace("*", "")


def _matches(known: str, name: str) -> bool:
    if _PLACEHOLDER.search(known) and "_" in known and known != known.upper():
        start = _PLACEHOLDER.sub("", known)
        return name.lower().startswith(start.lower()) and len(name) > len(start)
    return known.lower() == name.lower()
