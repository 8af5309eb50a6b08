"""Which backend runs a network where none is named?

The one that computes best in the precision on this machine: natively before slowly, slowly before partly, partly
before not at all. Among equals the fastest in stored records of the same case on this machine, where their intervals
are apart; else the usual order, a GPU first.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchbox.backends.base import BACKENDS, Backend, Grade, GradedBackend
from benchbox.backends.probing import probe_of, require_some_backend
from benchbox.errors import BenchboxError, StoreError, UsageError
from benchbox.machine.environment import capture
from benchbox.machine.host import instruction_sets
from benchbox.schema.model import ModelSource, Precision, SourceKind
from benchbox.schema.plan import MeasurementPlan
from benchbox.schema.reading import Reading
from benchbox.schema.record import Record, Status, reading_of

_WORDS = {
    Grade.NATIVE: "natively",
    Grade.SLOWLY: "without instructions for it",
    Grade.PARTLY: "in part",
    Grade.WIDENED: "in fp32 between casts",
}


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A backend that could run it, how well, and why not better ("" where it is native)."""

    name: str
    rank: int
    grade: Grade
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The backend for some precisions, why it is the best, and the others that could run them, the best first.

    ``refused`` is for a choice that is not native: the installed backends that do not run them, and why.
    """

    backend: str
    precisions: tuple[Precision, ...]
    why: str
    others: tuple[str, ...]
    refused: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """One line: "fp32 on onnxruntime: ...; others: openvino, pytorch; --backend chooses"."""
        what = "/".join(self.precisions)
        also = f"; others: {', '.join(self.others)}; --backend chooses" if self.others else ""
        lacks = f"; cannot run it: {'; '.join(self.refused)}" if self.refused else ""
        return f"{what} on {self.backend}: {self.why}{also}{lacks}"


@dataclass(kw_only=True)
class Chooser:
    """Chooses backends for the cases of one command; each question is answered once.

    ``root`` holds the stored records, and ``plan`` says which of them are alike; None leaves records aside.
    ``modules`` says whether backends that run PyTorch modules count. ``isa`` holds this processor's
    instruction sets.
    """

    root: Path
    plan: MeasurementPlan | None = None
    modules: bool = True
    isa: frozenset[str] = field(default_factory=instruction_sets)
    choices: dict[tuple[tuple[Precision, ...], str, bool], Choice] = field(default_factory=dict)

    def best(self, source: ModelSource, precisions: Sequence[Precision]) -> Choice:
        """The backend for a network in all of these precisions.

        Raises:
            EnvironmentLackError: no backend can run on this machine.
            UsageError: none can run these precisions, with the reason of each.
        """
        modules = self.modules and source.kind is not SourceKind.ONNX
        key = (tuple(dict.fromkeys(precisions)), source.name, modules)
        if key not in self.choices:
            self.choices[key] = self._chosen(key[0], source.name, *candidates(key[0], self.isa, modules=modules))
        return self.choices[key]

    def of_matrix(self, source: ModelSource, precision: Precision, wanted: Sequence[Precision]) -> str:
        """The backend of one case among those in several precisions.

        A precision that nothing here runs is given to the backend of one that something runs, where it is skipped with
        that backend's reason; raises as ``best`` where nothing runs any of them.
        """
        errors: list[UsageError] = []
        for tried in dict.fromkeys((precision, *wanted)):
            try:
                return self.best(source, (tried,)).backend
            except UsageError as error:
                errors.append(error)
        raise errors[0]

    def _chosen(
        self, precisions: tuple[Precision, ...], model: str, found: Sequence[Candidate], refused: Sequence[str]
    ) -> Choice:
        best = [entry for entry in found if entry.grade is found[0].grade]
        names = [entry.name for entry in best]
        fastest, why = names[0], ""
        if len(best) > 1 and self.plan is not None:
            fastest, why = _fastest(names, self._records(), model=model, precisions=precisions, plan=self.plan)
        chosen = next(entry for entry in found if entry.name == fastest)
        return Choice(
            backend=chosen.name,
            precisions=precisions,
            why=why or _why(chosen, found, "in it" if len(precisions) == 1 else "in all of them"),
            others=tuple(_described(entry) for entry in found if entry is not chosen),
            refused=() if chosen.grade is Grade.NATIVE else tuple(refused),
        )

    def _records(self) -> Iterable[Record]:
        from benchbox.store.records import read_headline, readable_records, record_files

        try:
            # 'report' names damaged ones
            stored = readable_records(record_files(self.root), warn=lambda _: None, read=read_headline)
        except StoreError:
            return ()
        here = capture().hash
        return tuple(record for _, record in stored if record.environment.hash == here)


def candidates(
    precisions: Collection[Precision], isa: frozenset[str], *, modules: bool
) -> tuple[tuple[Candidate, ...], tuple[str, ...]]:
    """The backends that can run all of these precisions here, the best first, and why others that are installed cannot.

    Raises as ``Chooser.best``.
    """
    found: list[Candidate] = []
    refusals: list[str] = []
    refused: list[str] = []
    for backend in BACKENDS:
        if backend.rank < 0 or (backend.consumes == "module" and not modules):
            continue
        if (lack := _lack(backend, precisions)) is None:
            grade, reason = min(grade_of(backend, precision, isa) for precision in precisions)
            found.append(Candidate(name=backend.name, rank=backend.rank, grade=grade, reason=reason))
        else:
            refusals.append(f"{backend.name}: {lack}")
            refused += refusals[-1:] if probe_of(backend).usable else []
    if not found:
        require_some_backend()
        raise UsageError(
            f"no backend on this machine can run {' and '.join(precisions)}",
            values="\n".join(refusals),
            remedy="'benchbox doctor' lists the precisions of each backend",
        )
    return tuple(sorted(found, key=lambda entry: (-entry.grade, -entry.rank))), tuple(refused)


def grade_of(backend: Backend, precision: Precision, isa: frozenset[str]) -> tuple[Grade, str]:
    """How well a backend computes in a precision, and why not better."""
    return backend.grade(precision, isa) if isinstance(backend, GradedBackend) else (Grade.NATIVE, "")


def _lack(backend: Backend, precisions: Collection[Precision]) -> str | None:
    """Why a backend cannot run these precisions here; None if it can."""
    state = probe_of(backend)
    if not state.usable:
        return state.reason
    try:
        return next(filter(None, (backend.refusal(precision) for precision in precisions)), None)
    except BenchboxError as error:
        return error.what


def _why(chosen: Candidate, found: Sequence[Candidate], it: str) -> str:
    if chosen.grade is not Grade.NATIVE:
        return f"no backend here computes {it} natively; {chosen.reason}"
    if len(found) == 1:
        return "the only backend here that can"
    if sum(entry.grade is Grade.NATIVE for entry in found) > 1:
        return f"the usual choice among those that compute {it} natively"
    return f"the only one here that computes {it} natively"


def _described(entry: Candidate) -> str:
    return entry.name if entry.grade is Grade.NATIVE else f"{entry.name} ({_WORDS[entry.grade]})"


def _fastest(
    names: Sequence[str],
    records: Iterable[Record],
    *,
    model: str,
    precisions: Collection[Precision],
    plan: MeasurementPlan,
) -> tuple[str, str]:
    """The backend whose newest record is faster than that of all others that have one, and why; else the first."""
    newest: dict[str, tuple[str, Reading]] = {}
    for record in records:
        key = record.key
        alike = (key.model, record.plan.threads, key.mode) == (model, plan.threads, plan.mode)
        if not alike or key.backend not in names or key.precision not in precisions or key.batch != plan.batch:
            continue
        p50 = reading_of(record, "latency_p50")
        if record.status is Status.OK and p50 is not None and p50.low is not None and p50.high is not None:
            before = newest.get(key.backend)
            if before is None or before[0] <= record.started_at:
                newest[key.backend] = (record.started_at, p50)
    if len(newest) < 2:
        return names[0], ""
    first, second, *_ = sorted(newest, key=lambda name: newest[name][1].value)
    one, other = newest[first][1], newest[second][1]
    apart = (one.high or one.value) < (other.low or other.value)
    if not apart or names[0] not in newest:
        return names[0], ""
    times = other.value / one.value
    return first, f"{times:.1f} times as fast as {second} in stored records of this machine"
