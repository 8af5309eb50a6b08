"""What are a device's peak datasheet rates? GPUs from ``devices.toml``, CPUs from their instruction sets.

A device that is neither in the file nor made of known instruction sets has no rates and no bound, never a guess.

CPUs, relative to a fused multiply-add in fp32 of the same vector width. One FMA instruction is as many multiply-adds as
the vector has fp32 lanes (8 of 256 bits, 16 of 512); the others, at one instruction where FMA has one:

* **int8 without VNNI**: VPMADDUBSW and VPMADDWD multiply and add pairwise, VPADDD accumulates: three instructions for
  4 products per fp32 lane. With 512 bits all three share the two ports that FMA has: 4/3. With 256 bits the addition
  goes to a further port, two multiplying instructions remain: 2. (oneDNN developer guide, "Nuances of int8
  Computations"; Rodriguez et al., Intel 2018, "Lower Numerical Precision Deep Learning Inference and Training", gives
  the 1.33.)
* **int8 with VNNI** (AVX512_VNNI, AVX_VNNI): VPDPBUSD does all three: 4 (Intel 64 and IA-32 Architectures Software
  Developer's Manual, volume 2; Intel 2018 as above).
* **bf16** (AVX512_BF16): VDPBF16PS sums 2 products per lane: 2. **fp16** (AVX512_FP16): twice the lanes: 2.
* **AMX**: a tile product takes 16 cycles for 16·16·64 int8 or 16·16·32 bf16 and fp16 multiply-adds: 1024 and 512 per
  cycle, beside 2 FMA of 16: 32 and 16 (Intel 64 and IA-32 Architectures Optimization Reference Manual, chapter on AMX).

A precision without instructions is widened and computed in fp32: 1. These are upper limits: processors start at most as
many of these instructions per cycle as FMAs.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from benchbox.errors import UsageError
from benchbox.registry import require_known
from benchbox.schema.device import Ceilings, Device

_ROWS = Path(__file__).with_name("devices.toml")
HERE = "cpu"  # this machine's processor, by its instruction sets
MEASURED = "here"  # this machine's processor, by its measured ceilings
_PRECISIONS = ("fp32", "tf32", "fp16", "bf16", "int8", "fp8")
_TERA, _GIGA = 1e12, 1e9
_AVX512 = ("avx", "fma", "avx2", "avx512f", "avx512bw")
# Processors by their instruction sets, to look at others than this one.
INSTRUCTION_SETS: Mapping[str, tuple[str, ...]] = {
    "avx2": ("avx", "fma", "avx2"),
    "avx2-vnni": ("avx", "fma", "avx2", "avx_vnni"),
    "avx512": _AVX512,
    "avx512-vnni": (*_AVX512, "avx512_vnni"),
    "avx512-bf16": (*_AVX512, "avx512_vnni", "avx512_bf16"),
    "amx": (*_AVX512, "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_int8", "amx_bf16"),
}
_CPU_SOURCE = "instruction sets, multiply-adds per instruction (benchbox/machine/rates.py)"


def device_names() -> tuple[str, ...]:
    """What ``--device`` may be: this processor, processors by instruction sets, GPUs by name."""
    return (HERE, MEASURED, *INSTRUCTION_SETS, *_rows())


def device_from_name(name: str, *, isa: str, cpu: str) -> Device | None:
    """The device of that name; None for this processor where its instruction sets are not known.

    Args:
        name: one of ``device_names()``; of "here" these are the rates as long as nothing was measured.
        isa: this processor's instruction sets, as Linux spells them, separated by spaces.
        cpu: what it is called.

    Raises:
        UsageError: an unknown name.
    """
    require_known("device", name, device_names())
    if name in {HERE, MEASURED}:
        return device_from_isa(isa, name=name, title=cpu)
    if name in INSTRUCTION_SETS:
        sets = INSTRUCTION_SETS[name]
        return device_from_isa(" ".join(sets), name=name, title=f"a processor with {', '.join(sets)}")
    return _gpu(name, _rows()[name])


def device_from_product(product: str) -> Device | None:
    """The GPU that NVML calls so, None for one that is not in the file."""
    for name, row in _rows().items():
        if product in row.get("products", ()):
            return _gpu(name, row)
    return None


def device_from_isa(isa: str, *, name: str, title: str) -> Device | None:
    """A processor's rates relative to fp32; None without AVX2 and FMA, of which nothing is known here."""
    flags = frozenset(isa.split())
    if not {"avx2", "fma"} <= flags:
        return None
    wide = {"avx512f", "avx512bw"} <= flags
    rates = {"fp32": 1.0}
    rates["int8"] = 4.0 if flags & {"avx512_vnni", "avx_vnni"} else 4 / 3 if wide else 2.0
    if "avx512_bf16" in flags:
        rates["bf16"] = 2.0
    if "avx512_fp16" in flags:
        rates["fp16"] = 2.0
    rates |= {kind: fast for kind, fast in (("int8", 32.0), ("bf16", 16.0), ("fp16", 16.0)) if f"amx_{kind}" in flags}
    widened = tuple(kind for kind in ("fp16", "bf16", "fp8") if kind not in rates)
    rates |= dict.fromkeys(widened, 1.0)
    text = f"{title}: {', '.join(sorted(flags & _RATED))}"
    return Device(name=name, title=text, rates=rates, widened=widened, source=_CPU_SOURCE)


_RATED = frozenset(flag for sets in INSTRUCTION_SETS.values() for flag in sets) - {"avx"} | {"amx_fp16"}


def device_from_ceilings(ceilings: Ceilings, *, widened: Sequence[str]) -> Device | None:
    """The rates that were measured, sustained and with all threads; None without an fp32 ceiling.

    Args:
        ceilings: of the device.
        widened: precisions that it has no arithmetic for and computes in fp32.
    """
    fp32 = ceilings.peak("fp32")
    if fp32 is None:
        return None
    peaks = {kind: peak for kind in _PRECISIONS if (peak := ceilings.peak(kind)) is not None}
    rates = {kind: peak.flops_per_s / fp32.flops_per_s for kind, peak in peaks.items()}
    computed = tuple(kind for kind in widened if kind not in rates)
    memory = ceilings.memory()
    return Device(
        name=MEASURED,
        title=ceilings.title,
        rates={**rates, **dict.fromkeys(computed, 1.0)},
        fp32_flops_per_s=fp32.flops_per_s,
        bytes_per_s=memory.bytes_per_s if memory else None,
        widened=computed,
        source=f"measured ceilings of {ceilings.started_at[:10]}, sustained: lower bounds of the device's own",
    )


def with_rates(device: Device, *, flops_per_s: float | None, bytes_per_s: float | None) -> Device:
    """The device with measured or given rates instead of its own; None keeps its own.

    Raises:
        UsageError: a rate that is not above 0.
    """
    for flag, rate in (("--flops", flops_per_s), ("--bandwidth", bytes_per_s)):
        if rate is not None and not rate > 0:
            raise UsageError(f"{flag} takes a rate above 0", values=f"got {rate}")
    return replace(
        device,
        fp32_flops_per_s=flops_per_s if flops_per_s is not None else device.fp32_flops_per_s,
        bytes_per_s=bytes_per_s if bytes_per_s is not None else device.bytes_per_s,
    )


def _gpu(name: str, row: Mapping[str, object]) -> Device:
    rates = {kind: float(str(row[kind])) for kind in _PRECISIONS if kind in row}
    return Device(
        name=name,
        title=str(row["title"]),
        rates={kind: rate / rates["fp32"] for kind, rate in rates.items()},
        fp32_flops_per_s=rates["fp32"] * _TERA,
        bytes_per_s=float(str(row["memory"])) * _GIGA,
        source=str(row["source"]),
    )


@cache
def _rows() -> Mapping[str, Mapping[str, list[str]]]:
    rows: dict[str, dict[str, list[str]]] = tomllib.loads(_ROWS.read_text())
    return rows
