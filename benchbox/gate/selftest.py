"""Would the gate have seen a slow-down tonight, and seen none where there is none?

``results/selftest/<night>/<machine>.json``, written on the machine that measures: the verdicts on pairs of equal sides,
and that on a pair whose head was slowed down on purpose, by the rule that confirms what a night has flagged. Where one
of them is wrong nothing else that this night says can be believed.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchbox.errors import StoreError
from benchbox.schema.verdict import Outcome
from benchbox.stats.again import Decision
from benchbox.store.atomic import write_text
from benchbox.store.documents import json_text, value_from_plain

SCHEMA = "benchbox.selftest/1"
FOLDER = Path("results") / "selftest"
NIGHTS = 90


@dataclass(frozen=True, kw_only=True)
class Selftest:
    """One self-test: the case that was measured, and the decisions on its pairs.

    ``effect`` is what mattered, ``injected`` the slow-down of the last pair's head, both as ratios minus 1. ``aa`` are
    the pairs of equal sides.
    """

    night: str
    machine: str
    name: str
    effect: float
    injected: float
    aa: tuple[Decision, ...]
    slowed: Decision

    @property
    def aa_outcome(self) -> Outcome:
        """What was said of equal sides, the worst of all pairs; right is same."""
        if any(pair.worse for pair in self.aa):
            return Outcome.SLOWER
        inside = [1 / (1 + self.effect) <= pair.ratio <= 1 + self.effect for pair in self.aa]
        return Outcome.SAME if all(inside) else Outcome.INCONCLUSIVE

    @property
    def injected_outcome(self) -> Outcome:
        """What was said of the slow-down; right is slower."""
        return Outcome.SLOWER if self.slowed.worse else Outcome.INCONCLUSIVE

    @property
    def believed(self) -> bool:
        """Whether both are right."""
        return self.aa_outcome is Outcome.SAME and self.injected_outcome is Outcome.SLOWER


@dataclass(frozen=True, kw_only=True)
class Trust:
    """What the self-tests say of a night.

    ``aa`` and ``injected`` are the worst outcomes of its machines, "" where there was none. ``believed`` is None where
    no test was made. ``missing`` are machines with records and without a test. ``tests``, ``false_alarms`` and
    ``missed`` count those of the last 90 nights, ``undecided`` those in which equal sides were neither the same nor
    different.
    """

    aa: str = ""
    injected: str = ""
    believed: bool | None = None
    missing: tuple[str, ...] = ()
    tests: int = 0
    false_alarms: int = 0
    undecided: int = 0
    missed: int = 0

    @property
    def word(self) -> str:
        """Of tonight, for a headline."""
        words = {None: "no self-test of the gate", True: "gate self-test passed", False: "gate self-test FAILED"}
        missing = f", not made on {', '.join(self.missing)}" if self.believed and self.missing else ""
        return f"{words[self.believed]}{missing}"

    @property
    def text(self) -> str:
        """How often the tests were wrong, in words."""
        if not self.tests:
            return f"not known: no self-test in the last {NIGHTS} nights (benchbox gate --selftest)"
        undecided = f", {self.undecided} could not tell" if self.undecided else ""
        return (
            f"of {self.tests} self-test{'s' * (self.tests != 1)} in the last {NIGHTS} nights, {self.false_alarms} saw "
            f"a change in equal sides{undecided}, {self.missed} missed the injected one"
        )


def trust_in(night: str, machines: Sequence[str], found: Sequence[Selftest]) -> Trust:
    """What the self-tests say of a night in which these machines measured."""
    first = first_of_last(night)
    recent = [test for test in found if first <= test.night <= night]
    tonight = [test for test in recent if test.night == night]
    wrong = [test for test in tonight if test.aa_outcome is not Outcome.SAME] or tonight
    missed = [test for test in tonight if test.injected_outcome is not Outcome.SLOWER] or tonight
    return Trust(
        aa=wrong[0].aa_outcome.value if wrong else "",
        injected=missed[0].injected_outcome.value if missed else "",
        believed=all(test.believed for test in tonight) if tonight else None,
        missing=tuple(sorted(set(machines) - {test.machine for test in tonight})),
        tests=len(recent),
        false_alarms=sum(test.aa_outcome in {Outcome.FASTER, Outcome.SLOWER} for test in recent),
        undecided=sum(test.aa_outcome is Outcome.INCONCLUSIVE for test in recent),
        missed=sum(test.injected_outcome is not Outcome.SLOWER for test in recent),
    )


def first_of_last(night: str, nights: int = NIGHTS) -> str:
    """The first of so many nights of which a night is the last, "" where there is no night."""
    if not night:
        return ""
    return (datetime.date.fromisoformat(night) - datetime.timedelta(days=nights - 1)).isoformat()


def read_selftests(root: Path) -> tuple[Selftest, ...]:
    """All that are stored, by night; raises StoreError for a damaged file or one of another version."""
    found = []
    for path in sorted((root / FOLDER).glob("*/*.json")):
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise StoreError(f"{path} cannot be read", values=str(error), remedy=_REMEDY) from error
        if not isinstance(document, dict) or document.pop("schema", None) != SCHEMA:
            raise StoreError(f"{path} has another version", values=f"expected {SCHEMA!r}", remedy=_REMEDY)
        if isinstance(document.get("aa"), dict):  # one pair, as it was written at first
            document["aa"] = [document["aa"]]
        found.append(value_from_plain(Selftest, document, origin=str(path)))
    return tuple(found)


_REMEDY = "restore it from a copy, or delete it: 'benchbox gate --selftest' makes another"


def write_selftest(root: Path, test: Selftest) -> Path:
    """Writes it, in place of an earlier one of the night and machine; raises StoreError."""
    path = root / FOLDER / test.night / f"{test.machine}.json"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fields = {name: getattr(test, name) for name in Selftest.__dataclass_fields__}
        write_text(path, json_text({"schema": SCHEMA, **fields}) + "\n")
    except OSError as error:
        raise StoreError("the self-test cannot be written", values=f"{path}: {error.strerror}") from error
    return path
