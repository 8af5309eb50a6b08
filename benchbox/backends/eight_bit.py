"""May this processor's products of bytes saturate?

On x86 sums of two products of an unsigned and a signed byte are kept in 16 bits, unless the processor has VNNI or AMX.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

# Instruction sets whose products of bytes are added up in 32 bits.
EXACT = frozenset({"avx512_vnni", "avx_vnni", "avx_vnni_int8", "amx_int8"})
# What sessions report in their options where it may happen in them.
SUMS_OPTION, MAY_SATURATE = "sums of 8-bit products", "may saturate in 16 bits"


def saturates(isa: Collection[str]) -> bool:
    """Whether products of bytes may saturate on a processor with these instruction sets, as the kernel names them."""
    return any(flag.startswith(("avx", "sse")) for flag in isa) and not EXACT.intersection(isa)


def instruction_sets(root: Path = Path("/")) -> frozenset[str]:
    """This processor's, as /proc/cpuinfo lists them; empty where it does not say."""
    try:
        lines = (root / "proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return frozenset()
    flags = next((line.partition(":")[2] for line in lines if line.startswith(("flags", "Features"))), "")
    return frozenset(flags.split())
