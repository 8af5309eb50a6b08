"""What was measured again, base and head in turn, because a night had flagged it?

``results/remeasured/<night>/<case>.json``: one file per case, which the judge reads beside the records. It holds values
of processes, so that the verdict is a function of what is stored; where a case could not be measured again it holds the
reason. A *bridge* is such a measurement between two environments: by its ratio the levels of the old one are carried
over to the new one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchbox.errors import StoreError
from benchbox.gate.night import LayerShift
from benchbox.stats.again import MOST_ROUNDS, Decision, Round, decide
from benchbox.store.atomic import write_text
from benchbox.store.documents import json_text, value_from_plain

SCHEMA = "benchbox.remeasured/1"
FOLDER = Path("results") / "remeasured"
BRIDGE = "bridge"
_DIGITS = 12


@dataclass(frozen=True, kw_only=True)
class Remeasured:
    """One metric of a case, measured again in a night.

    ``reference`` is what had flagged it: "rolling", "anchor", or "bridge". ``flagged`` is how many rows of the night
    were, which share the chance of a false alarm. ``base`` and ``head`` are the ids of the records whose networks were
    measured, ``environments`` the hashes of both sides, ``layers`` those that changed most, of a case that was
    confirmed. ``obstacle`` says why nothing was measured, "" where it was.
    """

    night: str
    name: str
    metric: str
    reference: str
    flagged: int
    base: str = ""
    head: str = ""
    environments: tuple[str, str] = ("", "")
    rounds: tuple[Round, ...] = ()
    obstacle: str = ""
    layers: tuple[LayerShift, ...] = ()

    def decision(
        self,
        *,
        effect: float,
        alpha: float,
        most: int = MOST_ROUNDS,
        floor: float = 0.0,
        higher_is_worse: bool = True,
    ) -> Decision | None:
        """What the rounds say, None without any.

        ``alpha`` is the chance that noise has with all that a night flagged, ``most`` how many rounds there may be.
        """
        if not self.rounds:
            return None
        return decide(
            self.rounds,
            effect=effect,
            chance=alpha / max(1, self.flagged),
            most=most,
            floor=floor,
            higher_is_worse=higher_is_worse,
        )


@dataclass(frozen=True)
class Again:
    """Everything that was measured again, by case, metric and reference, then by night."""

    entries: Mapping[tuple[str, str, str], Mapping[str, Remeasured]] = field(default_factory=dict)

    def of(self, name: str, metric: str, reference: str) -> Mapping[str, Remeasured]:
        """By night."""
        return self.entries.get((name, metric, reference), {})

    def bridged(self, name: str, metric: str, before: str, after: str) -> float | None:
        """The ratio of the level in one environment to that in another, None where nobody measured it."""
        for entry in reversed(tuple(self.of(name, metric, BRIDGE).values())):
            decision = entry.decision(effect=1.0, alpha=0.5)
            if decision is not None and entry.environments == (before, after):
                return decision.ratio
        return None


def again_of(found: Iterable[Remeasured]) -> Again:
    """The entries by what they are of; of two of one night the later one counts."""
    entries: dict[tuple[str, str, str], dict[str, Remeasured]] = {}
    for entry in found:
        entries.setdefault((entry.name, entry.metric, entry.reference), {})[entry.night] = entry
    return Again({key: dict(sorted(nights.items())) for key, nights in entries.items()})


def read_remeasured(root: Path) -> Again:
    """What is stored under a root.

    Raises:
        StoreError: a file is damaged or of another version; it is named.
    """
    found: list[Remeasured] = []
    for path in sorted((root / FOLDER).glob("*/*.json")):
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise StoreError(f"{path} cannot be read", values=str(error), remedy=_REMEDY) from error
        if not isinstance(document, dict) or document.get("schema") != SCHEMA:
            raise StoreError(f"{path} has another version", values=f"expected {SCHEMA!r}", remedy=_REMEDY)
        found += value_from_plain(tuple[Remeasured, ...], document.get("entries"), origin=str(path))
    return again_of(found)


_REMEDY = "restore it from a copy, or delete it: 'benchbox gate --confirm' measures again"


def write_remeasured(root: Path, night: str, name: str, entries: Sequence[Remeasured]) -> Path:
    """Writes what was measured again of one case in a night, in place of what was there; raises StoreError."""
    path = root / FOLDER / night / f"{hashlib.sha256(name.encode()).hexdigest()[:_DIGITS]}.json"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json_text({"schema": SCHEMA, "entries": list(entries)}) + "\n")
    except OSError as error:
        raise StoreError("what was measured again cannot be written", values=f"{path}: {error.strerror}") from error
    return path
