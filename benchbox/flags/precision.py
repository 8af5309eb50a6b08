"""When was a case not, or not wholly, executed in the precision that was asked for?"""

from __future__ import annotations

from collections.abc import Iterator

from benchbox.backends.eight_bit import MAY_SATURATE, SUMS_OPTION
from benchbox.schema.proof import UNCOVERED, UNREPORTED, Proof
from benchbox.schema.reading import Flag, Severity
from benchbox.schema.trial import Evidence
from benchbox.units import format_share

_NAMED = 5


def flags_of_proof(proof: Proof | None) -> Iterator[Flag]:
    """PRECISION_NOT_EXECUTED or PRECISION_PARTIAL, whichever the shares call for; nothing for a complete proof."""
    if proof is None or not (proof.macs or proof.bytes):
        return
    ran = f"{proof.asked} was requested; of the {'MACs' if proof.macs else 'bytes'} ran: {shares_in_words(proof)}"
    if proof.passed is False:
        yield Flag(
            code="PRECISION_NOT_EXECUTED",
            severity=Severity.ERROR,
            message=f"{ran}, so this is not the speed of {proof.asked} ({_wanted(proof)})" + _layers_in_words(proof),
            size=1 - proof.share,
        )
    elif proof.passed is None:
        yield Flag(
            code="PRECISION_NOT_EXECUTED",
            severity=Severity.WARNING,
            message=f"{ran}: the runtime reports too little to prove it ({_wanted(proof)})" + _layers_in_words(proof),
            size=1 - proof.share,
        )
    elif proof.share < 1:
        yield Flag(
            code="PRECISION_PARTIAL",
            severity=Severity.INFO,
            message=ran + _layers_in_words(proof),
            size=1 - proof.share,
        )


def flags_of_saturation(evidence: Evidence) -> Iterator[Flag]:
    """SUMS_MAY_SATURATE where the session could not be opened with the kernels that cannot."""
    if evidence.options.get(SUMS_OPTION) == MAY_SATURATE:
        yield Flag(
            code="SUMS_MAY_SATURATE",
            severity=Severity.WARNING,
            message=f"{evidence.backend} refused its exact 8-bit kernels for this file, and this processor has no "
            "VNNI: sums of products of bytes are kept in 16 bits, so the speed is right and outputs may be off for "
            "other inputs than those checked; use activations of unsigned bytes, or another --backend",
        )


def shares_in_words(proof: Proof) -> str:
    """Every share of the multiply-adds, that of the precision asked for first: "fp16 0 %, fp32 100 %"."""
    shares = proof.macs or proof.bytes
    kinds = sorted(shares, key=lambda kind: (kind != proof.type, kind in {UNREPORTED, UNCOVERED}, -shares[kind]))
    return ", ".join(f"{kind} {format_share(shares[kind])}" for kind in kinds)


def _wanted(proof: Proof) -> str:
    if not proof.switch_fits:
        return f"its runtime reports that TF32 is {proof.tf32}"
    return f"at least {format_share(proof.required)} are required"


def _layers_in_words(proof: Proof) -> str:
    """The first of the layers that ran in something else, and where the rest is listed."""
    if not proof.layers:
        return ""
    named = ", ".join(f"{layer.name} ({layer.type})" for layer in proof.layers[:_NAMED])
    rest = len(proof.layers) - _NAMED
    return f"; not in {proof.type}: {named}" + (
        f" and {rest} more, all in proof.layers of the record" if rest > 0 else ""
    )
