"""Which objects of a kind exist, by name?

A registry is filled by importing every module of one package, on first use: adding a network,
a backend, a metric or a cost rule is adding a file. Duplicates raise; unknown names are answered
with the nearest known ones.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

from benchbox.errors import UsageError

T = TypeVar("T")
_MOST_LISTED = 40


# What other tools call the same things; where a word has several meanings, that which is known counts.
SYNONYMS: dict[str, str | tuple[str, ...]] = {
    "float32": "fp32", "float": "fp32", "single": "fp32", "f32": "fp32", "full": "fp32",
    "float16": "fp16", "half": "fp16", "f16": "fp16",
    "bfloat16": "bf16", "bfloat": "bf16", "bf": "bf16",
    "i8": "int8", "s8": "int8", "qint8": "int8", "uint8": "int8",
    "float8": "fp8", "f8": "fp8", "e4m3": "fp8",
    "markdown": "md", "text": "table", "txt": "table", "plain": "table", "excel": "csv", "tsv": "csv",
    "htm": "html", "xlsx": "csv",
    "ort": "onnxruntime", "ov": "openvino", "torch": "pytorch", "trt": "tensorrt",
    "latency": ("latency_p50", "isolated", "p50"), "median": ("latency_p50", "p50"), "p50": "latency_p50",
    "p90": "latency_p90", "p99": "latency_p99", "latency_p50": "p50", "latency_p90": "p90", "latency_p99": "p99",
    "mean": "latency_mean", "fps": ("throughput", "samples/s"), "qps": ("throughput", "samples/s"),
    "samples/s": "throughput", "memory": ("peak_host_memory", "peak_memory"),
    "rss": ("peak_host_memory", "peak_memory"), "ram": ("peak_host_memory", "peak_memory"),
    "peak_host_memory": "peak_memory", "peak_device_memory": "GPU_memory", "energy_per_sample": "J/sample",
    "over_bound_share": "over_bound", "speed": ("latency", "throughput"),
    "energy": "energy_per_sample", "flops": "flop", "macs": "mac", "multiplyadds": "mac",
    "throughput": ("offline", "samples/s"), "poisson": "server", "batch": "batched", "parallel": "concurrent",
    "warm": "isolated", "sync": "isolated", "async": "pipelined", "singlestream": "single-stream",
    "multistream": "multi-stream",
}  # fmt: skip


def suggestion(unknown: str, known: Iterable[str]) -> str:
    """The sentence that helps after a misspelt name: "did you mean 'resnet50'?", or "".

    Args:
        unknown: what was asked for.
        known: every name that exists.
    """
    import difflib

    names = {name.lower(): name for name in known}
    word = unknown.lower()

    def meant(word: str) -> list[str]:
        called = SYNONYMS.get(word, ())
        found = [name.lower() for name in (word, *([called] if isinstance(called, str) else called))]
        return [name for name in found if name in names][:1]

    # Also of what other tools call it with a slip in it: "latancy".
    begun = [name for name in names if len(word) > 2 and name.startswith(word)][:3]  # "onnx"
    near = meant(word) or begun or difflib.get_close_matches(word, names, n=3, cutoff=0.6)
    near = near or [name for slip in difflib.get_close_matches(word, SYNONYMS, n=1, cutoff=0.8) for name in meant(slip)]
    if not near:
        return ""
    near = [names[name] for name in near]
    return "did you mean " + " or ".join(f"'{name}'" for name in near) + "?"


def require_known(kind: str, name: str, known: Iterable[str], *, remedy: str = "") -> str:
    """The name if it is known; else a UsageError with the nearest known ones.

    Args:
        kind: the word for what is named ("model", "precision").
        name: what was asked for.
        known: every name that exists.
        remedy: the last part of the message; by default the list of known names.
    """
    names = list(known)
    if name not in names:
        raise UsageError(
            f"unknown {kind} '{name}'",
            values=suggestion(name, names),
            remedy=remedy or _listed(name, names),
        )
    return name


def _listed(name: str, names: list[str]) -> str:
    """Every name where they are few, else those that contain the word, and how many there are."""
    if len(names) <= _MOST_LISTED:
        return f"known: {', '.join(names)}"
    alike = [known for known in names if name.lower() in known.lower()][:_MOST_LISTED]
    return "\n".join(
        [
            *([f"with that word: {', '.join(alike)}"] if alike else []),
            f"{len(names)} names are known; 'benchbox explain' lists them",
        ]
    )


class Registry(Generic[T]):
    """Objects of one kind by name, registered by the modules of one package.

    Args:
        kind: the word for one entry in messages ("model", "backend").
        package: dotted name of the package whose modules register entries when imported.
    """

    def __init__(self, kind: str, package: str) -> None:
        self._kind = kind
        self._package = package
        self._entries: dict[str, T] = {}
        self._scanned = False

    def register(self, name: str, entry: T) -> T:
        """Adds an entry under a name and returns it; a second entry of that name is a bug and raises ValueError."""
        if name in self._entries:
            raise ValueError(f"{self._kind} '{name}' is registered twice")
        self._entries[name] = entry
        return entry

    def get(self, name: str) -> T:
        """The entry of that name; an unknown name raises UsageError with the nearest known names."""
        self._scan()
        require_known(self._kind, name, self._entries)
        return self._entries[name]

    def names(self) -> tuple[str, ...]:
        """Every registered name, in the order of registration (files by name, entries as written)."""
        self._scan()
        return tuple(self._entries)

    def __contains__(self, name: object) -> bool:
        self._scan()
        return name in self._entries

    def __iter__(self) -> Iterator[T]:
        self._scan()
        return iter(self._entries.values())

    def _scan(self) -> None:
        if self._scanned:
            return
        self._scanned = True
        import pkgutil

        package = importlib.import_module(self._package)
        for found in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{self._package}.{found.name}")
