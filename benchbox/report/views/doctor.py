"""How is the state of this machine shown: what can run, on what, and what will disturb a measurement?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchbox.machine.instruments import Instrument
from benchbox.report.screen import table_of
from benchbox.report.table import Column
from benchbox.schema.environment import Environment
from benchbox.schema.reading import Flag
from benchbox.store.documents import plain


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
class Checkup:
    """Everything that ``benchbox doctor`` found; ``threads`` is the default number of CPU threads."""

    backends: tuple[BackendState, ...]
    layers: tuple[LayerState, ...]
    environment: Environment
    instruments: tuple[Instrument, ...]
    flags: tuple[Flag, ...]
    threads: int


def document_from_checkup(checkup: Checkup) -> dict[str, object]:
    """The JSON document ``benchbox.doctor/1``."""
    document = plain(checkup)
    return {
        "schema": "benchbox.doctor/1",
        "cuda_layers": document.pop("layers"),
        **document,
        "flags": [{name: flag[name] for name in ("code", "severity", "message")} for flag in document["flags"]],
    }


def render_checkup(checkup: Checkup) -> str:
    """The same for people."""
    parts = [
        "Backends\n" + _backends(checkup.backends),
        "CUDA\n" + _facts({layer.name: layer.version or _lack(layer) for layer in checkup.layers}),
        "Hardware\n" + _facts(checkup.environment.hardware),
        "Software\n" + _facts(checkup.environment.software),
        "Now\n" + _facts(checkup.environment.observed),
        "What can be read and set\n" + _instruments(checkup.instruments),
        "What will disturb a measurement\n" + _flags(checkup.flags),
        f"environment {checkup.environment.hash}; {checkup.threads} CPU threads by default",
    ]
    return "\n\n".join(parts)


_COLUMNS: tuple[Column[BackendState], ...] = (
    Column(title="backend", cell=lambda backend: backend.name),
    Column(title="device", cell=lambda backend: backend.device),
    Column(title="version", cell=lambda backend: backend.version),
    Column(title="precisions", fold=True, cell=lambda backend: " ".join(backend.precisions)),
)


def _backends(backends: Sequence[BackendState]) -> str:
    """What can run as a table, then why the rest cannot: each reason once, with the backends that it stops."""
    lacking: dict[str, list[str]] = {}
    for backend in backends:
        if not backend.usable:
            lacking.setdefault(_lack(backend), []).append(f"{backend.name}{' (builds)' if backend.builds else ''}")
    reasons = "".join(f"\n  {', '.join(names)}\n    {reason}" for reason, names in lacking.items())
    usable = [backend for backend in backends if backend.usable]
    return table_of(_COLUMNS, usable) + (f"\n\nBackends that cannot run here{reasons}" if reasons else "")


def _lack(state: BackendState | LayerState) -> str:
    return "; ".join(filter(None, (state.reason, state.remedy)))


def _facts(facts: Mapping[str, str]) -> str:
    width = max((len(name) for name in facts), default=0)
    return "\n".join(f"  {name:{width}}  {value}" for name, value in facts.items())


def _instruments(instruments: Sequence[Instrument]) -> str:
    width = max((len(instrument.name) for instrument in instruments), default=0)
    return "\n".join(
        f"  {'yes' if instrument.usable else 'no ':3}  {instrument.name:{width}}  {instrument.detail}"
        for instrument in instruments
    )


def _flags(flags: Sequence[Flag]) -> str:
    return "\n".join(f"  {flag.severity.value:7}  {flag.code}: {flag.message}" for flag in flags) or "  nothing seen"
