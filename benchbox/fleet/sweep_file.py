"""What does a sweep's TOML file ask for?

Every error is reported at once, with its line. The matrix is models x backends x precisions x batches x threads x
modes, less what an exclude matches, plus the includes.
"""

from __future__ import annotations

import fnmatch
import hashlib
import itertools
import json
import tomllib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from benchbox.backends.base import BACKENDS
from benchbox.errors import UsageError
from benchbox.models.zoo.zoo import specs
from benchbox.registry import suggestion
from benchbox.schema.model import Precision
from benchbox.schema.plan import Mode
from benchbox.store.toml_text import problem_text
from benchbox.units import counted

# So many names are not listed.
_MANY, _MODELS = 20, "'benchbox models' lists them; a file ends with .onnx"
_REMEDY = "docs/fleet.md lists what may stand there"


def _known(kind: str, names: Callable[[], Iterable[str]]) -> Callable[[str], str]:
    """What a word must be: one of these names."""

    def check(word: str) -> str:
        known = sorted(names())
        if word not in known:
            near = suggestion(word, known) or (f"known: {', '.join(known)}" if len(known) < _MANY else _MODELS)
            raise ValueError(f"there is no {kind} '{word}' ({near})")
        return word

    return check


def _known_network(reference: str) -> str:
    """A file, a factory or a public name is found on the machine that measures; any other word is one of the zoo."""
    return reference if ":" in reference or reference.endswith(".onnx") else _ZOO(reference)


def _known_precision(word: str) -> str:
    """A sweep names no converter, and int4 is made by another one than benchbox's."""
    if word == Precision.INT4:
        raise ValueError(
            "int4 is not for sweeps, which name no converter: benchbox run NET --precision int4 --converter modelopt"
        )
    return _PRECISION(word)


_ZOO = _known("network", specs)
_PRECISION = _known("precision", lambda: [each.value for each in Precision if each is not Precision.INT4])
_Count = Annotated[int, Field(ge=1, le=1_000_000)]
_Model = Annotated[str, Field(min_length=1), AfterValidator(_known_network)]
_Backend = Annotated[str, AfterValidator(_known("backend", BACKENDS.names))]
_Precision = Annotated[str, AfterValidator(_known_precision)]
_Mode = Annotated[str, AfterValidator(_known("mode", lambda: [each.value for each in Mode]))]
_SOME = Field(min_length=1)
_Names = str | list[str] | None


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class SweepCase(_Strict):
    """One case: the network as ``benchbox run`` takes it, and what else its command line says.

    No precision and no batch stand for the network's own.
    """

    model: _Model
    backend: _Backend
    precision: _Precision | None = None
    batch: _Count | None = None
    threads: _Count | None = None
    mode: _Mode = "isolated"
    input: list[str] = []

    @property
    def title(self) -> str:
        """The case in a few words."""
        mode = "" if self.mode == "isolated" else f" {self.mode}"
        threads = f" t{self.threads}" if self.threads else ""
        sizes = "".join(f" {each}" for each in self.input)
        own = f" {self.precision}" if self.precision else ""
        batch = f" b{self.batch}" if self.batch else ""
        return f"{self.model} {self.backend}{own}{batch}{threads}{mode}{sizes}"


class Pattern(_Strict):
    """Cases that match every key that is given, with one value or any of a list; names may hold ``*`` and ``?``."""

    model: _Names = None
    backend: _Names = None
    precision: _Names = None
    batch: _Count | list[_Count] | None = None
    threads: _Count | list[_Count] | None = None
    mode: _Names = None

    def matches(self, case: SweepCase) -> bool:
        """Whether the case is meant; a pattern without keys means none."""
        asked = self.model_dump(exclude_none=True)
        return bool(asked) and all(_alike(getattr(case, name), value) for name, value in asked.items())


def _alike(value: object, wanted: object) -> bool:
    if value is None:  # left to the network
        return False
    if isinstance(wanted, list):
        return any(_alike(value, each) for each in wanted)
    return fnmatch.fnmatchcase(str(value), wanted) if isinstance(wanted, str) else value == wanted


class Require(_Strict):
    """What the machine that measures must be: globs over its facts, and labels of its node in a cluster."""

    cpu: str | None = None
    gpu: str | None = None
    machine: str | None = None
    labels: dict[str, str] = {}

    def lacks(self, facts: Mapping[str, str]) -> list[str]:
        """What a machine's facts do not meet: "cpu is 'AMD EPYC', not 'Intel*'"."""
        asked = {name: value for name in ("cpu", "gpu", "machine") if (value := getattr(self, name)) is not None}
        return [
            f"{name} is '{facts.get(name, '')}', not '{value}'"
            for name, value in asked.items()
            if not fnmatch.fnmatchcase(facts.get(name, "").lower(), value.lower())
        ]


class Sweep(_Strict):
    """A sweep: the axes of its matrix, and how every case is measured."""

    models: Annotated[list[_Model], _SOME]
    backends: Annotated[list[_Backend], _SOME]
    precisions: Annotated[list[_Precision], _SOME] | None = None
    batches: Annotated[list[_Count], _SOME] | None = None
    threads: Annotated[list[_Count], _SOME] | None = None
    modes: Annotated[list[_Mode], _SOME] = ["isolated"]
    input: list[str] = []
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")] | None = None
    processes: _Count = 8
    passes: Annotated[int, Field(ge=1, le=10)] = 2
    quick: bool = False
    max_time_s: Annotated[float, Field(gt=0, le=3600)] | None = None
    timeout_s: Annotated[float, Field(gt=0)] | None = None
    calibration: str | None = None
    device: Annotated[str, Field(pattern=r"^([0-9]+|(GPU|MIG)-[0-9A-Za-z/-]+)$")] | None = None
    rate: Annotated[float, Field(gt=0)] | None = None
    latency_bound_s: Annotated[float, Field(gt=0)] | None = None
    unit_minutes: Annotated[float, Field(gt=0, le=240)] = 10
    anchor: bool = True
    seed: int = 0
    include: list[SweepCase] = []
    exclude: list[Pattern] = []
    require: Require = Require()

    def cases(self, settled: Callable[[SweepCase], SweepCase] = lambda case: case) -> tuple[SweepCase, ...]:
        """The cases of the matrix, each once, in the order of the axes, then the included ones.

        Args:
            settled: gives a case the precision and the batch that its network has of its own, where it says none.
        """
        matrix = map(settled, self._matrix())
        kept = (case for case in matrix if not any(pattern.matches(case) for pattern in self.exclude))
        found = itertools.chain(kept, map(settled, self.include))
        unique = {json.dumps(case.model_dump(), sort_keys=True): case for case in found}
        return tuple(unique.values())

    def _matrix(self) -> Iterator[SweepCase]:
        threads: list[int] | list[None] = self.threads or [None]
        precisions: list[str] | list[None] = self.precisions or [None]
        batches: list[int] | list[None] = self.batches or [None]
        for model, backend, precision, batch, count, mode in itertools.product(
            self.models, self.backends, precisions, batches, threads, self.modes
        ):
            yield SweepCase(
                model=model, backend=backend, precision=precision, batch=batch, threads=count, mode=mode,
                input=self.input,
            )  # fmt: skip

    @property
    def sha256(self) -> str:
        """Of everything that it says, whatever the form of the file."""
        return hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)
    sweep: Sweep


_TABLES: dict[str, type[BaseModel]] = {"include": SweepCase, "exclude": Pattern, "require": Require}


def sweep_of(file: Path) -> Sweep:
    """The sweep in a file; its name is the file's where it gives none.

    Raises:
        UsageError: the file is missing or wrong, with all its errors; or its matrix is empty.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UsageError("the sweep cannot be read", values=f"{file}: {reason}", remedy=_REMEDY) from error
    sweep = sweep_from_text(text, origin=str(file))
    return sweep if sweep.name else sweep.model_copy(update={"name": _name(file)})


def _name(file: Path) -> str:
    kept = "".join(sign if sign.isascii() and (sign.isalnum() or sign in "_.-") else "-" for sign in file.stem)
    return kept.lstrip("_.-") or "sweep"


def sweep_from_text(text: str, *, origin: str) -> Sweep:
    """The sweep in a TOML text; raises UsageError as ``sweep_of``."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{origin} is not TOML", values=str(error), remedy=_REMEDY) from error
    try:
        sweep = _File.model_validate(document).sweep
        cases = sweep.cases()
    except ValidationError as error:
        raise UsageError(f"{origin} is not a sweep", values=_problems(error, text), remedy=_REMEDY) from error
    if not cases:
        raise UsageError(
            f"the matrix of {origin} is empty",
            values=f"{counted(len(list(sweep._matrix())), 'combination')}, all excluded",
            remedy="take an exclude out, or write an include",
        )
    if found := _contradictions(sweep, {case.mode for case in cases}):
        raise UsageError(f"{origin} contradicts itself", values="\n".join(found), remedy=_REMEDY)
    if sweep.processes % sweep.passes:
        raise UsageError(
            f"{origin}: processes do not divide into passes",
            values=f"{sweep.processes} processes, {sweep.passes} passes",
            remedy=f"use processes = {sweep.passes * (sweep.processes // sweep.passes + 1)}",
        )
    return sweep


def _contradictions(sweep: Sweep, modes: Collection[str]) -> list[str]:
    """What every step, or none, would fail by."""
    server = Mode.SERVER.value in modes
    found = []
    if server and sweep.rate is None:
        found.append("mode server needs rate: how many samples arrive per second")
    for name in ("rate", "latency_bound_s"):
        if getattr(sweep, name) is not None and not server:
            found.append(f"{name} is of mode server, and no case has that")
    if sweep.timeout_s is not None and sweep.max_time_s is not None and sweep.timeout_s <= sweep.max_time_s:
        found.append(
            f"timeout_s {sweep.timeout_s:g} ends a process before the max_time_s {sweep.max_time_s:g} it may time"
        )
    return found


def _problems(error: ValidationError, text: str) -> str:
    entries: list[Any] = list(error.errors())
    lines = dict.fromkeys(problem_text(each, text, tables=_TABLES, whole=Sweep) for each in entries)
    return "\n".join(sorted(lines, key=lambda line: int(line.removeprefix("line ").partition(":")[0])))
