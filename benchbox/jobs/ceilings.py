"""In which order does a device become its ceilings?

    what runs here -> each library checked in each precision -> every shape once -> the best of each again
                   -> memory, level by level -> compared with the last ones -> stored

Like ``jobs/run.py`` this holds the order of the stages and nothing else.
"""

from __future__ import annotations

import datetime
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchbox.backends.base import BACKENDS, Backend, Compiler, EngineBackend
from benchbox.backends.probing import probe_of
from benchbox.errors import BenchboxError, EnvironmentLackError, MeasurementError, UsageError
from benchbox.flags.ceilings import dropped, flags_of_processes, not_held
from benchbox.limits import effective_cpus
from benchbox.machine.caches import available_bytes, caches_of
from benchbox.machine.environment import capture
from benchbox.machine.rates import device_from_product
from benchbox.measure.ceilings.compute import (
    NUMPY,
    Bench,
    Subject,
    Timings,
    best_of,
    ceiling_of,
    convolves,
    why_not,
)
from benchbox.measure.ceilings.effort import Effort, passes_of, quick_effort, usual_effort
from benchbox.measure.ceilings.memory import Stream, StreamBench, bandwidths_of, numpy_rates, traffic_flags
from benchbox.progress import Progress
from benchbox.schema.artifact import BatchRange, OnnxArtifact
from benchbox.schema.device import Ceilings, Form, Level, NoCeiling, Pace
from benchbox.schema.model import Precision
from benchbox.store.ceilings import append_ceilings, newest_of, stored_ceilings
from benchbox.store.records import new_record_id
from benchbox.temporary import temporary_folder

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchbox.schema.engine import EngineArtifact
    from benchbox.schema.environment import Environment

LEAST_PROCESSES = 2
# What a processor may have instructions for; a GPU the others as well.
USUAL = (Precision.FP32, Precision.FP16, Precision.BF16, Precision.INT8)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is asked for: libraries (backends, or "numpy"), () for all that can run; precisions, () for the usual ones.

    ``effort`` None is the default one of each device.
    """

    libraries: tuple[str, ...] = ()
    precisions: tuple[Precision, ...] = ()
    quick: bool = False
    effort: Effort | None = None

    def effort_on(self, device: str, cpus: int) -> Effort:
        """How much is done on a device."""
        if self.effort is not None:
            return self.effort
        return quick_effort(device) if self.quick else usual_effort(device, cpus)


def measured_ceilings(wanted: Wanted, *, root: Path, progress: Progress) -> tuple[Ceilings, ...]:
    """Measures and stores the ceilings of every device that a wanted backend runs on, the processor first.

    Args:
        wanted: what to measure, and how thoroughly.
        root: project root.
        progress: shows what runs.

    Raises:
        UsageError: none of the backends can have a ceiling in the precisions asked for.
        EnvironmentLackError: a backend that was named cannot run on this machine.
        MeasurementError: nothing could be measured.
        StoreError: the ceilings cannot be stored.
    """
    found = []
    for device, libraries in _libraries(wanted).items():
        ceilings = _Measuring(wanted, device=device, libraries=libraries, root=root, progress=progress).ceilings()
        append_ceilings(root, ceilings)
        found.append(ceilings)
    return tuple(found)


def _libraries(wanted: Wanted) -> dict[str, tuple[str, ...]]:
    """The libraries of each device; those that were named must be able to run."""
    found: dict[str, list[str]] = {}
    for name in wanted.libraries:
        if name == NUMPY:
            found.setdefault("cpu", []).append(NUMPY)
            continue
        backend = BACKENDS.get(name)
        if backend.virtual:
            raise UsageError(f"{name} computes nothing", remedy="'benchbox doctor' lists the backends")
        state = probe_of(backend)
        if not state.usable:
            raise EnvironmentLackError(f"{name} cannot run on this machine", values=state.reason, remedy=state.remedy)
        found.setdefault(backend.device, []).append(name)
    if not wanted.libraries:
        for backend in sorted(BACKENDS, key=lambda each: (each.device != "cpu", -each.rank)):
            if backend.rank >= 0 and not backend.virtual and probe_of(backend).usable:
                found.setdefault(backend.device, []).append(backend.name)
        found.setdefault("cpu", []).append(NUMPY)
    return {device: tuple(names) for device, names in sorted(found.items())}


@dataclass(kw_only=True)
class _Found:
    """What was found so far."""

    timings: list[Timings] = field(default_factory=list)
    none: list[NoCeiling] = field(default_factory=list)
    rates: dict[Stream, list[float]] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)


class _Measuring:
    """One device's ceilings while they are measured."""

    def __init__(
        self, wanted: Wanted, *, device: str, libraries: Sequence[str], root: Path, progress: Progress
    ) -> None:
        self._wanted = wanted
        self._device = device
        self._cpus = effective_cpus()
        self._effort = wanted.effort_on(device, self._cpus)
        quick = not self._effort.libraries and not wanted.libraries
        self._libraries = [name for name in libraries if not quick or not _called_directly(name)] or list(libraries)
        self._root = root
        self._progress = progress
        self._before: Ceilings | None = None
        self._found = _Found()
        self._done = self._total = 0
        self._subject_deadline = 0.0

    def ceilings(self) -> Ceilings:
        """Measures everything; raises MeasurementError where nothing could be."""
        environment = capture()
        at = datetime.datetime.now(datetime.UTC)
        self._before = newest_of(stored_ceilings(self._root), epoch=environment.hash, device=self._device)
        subjects = self._subjects(frozenset(environment.hardware.get("isa", "").split()))
        with temporary_folder("benchbox-ceilings-") as folder:
            self._compute(folder, subjects)
            self._memory(folder)
        found = self._found
        lines = [ceiling_of(timings, kind) for timings in found.timings for kind in Pace]
        if not lines and not found.rates:
            raise MeasurementError(
                "no ceiling could be measured",
                values="\n".join(f"{one.library} {one.precision}: {one.reason}" for one in found.none),
                remedy="'benchbox doctor' says what can run here",
            )
        result = Ceilings(
            id=new_record_id(at),
            started_at=at.isoformat(timespec="seconds"),
            device=self._device,
            title=environment.hardware.get("cpu" if self._device == "cpu" else "gpu", self._device),
            epoch=environment.hash,
            environment=environment,
            cpus=self._cpus,
            compute=best_of(lines),
            backends=tuple(lines),
            bandwidth=bandwidths_of(found.rates, found.versions),
            none=tuple(found.none),
            theoretical=_theoretical(environment) if self._device != "cpu" else {},
            flags=(*not_held(found.timings), *flags_of_processes(found.timings), *traffic_flags(found.rates)),
            quick=self._wanted.quick,
        )
        before = self._before
        return replace(result, flags=(*result.flags, *dropped(result, before))) if result.quick and before else result

    def _subjects(self, isa: frozenset[str]) -> list[Subject]:
        """Every library in every precision that it may have a ceiling in, with all threads and the first shape."""
        precisions = self._wanted.precisions or (USUAL if self._device == "cpu" else tuple(Precision))
        subjects = []
        for name in self._libraries:
            for precision in precisions:
                reason = _numpy_lacks(precision) if name == NUMPY else _why_not(BACKENDS.get(name), precision, isa)
                if reason:
                    self._found.none.append(NoCeiling(precision=precision, library=name, reason=reason))
                else:
                    subjects.append(self._first(name, precision))
        if not subjects and self._wanted.precisions:
            raise UsageError(
                f"nothing here computes in {', '.join(self._wanted.precisions)}",
                values="\n".join(f"{one.library} {one.precision}: {one.reason}" for one in self._found.none),
                remedy="name other precisions or backends; 'benchbox doctor' says what can run here",
            )
        return subjects

    def _first(self, library: str, precision: Precision) -> Subject:
        """What is looked at first: of a quick measurement the stored best one, so that both compare.

        Where nothing is stored, a quick one takes what is usually best: in int8 a convolution.
        """
        effort, quick = self._effort, self._wanted.quick
        subject = Subject(library=library, precision=precision, shape=effort.shapes[0], threads=self._cpus)
        for one in self._before.backends if self._before and quick else ():
            if (one.library, one.precision) == (library, precision):
                return replace(subject, shape=one.shape, form=one.form)
        if quick and precision is Precision.INT8 and convolves(library):
            return replace(subject, shape=effort.convolution, form=Form.CONVOLUTION)
        return subject

    def _compute(self, folder: Path, subjects: Sequence[Subject]) -> None:
        effort = self._effort
        bench = Bench(folder, effort, engines=_engines(folder, self._progress), unsigned=self._device == "cpu")
        forms = len(effort.shapes) + 2 * (not self._wanted.quick)
        each = 1 + forms + effort.processes - 1 + (effort.single if self._cpus > 1 else 0)
        self._total = each * len(subjects) + self._memory_steps()
        deadline = time.monotonic() + effort.budget_s
        for place, subject in enumerate(subjects):
            planned = self._done + each
            # What is left is shared by the subjects that are left, and memory.
            now = time.monotonic()
            self._subject_deadline = now + (deadline - now) / (len(subjects) - place + 1)
            self._step(f"check {subject.title}")
            refusal = bench.checked(subject) or self._best_shape(bench, subject)
            if refusal is not None:
                self._found.none.append(refusal)
            self._done = planned

    def _best_shape(self, bench: Bench, subject: Subject) -> NoCeiling | None:
        """Times the shapes of a library, the best of them again, and with one thread; why it has no ceiling."""
        effort = self._effort
        subjects = [subject]
        if not self._wanted.quick:
            subjects = [replace(subject, shape=shape) for shape in effort.shapes]
            subjects += self._convolutions(bench, subject)
        tried = [Timings(subject=each) for each in subjects]
        refusals = [refusal for timings in tried if (refusal := self._timed(bench, timings)) is not None]
        tried = [timings for timings in tried if timings.processes]
        if not tried:
            return refusals[0]
        best = max(tried, key=lambda timings: timings.rate(Pace.SUSTAINED))
        for _ in range(effort.processes - 1):
            if not self._late(best):
                self._timed(bench, best)
        self._found.timings.append(best)
        if self._cpus > 1 and effort.single:
            alone = Timings(subject=replace(best.subject, threads=1))
            for _ in range(effort.single):
                if not self._late(alone):
                    self._timed(bench, alone)
            if alone.processes:
                self._found.timings.append(alone)
        return None

    def _convolutions(self, bench: Bench, subject: Subject) -> list[Subject]:
        """A convolution, where the library can do one in the precision; where it cannot, its products still count."""
        if not convolves(subject.library):
            return []
        convolution = replace(subject, shape=self._effort.convolution, form=Form.CONVOLUTION)
        self._step(f"check {convolution.title}")
        return [] if bench.checked(convolution) else [convolution]

    def _late(self, timings: Timings) -> bool:
        """Whether a subject has had its share of the time; not before two processes, which show a spread.

        A quick measurement is content with one.
        """
        least = 1 if self._wanted.quick else LEAST_PROCESSES
        return len(timings.processes) >= least and time.monotonic() > self._subject_deadline

    def _timed(self, bench: Bench, timings: Timings) -> NoCeiling | None:
        self._step(timings.subject.title)
        return bench.time(timings)

    def _threads(self) -> list[int]:
        return [self._cpus, 1] if self._cpus > 1 and self._effort.single else [self._cpus]

    def _memory_steps(self) -> int:
        own = self._effort.processes * len(self._threads()) if self._device == "cpu" else 0
        return own + 2 * len(self._stream_backends()) + (self._effort.processes - 1 if self._stream_backends() else 0)

    def _stream_backends(self) -> list[str]:
        return [name for name in self._libraries if name != NUMPY and (self._effort.sweeps or self._device != "cpu")]

    def _memory(self, folder: Path) -> None:
        caches, available = caches_of(), available_bytes()
        found = self._found
        if self._device == "cpu":
            for threads in self._threads():
                passes = passes_of(caches, threads=threads, available=available, sweeps=self._effort.sweeps)
                streams = [
                    Stream(library=NUMPY, kernel=kernel, bytes=size, level=level, threads=threads)
                    for kernel, size, level in passes
                ]
                self._numpy_streams(streams)
        size = passes_of(caches, threads=1, available=available, sweeps=False)[0][1]
        streams = [
            Stream(library=name, kernel=kernel, bytes=size, level=Level.DRAM, threads=self._cpus)
            for name in self._stream_backends()
            for kernel in ("add", "relu")
        ]
        bench = StreamBench(folder, self._effort, before=self._step)
        numpys = [rates for stream, rates in found.rates.items() if (stream.level, stream.threads) == _main(self._cpus)]
        rates, versions = bench.rates(streams, least=max(map(statistics.median, numpys), default=0.0))
        found.rates |= rates
        found.versions |= versions

    def _numpy_streams(self, streams: list[Stream]) -> None:
        """All working sets in one process, then the best of each level in the others."""
        found = self._found
        for number in range(self._effort.processes):
            self._step(f"memory, numpy threads {streams[0].threads}")
            try:
                rates, found.versions[NUMPY] = numpy_rates(streams, seconds=self._effort.stream_s)
            except BenchboxError as error:
                self._progress.say(f"memory, numpy: {error.what}; {error.values}")
                return
            for stream, rate in rates.items():
                found.rates.setdefault(stream, []).append(rate)
            if number == 0:
                streams = _best_of_levels(rates)

    def _step(self, text: str) -> None:
        self._progress.step(min(self._done, self._total), self._total, f"{self._device}: {text}")
        self._done += 1


def _main(threads: int) -> tuple[Level, int]:
    return Level.DRAM, threads


def _best_of_levels(rates: dict[Stream, float]) -> list[Stream]:
    """Of each level the fastest stream; of main memory every kernel, so that they can be compared."""
    best: dict[Level, Stream] = {}
    for stream, rate in rates.items():
        if stream.level not in best or rate > rates[best[stream.level]]:
            best[stream.level] = stream
    return [stream for stream in rates if stream.level is Level.DRAM or stream in best.values()]


def _called_directly(name: str) -> bool:
    """Whether a library is no runtime of files: a quick look goes without, as it takes seconds to load."""
    return name == NUMPY or BACKENDS.get(name).consumes == "module"


def _numpy_lacks(precision: Precision) -> str | None:
    return None if precision is Precision.FP32 else "numpy has no fast product in this type"


def _why_not(backend: Backend, precision: Precision, isa: frozenset[str]) -> str | None:
    if precision is Precision.INT4:
        return "its weights are stored so, and its products compute in fp32 or fp16: the ceilings of those hold"
    if precision in (Precision.FP8, Precision.FP64):
        return f"there is no one-operator network in {precision} yet"
    return why_not(backend, precision, isa)


def _engines(folder: Path, progress: Progress) -> Callable[[OnnxArtifact, str, Precision], EngineArtifact | None]:
    """What builds the engine of a one-operator network for a backend that runs one, under the folder."""

    def build(artifact: OnnxArtifact, name: str, precision: Precision) -> EngineArtifact | None:
        from benchbox.export.engines import engine_from_artifact

        backend = BACKENDS.get(name)
        compiler = BACKENDS.get(backend.compiler) if isinstance(backend, EngineBackend) else None
        if not isinstance(compiler, Compiler):
            return None
        one = BatchRange(minimum=1, optimum=1, maximum=1)
        built = engine_from_artifact(
            artifact, compiler=compiler, precision=precision, root=folder, batch=one, say=progress.say
        )
        return built.engine

    return build


def _theoretical(environment: Environment) -> dict[str, float]:
    """Operations per second of a GPU's datasheet, by precision; nothing where it is not known."""
    device = device_from_product(environment.hardware.get("gpu", ""))
    if device is None or device.fp32_flops_per_s is None:
        return {}
    return {kind: rate * device.fp32_flops_per_s for kind, rate in device.rates.items()}
