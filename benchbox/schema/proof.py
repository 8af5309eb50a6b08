"""How much of a network ran in the precision that was asked for?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from benchbox.schema.model import Precision

# Keys of shares beside names of types: work whose type the runtime does not report, and work that no layer covers.
UNREPORTED, UNCOVERED = "unreported", "uncovered"
# Default of the least share of the multiply-adds that must run in the precision.
REQUIRED_SHARE = 0.9
# The option of the evidence that states TF32, on every backend.
TF32_OPTION = "tf32"
TF32_ALLOWED, TF32_FORBIDDEN, TF32_ABSENT = "allowed", "forbidden", "none on this device"


@dataclass(frozen=True, kw_only=True)
class OtherLayer:
    """A layer with multiply-adds that did not run in the type asked for; ``type`` may be unreported or uncovered."""

    name: str
    type: str
    macs: int


@dataclass(frozen=True, kw_only=True)
class Proof:
    """Shares of a network by the type that it was executed in.

    ``macs`` and ``bytes`` have a share in 0..1 for each type, "unreported" and "uncovered" included, and add up to 1;
    empty where the network has none. ``share`` is that of the type asked for: of the multiply-adds, or of the bytes
    in a network without any. ``passed`` says whether it reaches ``required``; None where it does not, but might with
    what is unreported or uncovered. ``layers`` are those with multiply-adds in anything else, as executed.
    ``tf32`` is the switch as the runtime reports it: TF32 leaves no trace in types, tf32 and fp32 are both stored as
    fp32.
    """

    asked: Precision
    required: float
    share: float
    macs: Mapping[str, float]
    bytes: Mapping[str, float]
    passed: bool | None
    layers: tuple[OtherLayer, ...] = ()
    tf32: str = ""

    @property
    def type(self) -> str:
        """The type that the precision asked for is stored and counted in."""
        return type_of(self.asked)

    @property
    def switch_fits(self) -> bool:
        """Whether the TF32 switch, where it is reported, is what the precision asks for."""
        wrong = TF32_FORBIDDEN if self.asked is Precision.TF32 else TF32_ALLOWED
        return self.asked not in (Precision.FP32, Precision.TF32) or self.tf32 != wrong


def type_of(precision: Precision) -> str:
    """The type that tensors of a precision have."""
    return Precision.FP32.value if precision is Precision.TF32 else precision.value


def tf32_option(*, has: bool, allowed: bool) -> dict[str, str]:
    """The entry of evidence about TF32.

    Args:
        has: whether the device can compute in TF32.
        allowed: whether the runtime reports that it may.
    """
    return {TF32_OPTION: TF32_ABSENT if not has else TF32_ALLOWED if allowed else TF32_FORBIDDEN}
