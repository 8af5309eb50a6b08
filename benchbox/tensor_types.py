"""Which numbers does a tensor hold, by the name of its type?

NumPy has no bfloat16 and no 8-bit floating point of its own: ``ml_dtypes`` brings them, and NumPy knows their names
only once it is imported. Their kind is "V" to NumPy; here it is that of the numbers they hold.
"""

from __future__ import annotations

import numpy as np

_EXTENDED = ("bfloat16", "float8_")


def array_type(name: str) -> np.dtype[np.generic]:
    """The type of arrays that hold such a tensor; raises TypeError for a name of none."""
    if is_extended(name):
        import ml_dtypes

        found: np.dtype[np.generic] = np.dtype(getattr(ml_dtypes, name))
        return found
    return np.dtype(name)


def is_extended(name: str) -> bool:
    """Whether it is a floating-point type that NumPy does not have."""
    return name.startswith(_EXTENDED)


def kind_of(name: str) -> str:
    """What its numbers are: "f" floating point, "i" and "u" whole, "b" booleans."""
    return "f" if is_extended(name) else np.dtype(name).kind
