"""Which flags choose how an engine is built, and how do they stand in its recipe?

Names and meanings are those of trtexec's ``--builderOptimizationLevel``, ``--memPoolSize``, ``--maxAuxStreams``,
``--tacticSources`` and ``--sparsity``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import click

from benchbox.cli.flags.kinds import COUNT, Number
from benchbox.cli.flags.shared import grouped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchbox.jobs.cases import Case

_LEVEL = Number("a whole number from 0 to 5", lambda number: number in range(6))
_STREAMS = Number("a whole number from 0", lambda number: number >= 0 and number == int(number))
_GIB = Number("a positive number of GiB", lambda number: number > 0, scale=float(1 << 30))


@dataclass(frozen=True, kw_only=True)
class BuilderFlags:
    """The flags of a builder; None and False where one was not given."""

    builder_level: float | None
    workspace: float | None
    aux_streams: float | None
    tactic_sources: str | None
    sparsity: bool

    @property
    def options(self) -> tuple[str, ...]:
        """As words of a recipe, in the order of their names."""
        chosen = {
            "aux_streams": None if self.aux_streams is None else int(self.aux_streams),
            "builder_level": None if self.builder_level is None else int(self.builder_level),
            "tactic_sources": None
            if self.tactic_sources is None
            else "+".join(sorted(filter(None, self.tactic_sources.upper().split(",")))),
            "workspace": None if self.workspace is None else int(self.workspace),
        }
        words = [f"{name}={value}" for name, value in chosen.items() if value is not None]
        return (*words, *(("sparsity",) if self.sparsity else ()))


builder_options = grouped(
    "builder",
    BuilderFlags,
    click.option(
        "--builder-level",
        metavar="N",
        type=_LEVEL,
        help="Builder optimisation level, 0 (shortest search) to 5 (longest) [default: the builder's, 3].",
    ),
    click.option("--workspace", metavar="GIB", type=_GIB, help="GPU memory limit for tactics, in GiB [default: none]."),
    click.option(
        "--aux-streams",
        metavar="N",
        type=_STREAMS,
        help="Maximum number of auxiliary streams [default: the builder's].",
    ),
    click.option(
        "--tactic-sources",
        metavar="S,...",
        help="Libraries that kernels may come from, for example CUBLAS,JIT_CONVOLUTIONS [default: the builder's].",
    ),
    click.option("--sparsity", is_flag=True, help="Allow 2:4 sparse kernels for weights with that sparsity."),
)


builds_option = click.option(
    "--builds",
    metavar="N",
    type=COUNT,
    help="Build so many engines of each case, each choosing its kernels anew: how far are builds apart? "
    "[default: one, which shares what was measured before].",
)


def with_builds(cases: Sequence[Case], builds: int | None, *, paired: bool) -> tuple[Case, ...]:
    """So many cases for each, an engine each; raises UsageError where one of them runs none, or sides are compared."""
    from benchbox.errors import UsageError
    from benchbox.schema.engine import BUILD

    if builds is None:
        return tuple(cases)
    if paired:
        raise UsageError(
            "--builds goes without --ab",
            values="a side is one case, with one engine",
            remedy="measure the builds of each side in a run of its own, then 'benchbox compare'",
        )
    words = [f"{BUILD}={number}" for number in range(1, builds + 1)]
    _require_engines(cases, ("--builds",))
    return tuple(replace(case, builder=(*case.builder, word)) for case in cases for word in words)


def with_builder(cases: Sequence[Case], flags: BuilderFlags) -> tuple[Case, ...]:
    """The cases with these choices; raises UsageError if one of them runs no engine."""
    if not flags.options:
        return tuple(cases)
    _require_engines(cases, flags.options)
    return tuple(replace(case, builder=flags.options) for case in cases)


def _require_engines(cases: Sequence[Case], options: Sequence[str]) -> None:
    from benchbox.backends.base import BACKENDS, EngineBackend
    from benchbox.errors import UsageError
    from benchbox.schema.model import SourceKind

    given = next((case.source.reference for case in cases if case.source.kind is SourceKind.ENGINE), "")
    if given:
        raise UsageError(
            "these flags are for engines that are built here",
            values=f"{', '.join(options)}; {given} is built already",
            remedy="leave them out, or name the ONNX file",
        )
    others = ", ".join(
        sorted({case.backend for case in cases if not isinstance(BACKENDS.get(case.backend), EngineBackend)})
    )
    if others:
        raise UsageError(
            "these flags are for engines of TensorRT",
            values=f"{', '.join(options)}; {others} builds none",
            remedy="leave them out, or name --backend tensorrt",
        )
