"""Which choices of the builder's configuration did a recipe ask for?

They stand in its flags as words, "builder_level=5" or "sparsity", so that they are a part of the engine's key. Each is
read back from the configuration: an engine does not report how it was built.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from benchbox.backends.tensorrt.vendor import Bindings
from benchbox.errors import ArtifactError, UsageError
from benchbox.registry import require_known

LEVEL, WORKSPACE, AUX_STREAMS, TACTICS, SPARSITY = (
    "builder_level",
    "workspace",
    "aux_streams",
    "tactic_sources",
    "sparsity",
)


def apply_options(bindings: Bindings, config: Any, flags: Iterable[str]) -> None:
    """Makes the choices that are among a recipe's flags.

    Raises:
        UsageError: this version has no such choice.
        ArtifactError: it did not take it.
    """
    for flag in flags:
        name, _, value = flag.partition("=")
        choose = _CHOICES.get(name)
        if choose is None:
            continue
        try:
            wanted, taken = choose(bindings.api, config, value)
        except AttributeError as error:
            raise UsageError(f"{bindings.vendor.title} {bindings.version} has no {name}", values=str(error)) from error
        if wanted != taken:
            raise ArtifactError(
                f"{bindings.vendor.title} {bindings.version} does not take {name}",
                values=f"asked for {wanted}, the builder says {taken}",
                remedy="leave that flag out",
            )


def _level(_: Any, config: Any, value: str) -> tuple[int, int]:
    config.builder_optimization_level = int(value)
    return int(value), int(config.builder_optimization_level)


def _workspace(api: Any, config: Any, value: str) -> tuple[int, int]:
    config.set_memory_pool_limit(api.MemoryPoolType.WORKSPACE, int(value))
    return int(value), int(config.get_memory_pool_limit(api.MemoryPoolType.WORKSPACE))


def _aux_streams(_: Any, config: Any, value: str) -> tuple[int, int]:
    config.max_aux_streams = int(value)
    return int(value), int(config.max_aux_streams)


def _tactics(api: Any, config: Any, value: str) -> tuple[int, int]:
    known = api.TacticSource.__members__
    mask = 0
    for name in filter(None, value.split("+")):
        mask |= 1 << int(known[require_known("tactic source", name, tuple(known))])
    config.set_tactic_sources(mask)
    return mask, int(config.get_tactic_sources())


def _sparsity(api: Any, config: Any, _: str) -> tuple[bool, bool]:
    config.set_flag(api.BuilderFlag.SPARSE_WEIGHTS)
    return True, bool(config.get_flag(api.BuilderFlag.SPARSE_WEIGHTS))


_CHOICES: dict[str, Callable[[Any, Any, str], tuple[Any, Any]]] = {
    LEVEL: _level,
    WORKSPACE: _workspace,
    AUX_STREAMS: _aux_streams,
    TACTICS: _tactics,
    SPARSITY: _sparsity,
}
