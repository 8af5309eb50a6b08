"""Would the runtime refuse an engine, and why?

TensorRT-RTX judges the first bytes of a file without loading it. TensorRT has no such question: there the file's
sha256 and the version that the artifact names are all that can be compared before loading.
"""

from __future__ import annotations

from dataclasses import dataclass

from benchbox.backends.tensorrt.journal import journal
from benchbox.backends.tensorrt.vendor import Bindings, Vendor, loaded
from benchbox.errors import ArtifactError

# What is wrong with the file itself; everything else is wrong with this machine.
_OF_THE_FILE = {
    "VERSION_MISMATCH": "it was built by another version",
    "MALFORMED_ENGINE": "its header is not that of an engine of this version",
}
_OF_THE_MACHINE = {
    "UNSUPPORTED_CC": "it was not built for this GPU's compute capability",
    "OLD_CUDA_DRIVER": "it needs a newer NVIDIA driver",
    "OLD_CUDA_RUNTIME": "it needs a newer CUDA runtime",
    "INSUFFICIENT_GPU_MEMORY": "it needs more memory than this GPU has",
    "CUDA_ERROR": "CUDA does not work here",
}
# Without a driver the runtime reports no diagnostic for another version, but it says so in this message.
_OTHER_VERSION = "has been created with"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Why an engine would be refused: for reasons of the file and of the machine, both empty if it would load."""

    of_the_file: tuple[str, ...] = ()
    of_the_machine: tuple[str, ...] = ()


def verdict_on(bindings: Bindings, engine: bytes) -> Verdict:
    """What the runtime says about an engine's header; an empty verdict where it cannot be asked."""
    if not bindings.judges_engines:
        return Verdict()
    api = bindings.api
    log, lines = journal(api)
    validity, diagnostics = api.Runtime(log).get_engine_validity(engine)
    if validity != api.EngineValidity.INVALID:
        return Verdict()
    named = {name for name, value in api.EngineInvalidityDiagnostics.__members__.items() if diagnostics & int(value)}
    if any(_OTHER_VERSION in message for _, message in lines):
        named.add("VERSION_MISMATCH")
    machine = tuple(text for name, text in _OF_THE_MACHINE.items() if name in named)
    return Verdict(
        of_the_file=tuple(text for name, text in _OF_THE_FILE.items() if name in named),
        of_the_machine=machine if named else ("there is no working NVIDIA driver to judge it by",),
    )


def fault_of(vendor: Vendor, engine: bytes) -> str | None:
    """Why an engine would be refused on any machine, None if it would not; for ``in_child``: it makes a runtime."""
    return "; ".join(verdict_on(loaded(vendor), engine).of_the_file) or None


def require_loadable(bindings: Bindings, engine: bytes, *, name: str) -> None:
    """Raises ArtifactError with the runtime's reasons if it would refuse an engine; call it before loading."""
    verdict = verdict_on(bindings, engine)
    reasons = (*verdict.of_the_file, *verdict.of_the_machine)
    if reasons:
        raise ArtifactError(
            f"{bindings.vendor.title} {bindings.version} refuses the engine {name}",
            values="; ".join(reasons),
            remedy="build it again on this machine with 'benchbox build'",
        )
