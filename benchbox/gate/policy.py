"""By which rules is a night judged, and where does a team write its own?

``benchbox.toml`` is validated as a whole: every error is reported at once, with its line. A case takes the first rule
that matches it, so the order of the rules is their precedence. The file's rules come before those below, which judge
without any file.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import hashlib
import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from benchbox.errors import UsageError
from benchbox.gate.night import Tier
from benchbox.gate.series import NIGHT_STARTS
from benchbox.registry import suggestion
from benchbox.schema.identity import NETWORK_FIELDS, CaseIdentity
from benchbox.store.toml_text import problem_text

FILE = "benchbox.toml"
VERSION = 1
# Counts of a network: the same on every machine, or it is another network.
EXACT_METRICS = ("macs", "params", "weight_bytes", "peak_activation_bytes", "onnx_nodes")
# Of these, the ones in bytes; the others are numbers.
COUNTS_OF_BYTES = ("weight_bytes", "peak_activation_bytes")
_KEYS = (
    "metric",
    "machine",
    *(field.name for field in dataclasses.fields(CaseIdentity) if field.name not in NETWORK_FIELDS),
)
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "B": 1.0, "KiB": 2.0**10, "MiB": 2.0**20}
_UNITS |= {"GiB": 2.0**30, "J": 1.0, "mJ": 1e-3}

_Ratio = Annotated[float, Field(gt=0, lt=1)]
_Share = Annotated[float, Field(ge=0, le=1)]
_Nights = Annotated[int, Field(ge=1, le=366)]


def quantity(value: str | float) -> float:
    """A number in base units from "20 us", "1 MiB" or a plain number; raises ValueError for anything else."""
    if isinstance(value, int | float):
        number, scale = float(value), 1.0
    else:
        found = re.fullmatch(r"([0-9.]+)\s*([A-Za-zµ]+)", value.strip())
        if found is None or found[2] not in _UNITS or found[1].count(".") > 1 or found[1] == ".":
            raise ValueError(
                f"'{value}' is not a quantity (for example '20 us' or '1 MiB'; units: {', '.join(_UNITS)})"
            )
        number, scale = float(found[1]), _UNITS[found[2]]
    if not 0 <= number < float("inf"):
        raise ValueError("a floor is a finite number of at least 0")
    return number * scale


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class _Where(_Strict):
    """What holds for the metrics and cases that ``where`` matches: patterns of file names, or lists of them."""

    where: dict[str, str | list[str]] = {}

    @field_validator("where")
    @classmethod
    def _known_keys(cls, value: dict[str, str | list[str]]) -> dict[str, str | list[str]]:
        if unknown := [key for key in value if key not in _KEYS]:
            near = suggestion(unknown[0], _KEYS)
            raise ValueError(f"cases have no '{unknown[0]}'{f', {near}' if near else ''} (known: {', '.join(_KEYS)})")
        return value

    def matches(self, fields: Mapping[str, str]) -> bool:
        """Whether every condition holds for a case's fields as text."""
        for key, want in self.where.items():  # loops: generators take twice as long, and each metric asks every rule
            text = fields.get(key, "")
            for pattern in (want,) if isinstance(want, str) else want:
                if text == pattern or fnmatch.fnmatchcase(text, pattern):
                    break
            else:
                return False
        return True


class Rule(_Where):
    """How to judge the metrics and cases that ``where`` matches.

    ``effect`` is the smallest change that matters, as a ratio minus 1; ``floor`` the smallest difference ("20 us");
    ``persist`` replaces that of ``rolling``; an ``exact`` value may not change at all. ``also`` "cycles" asks for the
    same verdict in GPU clock cycles wherever clocks float and were read.
    """

    effect: _Ratio | None = None
    floor: str | float = 0.0
    tier: Literal["primary", "secondary", "off"] = "primary"
    exact: bool = False
    persist: Annotated[int, Field(ge=1, le=7)] | None = None
    also: Literal["cycles"] | None = None

    @field_validator("floor")
    @classmethod
    def _readable_floor(cls, value: str | float) -> str | float:
        quantity(value)
        return value

    @model_validator(mode="after")
    def _whole(self) -> Rule:
        if self.exact and (self.effect is not None or self.persist is not None or self.also is not None):
            raise ValueError("an exact rule has no effect, no persist and no also: any change counts, at once")
        if not self.exact and self.effect is None and self.tier != "off":
            raise ValueError("effect is missing: the smallest change that matters, for example 0.05")
        return self

    @property
    def least_difference(self) -> float:
        """The floor in the base unit of the metric."""
        return quantity(self.floor)

    @property
    def level(self) -> Tier:
        """The tier as a value."""
        return Tier(self.tier)


class Owner(_Where):
    """Who looks at alarms of the cases that ``where`` matches: ``name`` of a team or person ("@vision")."""

    name: Annotated[str, Field(min_length=1)]


class Rolling(_Strict):
    """The level is that of the last ``nights`` good nights, of which ``min_nights`` are needed."""

    nights: _Nights = 14
    min_nights: Annotated[int, Field(ge=2, le=366)] = 5
    persist: Annotated[int, Field(ge=1, le=7)] = 2

    @model_validator(mode="after")
    def _enough(self) -> Rolling:
        if self.min_nights > self.nights:
            raise ValueError(f"min_nights {self.min_nights} is more than nights {self.nights}")
        return self


class Anchor(_Strict):
    """The levels in git; ``drift`` is how many effects a case may move away from them."""

    baseline: str = "results/baseline"
    drift: Annotated[float, Field(ge=1, le=100)] = 2.0


class CoverageRules(_Strict):
    """Which cases must have numbers: "all" that were seen in the last nights, or those whose names match.

    ``retired`` are patterns of cases that are no longer measured, on purpose. Without ``allow_new`` a case that neither
    the nights before nor the levels know makes the night fail.
    """

    require: Literal["all"] | list[str] = "all"
    allow_new: bool = True
    retired: list[str] = []


class Confirm(_Strict):
    """How ``--confirm`` measures what was flagged: processes a side and round, and at most so many cases a night.

    ``order`` is that of the processes of both sides: "paired" lets one of each side take turns with the other, and is
    "ABBA", one after the other, where they cannot (on a GPU, in LoadGen's modes). ``alpha`` is the chance that noise
    alone confirms anything that a night flagged, None for ``false_alarms``. ``rerun_on_noise`` is how many further
    rounds there may be where the first speaks for a change without being sure. With ``blind`` also that is measured
    again in which the nights vary too much to show the effect: for machines that others use too.
    """

    # Of so many pairs the least p-value is 2 ** -10: it can confirm among a thousand flagged rows.
    processes: Annotated[int, Field(ge=5, le=50)] = 10
    order: Literal["ABBA", "random", "paired"] = "paired"
    alpha: Annotated[float, Field(gt=0, lt=0.5)] | None = None
    rerun_on_noise: Annotated[int, Field(ge=0, le=5)] = 1
    most: Annotated[int, Field(ge=1)] = 30
    blind: bool = False


class Selftest(_Strict):
    """How the gate tests itself: ``aa`` pairs of equal sides, and one with a slow-down of ``injected``.

    ``every`` "night" makes the judge ask for a test of each night.
    """

    aa: Annotated[int, Field(ge=1, le=20)] = 1
    every: Literal["never", "night"] = "never"
    injected: Annotated[float, Field(gt=0, le=1)] = 0.10


class Budget(_Strict):
    """Shares of the judged rows that may be inconclusive, or blind, before the night is (exit status 7)."""

    inconclusive: _Share = 0.10
    blind: _Share = 0.05


class Policy(_Strict):
    """The table ``[gate]``. ``false_alarms`` is the chance that noise alone turns a night red, over all its cases.

    ``night_starts`` is the hour, UTC, at which a new night begins; a night has the name of the day on which it ends.
    ``groups`` says what findings of one alarm have in common. ``defaults = false`` leaves only the file's own rules.
    An alarm is shown with the ``owner`` of its cases: of each the first that matches.
    """

    version: Literal[1] = 1
    references: list[Literal["rolling", "anchor"]] = ["rolling", "anchor"]
    rolling: Rolling = Rolling()
    anchor: Anchor = Anchor()
    coverage: CoverageRules = CoverageRules()
    budget: Budget = Budget()
    confirm: Confirm = Confirm()
    selftest: Selftest = Selftest()
    false_alarms: Annotated[float, Field(gt=0, lt=0.5)] = 0.002
    night_starts: Annotated[int, Field(ge=0, le=23)] = NIGHT_STARTS
    groups: list[Literal["machine", "backend", "precision", "model"]] = ["machine", "backend", "precision"]
    defaults: bool = True
    rule: list[Rule] = []
    owner: list[Owner] = []

    @property
    def rules(self) -> tuple[Rule, ...]:
        """All rules, in their order."""
        return (*self.rule, *(_DEFAULTS if self.defaults else ()))

    def owner_of(self, fields: Mapping[str, str]) -> str:
        """Whose a case is, by its fields as text; "" where nobody's."""
        return next((entry.name for entry in self.owner if entry.matches(fields)), "")

    @property
    def alpha(self) -> float:
        """The chance that noise alone confirms anything that a night flagged."""
        return self.false_alarms if self.confirm.alpha is None else self.confirm.alpha

    @property
    def rounds(self) -> int:
        """How many rounds a confirmation may have."""
        return 1 + self.confirm.rerun_on_noise

    @property
    def sha256(self) -> str:
        """Of everything that it says, whatever the form of the file."""
        return hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()


_TIMELESS = ["offline", "server", "pipelined", "concurrent", "multi-stream"]
_DEFAULTS = (
    Rule(where={"metric": list(EXACT_METRICS)}, exact=True),
    Rule(where={"metric": "gpu_time_p50"}, effect=0.02, floor="1 us", also="cycles"),
    Rule(where={"metric": "latency_p50", "device": "cuda*"}, effect=0.02, floor="1 us", also="cycles"),
    Rule(where={"metric": "latency_p50"}, effect=0.05, floor="1 us"),
    Rule(where={"metric": "throughput", "mode": _TIMELESS, "device": "cuda*"}, effect=0.02, also="cycles"),
    Rule(where={"metric": "throughput", "mode": _TIMELESS}, effect=0.05),
    Rule(where={"metric": ["peak_host_memory", "peak_device_memory"]}, effect=0.05, floor="1 MiB"),
    Rule(where={"metric": "energy_per_sample"}, effect=0.05, tier="secondary"),
    Rule(where={"metric": ["latency_p99", "load_time"]}, effect=0.10, floor="10 us", tier="secondary"),
)


class Outputs(_Strict):
    """The table ``[outputs]``: what ``benchbox gate`` writes without being asked, by the names of its flags."""

    markdown: str | None = None
    junit: str | None = None
    annotations: bool = False
    bmf: str | None = None
    github_benchmark: str | None = None
    otava: str | None = None
    openmetrics: str | None = None


class _File(BaseModel):
    """The whole file: other tables are other commands'."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)
    gate: Policy = Policy()
    outputs: Outputs = Outputs()


def policy_of(root: Path, file: str | None) -> Policy:
    """The policy in a file, else in ``benchbox.toml`` under the root where there is one, else the one without a file.

    Raises:
        UsageError: the file is missing or wrong; all its errors, each with its line.
    """
    return _file_of(root, file).gate


def outputs_of(root: Path, file: str | None) -> Outputs:
    """What the same file says of outputs; raises as ``policy_of``."""
    return _file_of(root, file).outputs


def _file_of(root: Path, file: str | None) -> _File:
    path = Path(file) if file is not None else root / FILE
    if file is None and not path.exists():
        return _File()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UsageError(
            "the policy cannot be read", values=f"{path}: {reason}", remedy="see docs/nightly.md"
        ) from error
    return _file_from_text(text, origin=str(path))


def policy_from_text(text: str, *, origin: str) -> Policy:
    """The policy in a TOML text; raises UsageError as ``policy_of``."""
    return _file_from_text(text, origin=origin).gate


def _file_from_text(text: str, *, origin: str) -> _File:
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{origin} is not TOML", values=str(error), remedy="see docs/nightly.md") from error
    try:
        return _File.model_validate(document)
    except ValidationError as error:
        entries: list[Any] = list(error.errors())
        lines = dict.fromkeys(problem_text(entry, text, tables=_TABLES, whole=Policy) for entry in entries)
        raise UsageError(
            f"{origin} is not a policy", values="\n".join(lines), remedy="docs/nightly.md lists what may stand there"
        ) from error


_TABLES: dict[str, type[BaseModel]] = {
    "rolling": Rolling,
    "anchor": Anchor,
    "coverage": CoverageRules,
    "budget": Budget,
    "confirm": Confirm,
    "selftest": Selftest,
    "rule": Rule,
    "owner": Owner,
    "outputs": Outputs,
}
