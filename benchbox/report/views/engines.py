"""How are engines listed: what was built, what is kept, what was deleted?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchbox.report.screen import table_of
from benchbox.report.table import Column
from benchbox.schema.engine import EngineArtifact
from benchbox.store.documents import document_from_engine, plain
from benchbox.store.engines import Pruned
from benchbox.units import ABSENT, counted, format_bytes, format_time


@dataclass(frozen=True, kw_only=True)
class Listed:
    """An engine that is kept; ``fault`` says why it cannot be used. No artifact where its card is damaged."""

    name: str
    engine: EngineArtifact | None
    fault: str


def render_built(engine: EngineArtifact, *, cached: bool, root: Path) -> str:
    """One engine for people."""
    recipe, memory = engine.recipe, engine.memory
    state = f"taken from the cache, built {engine.built_at}" if cached else f"built in {format_time(engine.build_s)}"
    lines = [
        f"{engine.model} {engine.precision} {recipe.backend} {recipe.backend_version}: {state}",
        f"  engine  {root / engine.path} ({format_bytes(engine.size_bytes)})",
        f"  sha256  {engine.sha256}",
        f"  for     batch {batch_text(engine)}, {_where(engine)}",
        f"  memory  activations {format_bytes(memory.activation_bytes)}, weights {format_bytes(memory.weight_bytes)}"
        " on the device, as the builder declares",
        f"  log     {root / engine.log_path}",
    ]
    if engine.timing_cache_path is not None:
        lines.append(f"  timing  {root / engine.timing_cache_path}")
    return "\n".join([*lines, *(f"  warning: {warning}" for warning in engine.warnings)])


def document_from_built(built: Sequence[tuple[EngineArtifact, bool]]) -> dict[str, object]:
    """The JSON document ``benchbox.build/1``; each engine with whether it was there already."""
    return {
        "schema": "benchbox.build/1",
        "engines": [{**document_from_engine(engine), "cached": cached} for engine, cached in built],
    }


def render_listed(listed: Sequence[Listed]) -> str:
    """Every kept engine as a table."""
    if not listed:
        return "no engines are kept under this root"
    return table_of(_COLUMNS, listed, remedy="a wider screen or --json shows all")


def document_from_listed(listed: Sequence[Listed]) -> dict[str, object]:
    """The JSON document ``benchbox.engines/1``; ``fault`` is null for an engine that can be used."""
    return {
        "schema": "benchbox.engines/1",
        "engines": [
            {
                "name": entry.name,
                "fault": entry.fault or None,
                "engine": document_from_engine(entry.engine) if entry.engine else None,
            }
            for entry in listed
        ],
    }


def render_pruned(pruned: Sequence[Pruned]) -> str:
    """What was deleted, and how much room that made."""
    lines = [f"{entry.path}: {entry.reason}" for entry in pruned]
    total = format_bytes(sum(entry.size_bytes for entry in pruned))
    return "\n".join([*lines, f"{counted(len(pruned), 'file')} deleted, {total} freed"])


def document_from_pruned(pruned: Sequence[Pruned]) -> dict[str, object]:
    """The JSON document ``benchbox.prune/1``."""
    return {
        "schema": "benchbox.prune/1",
        "removed": plain(tuple(pruned)),
        "freed_bytes": sum(entry.size_bytes for entry in pruned),
    }


def batch_text(engine: EngineArtifact) -> str:
    """The batch sizes of an engine: "1:8:32", or "4" where it accepts only one."""
    batch = engine.batch
    if batch.minimum == batch.maximum:
        return str(batch.minimum)
    return f"{batch.minimum}:{batch.optimum}:{batch.maximum}"


def _where(engine: EngineArtifact) -> str:
    recipe = engine.recipe
    return recipe.device or ",".join(recipe.targets) or "every GPU that this version supports"


def _of_engine(
    title: str, cell: Callable[[EngineArtifact], str], *, number: bool = False, rank: int = 0
) -> Column[Listed]:
    """A column that is absent where the card is damaged."""
    return Column(
        title=title, cell=lambda entry: cell(entry.engine) if entry.engine else ABSENT, number=number, rank=rank
    )


_COLUMNS: tuple[Column[Listed], ...] = (
    Column(title="engine", cell=lambda entry: entry.name),
    _of_engine("version", lambda engine: engine.recipe.backend_version),
    _of_engine("batch", batch_text),
    _of_engine("for", _where),
    _of_engine("size", lambda engine: format_bytes(engine.size_bytes), number=True),
    _of_engine("build", lambda engine: format_time(engine.build_s), number=True, rank=1),
    Column(title="state", fold=True, cell=lambda entry: entry.fault or "ok"),
)
