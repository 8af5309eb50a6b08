"""How do Python values become a column of Arrow, without pandas?

``pyarrow.array`` of a list imports pandas to see whether the list is one of its own: half a second of every command
that stores a record. The layout of buffers is that of https://arrow.apache.org/docs/format/Columnar.html.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow


def array_of(values: Sequence[Any], kind: pyarrow.DataType) -> pyarrow.Array:
    """A column.

    Args:
        values: None where there is no value.
        kind: int64, float64, bool, string, or a list of one of them.

    Raises:
        TypeError: another kind.
    """
    import numpy as np
    import pyarrow as pa

    present = [value is not None for value in values]
    valid = None if all(present) else _bits(present)
    if pa.types.is_list(kind):
        lists = [value if value is not None else () for value in values]
        child = array_of([item for each in lists for item in each], kind.value_type)
        return pa.Array.from_buffers(
            kind, len(values), [valid, _offsets([len(each) for each in lists])], children=[child]
        )
    if pa.types.is_string(kind):
        texts = [(value or "").encode() for value in values]
        return pa.Array.from_buffers(
            kind, len(values), [valid, _offsets([len(text) for text in texts]), pa.py_buffer(b"".join(texts))]
        )
    if pa.types.is_boolean(kind):
        return pa.Array.from_buffers(kind, len(values), [valid, _bits([bool(value) for value in values])])
    if not (pa.types.is_int64(kind) or pa.types.is_float64(kind)):
        raise TypeError(f"columns of {kind} are not made")
    dtype = np.int64 if pa.types.is_int64(kind) else np.float64
    numbers = np.array([value if value is not None else 0 for value in values], dtype=dtype)
    return pa.Array.from_buffers(kind, len(values), [valid, pa.py_buffer(numbers.tobytes())])


def _bits(values: Sequence[bool]) -> pyarrow.Buffer:
    import numpy as np
    import pyarrow as pa

    return pa.py_buffer(np.packbits(np.array(values, dtype=bool), bitorder="little").tobytes())


def _offsets(lengths: Sequence[int]) -> pyarrow.Buffer:
    import numpy as np
    import pyarrow as pa

    return pa.py_buffer(np.cumsum([0, *lengths], dtype=np.int32).tobytes())
