"""With which options of ``benchbox run`` is a stored case measured again?"""

from __future__ import annotations

from benchbox.schema.identity import CaseIdentity
from benchbox.schema.plan import TRANSFER_TIMED, Mode

_VARIANT_FLAGS = {
    "input": "--input",
    "fallback": "--fallback",
    "method": "--calibration-method",
    "converter": "--converter",
    "task": "--task",
    "builder_level": "--builder-level",
    "aux_streams": "--aux-streams",
    "build": "--builds",
}
_GIB = 1 << 30


def options_of(case: CaseIdentity) -> list[str]:
    """The options of ``benchbox run`` that measure a case, but for those of its variant."""
    words = ["--backend", case.backend, "--precision", str(case.precision), "--batch", str(case.batch)]
    words += ["--threads", str(case.threads)]
    if case.like:
        return [*words, "--like", case.like]
    if case.mode is not Mode.ISOLATED:
        words += ["--mode", str(case.mode)]
    sizes = (("--group", case.group), ("--streams", case.streams), ("--rate", case.rate_per_s))
    for flag, size in (*sizes, ("--latency-bound", case.latency_bound_s)):
        words += [flag, f"{size:g}"] if size is not None else []
    return [*words, *(["--transfers"] if case.transfer == TRANSFER_TIMED else [])]


def variant_options(variant: str, *, calibration: str = "") -> list[str]:
    """The flags that a variant came from ("exclude=fc* fallback=fp16 sequence=128").

    ``calibration`` is where the data of a calibration lay, "" if that is not known: a variant has its name alone.
    """
    words: list[str] = []
    for part in variant.split():
        name, equals, value = part.partition("=")
        if not equals:
            words += ["--sparsity"] if name == "sparsity" else []
        elif name == "calibration":
            words += ["--calibration", calibration or value]
        elif name in _VARIANT_FLAGS:
            words += [_VARIANT_FLAGS[name], value]
        elif name == "exclude":
            words += [word for pattern in value.split(",") for word in ("--exclude", pattern)]
        elif name == "batch-axis":
            words += ["--batch-axis", "=".join(value.rsplit(":", 1))]
        elif name == "inputs":
            words += ["--inputs", value.rpartition("@")[0]]
        elif name == "workspace":
            words += ["--workspace", f"{int(value) / _GIB:g}"]
        elif name == "tactic_sources":
            words += ["--tactic-sources", value.replace("+", ",")]
        else:  # a size by its name
            words += ["--input", part]
    return words
