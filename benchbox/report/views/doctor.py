"""How is the state of this machine shown: what can run, on what, and what will disturb a measurement?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchbox.machine.instruments import Instrument
from benchbox.report.screen import folded, screen_width, table_of
from benchbox.report.table import Column
from benchbox.schema.environment import Environment
from benchbox.schema.reading import Flag
from benchbox.store.documents import plain
from benchbox.units import counted, format_time


@dataclass(frozen=True, kw_only=True)
class BackendState:
    """One backend on this machine: its version and precisions, or why it cannot run and what to do.

    ``builds`` says that it can make engines here, even where it cannot run them.
    """

    name: str
    device: str
    usable: bool
    builds: bool
    version: str
    precisions: tuple[str, ...]
    reason: str
    remedy: str


@dataclass(frozen=True, kw_only=True)
class LayerState:
    """One package that CUDA can be driven through: its versions and the GPU, or why it cannot and what to do."""

    name: str
    version: str
    reason: str
    remedy: str


@dataclass(frozen=True, kw_only=True)
class Probe:
    """A probe's time now, in seconds, beside what stored records of this environment have.

    ``usual`` are their lowest, median and highest; None without records. ``limit`` is the factor over the median from
    which on the machine is not as usual.
    """

    title: str
    metric: str
    now_s: float
    usual: tuple[float, float, float] | None
    records: int
    limit: float

    @property
    def text(self) -> str:
        """Now, and the usual."""
        now = format_time(self.now_s)
        if self.usual is None:
            return f"{now} now; no records of this environment yet to say what is usual"
        low, middle, high = map(format_time, self.usual)
        return f"{now} now; usually {middle} ({low} to {high} in {counted(self.records, 'record')})"

    @property
    def advice(self) -> str:
        """What to do where it is far from usual, else ""."""
        if self.usual is None or self.now_s <= self.limit * self.usual[1]:
            return ""
        times = f"{self.now_s / self.usual[1]:.1f} times its usual {format_time(self.usual[1])}"
        return f"{self.title} is {times}: wait, or compare only within one run (--ab), on one thread (--threads 1)"


@dataclass(frozen=True, kw_only=True)
class Checkup:
    """Everything that ``benchbox doctor`` found; ``threads`` is the default number of CPU threads.

    ``clock`` says in a sentence what is wrong with the machine's time, "" where it fits what is stored.
    """

    backends: tuple[BackendState, ...]
    layers: tuple[LayerState, ...]
    environment: Environment
    instruments: tuple[Instrument, ...]
    flags: tuple[Flag, ...]
    threads: int
    probes: tuple[Probe, ...] = ()
    clock: str = ""


_PROBE_FIELDS = ("metric", "now_s", "usual", "records")


def document_from_checkup(checkup: Checkup) -> dict[str, object]:
    """The JSON document ``benchbox.doctor/1``."""
    document = plain(checkup)
    return {
        "schema": "benchbox.doctor/1",
        "cuda_layers": document.pop("layers"),
        **document,
        "probes": [{name: getattr(probe, name) for name in _PROBE_FIELDS} for probe in checkup.probes],
        "flags": [{name: flag[name] for name in ("code", "severity", "message")} for flag in document["flags"]],
    }


def render_checkup(checkup: Checkup, *, every: bool = False) -> str:
    """The same for people: what to change, what can run, the machine; ``every`` adds all that is known of it."""
    hardware, observed = checkup.environment.hardware, checkup.environment.observed
    parts = [
        f"To change before measuring\n{_to_change(checkup)}",
        f"What can run\n{_backends(checkup.backends, every=every)}",
        f"This machine\n{_facts(_machine(checkup))}",
    ]
    if not every:
        return "\n\n".join([*parts, "details of hardware, software, counters and CUDA: benchbox doctor --all"])
    details = [
        *(
            ["CUDA\n" + _facts({layer.name: layer.version or _lack(layer) for layer in checkup.layers})]
            if checkup.layers
            else []
        ),
        "Hardware\n" + _facts(hardware),
        "Software\n" + _facts(checkup.environment.software),
        "Now\n" + _facts(observed),
        "What can be read and set\n" + _instruments(checkup.instruments),
        "What disturbs measurements here\n" + _flags(checkup.flags),
    ]
    return "\n\n".join([*parts, *details])


def _to_change(checkup: Checkup) -> str:
    """What can be changed, the worst first, or that it is nothing; then what has to be lived with."""
    changeable = [flag for flag in checkup.flags if flag.code not in _GIVEN]
    given = [flag for flag in checkup.flags if flag.code in _GIVEN]
    lines = [checkup.clock] if checkup.clock else []
    lines += [
        f"{flag.message} ({flag.code})" for flag in sorted(changeable, key=lambda flag: flag.severity != "warning")
    ]
    lines += [f"{probe.advice}" for probe in checkup.probes if probe.advice]
    lines = [
        *(lines or ["nothing: no condition was found that would disturb a measurement"]),
        *(f"to live with: {flag.message} ({flag.code})" for flag in given),
    ]
    return "\n".join(map(_wrapped, lines))


def _machine(checkup: Checkup) -> dict[str, str]:
    """The machine in a few lines."""
    hardware = checkup.environment.hardware
    cpus = f"{hardware.get('cpu', 'unknown')}, {counted(checkup.threads, 'thread')} by default"
    facts = {"CPU": cpus, "GPU": hardware.get("gpu", "none found")}
    if memory := hardware.get("memory_gib"):
        facts["memory"] = f"{memory} GiB"
    facts.update({probe.title: probe.text for probe in checkup.probes})
    return {**facts, "environment": f"{checkup.environment.hash} (records with other hashes are not compared)"}


# Facts of a machine that its user cannot change.
_GIVEN = frozenset({"VIRTUALIZED"})
# Narrower than this a text beside its title is harder to read than a line that is too long.
_LEAST_WIDTH = 30
# Backends that compute nothing: no choice for a person.
_VIRTUAL = frozenset({"null"})


_COLUMNS: tuple[Column[BackendState], ...] = (
    Column(title="backend", cell=lambda backend: backend.name),
    Column(title="device", cell=lambda backend: backend.device),
    Column(title="version", cell=lambda backend: backend.version),
    Column(title="precisions", fold=True, cell=lambda backend: " ".join(backend.precisions)),
)


def _backends(backends: Sequence[BackendState], *, every: bool) -> str:
    """What can run as a table, then why the rest cannot: each reason once, with the backends that it stops."""
    backends = backends if every else [backend for backend in backends if backend.name not in _VIRTUAL]
    lacking: dict[str, list[str]] = {}
    for backend in backends:
        if not backend.usable:
            lacking.setdefault(_lack(backend), []).append(f"{backend.name}{' (builds)' if backend.builds else ''}")
    reasons = "".join("\n" + _wrapped(", ".join(names) + f": {reason}") for reason, names in lacking.items())
    usable = [backend for backend in backends if backend.usable]
    table = table_of(_COLUMNS, usable, remedy="a wider screen or --json shows all")
    return table + (f"\n\nBackends that cannot run here{reasons}" if reasons else "")


def _wrapped(line: str) -> str:
    width = screen_width() or 100
    # Names like tensorrt-rtx, which commands contain, stay whole.
    return "\n".join(folded(line, width, first="  ", indent="    "))


def _lack(state: BackendState | LayerState) -> str:
    return "; ".join(filter(None, (state.reason, state.remedy)))


def _facts(facts: Mapping[str, str]) -> str:
    width = max((len(name) for name in facts), default=0)
    return "\n".join(_beside(f"  {name:{width}}  ", value) for name, value in facts.items())


def _beside(title: str, text: str) -> str:
    """A title and what is said of it, whose further lines stand under the first."""
    width = screen_width() or 100
    lines = folded(text, max(width - len(title), _LEAST_WIDTH)) or [""]
    return "\n".join([(title + lines[0]).rstrip(), *(" " * len(title) + line for line in lines[1:])])


def _instruments(instruments: Sequence[Instrument]) -> str:
    width = max((len(instrument.name) for instrument in instruments), default=0)
    return "\n".join(
        _beside(f"  {'yes' if instrument.usable else 'no':3}  {instrument.name:{width}}  ", instrument.detail)
        for instrument in instruments
    )


def _flags(flags: Sequence[Flag]) -> str:
    lines = [_beside(f"  {flag.severity.value:7}  ", f"{flag.code}: {flag.message}") for flag in flags]
    return "\n".join(lines) or "  nothing seen"
