"""Are columns made without pandas those that pyarrow makes itself?"""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchbox.store.arrow_arrays import array_of

INTEGERS = st.integers(min_value=-(2**63), max_value=2**63 - 1)
TEXTS = st.text(st.characters(exclude_categories=("Cs",)))
KINDS: dict[Any, Any] = {
    pa.int64(): INTEGERS,
    pa.float64(): st.floats(allow_nan=False),
    pa.bool_(): st.booleans(),
    pa.string(): TEXTS,
    pa.list_(pa.int64()): st.lists(INTEGERS),
}


@pytest.mark.parametrize("kind", KINDS, ids=str)
@given(data=st.data())
def test_a_column_is_that_of_pyarrow(kind: pa.DataType, data: st.DataObject) -> None:
    values = data.draw(st.lists(st.none() | KINDS[kind], max_size=20))
    made = array_of(values, kind)
    made.validate(full=True)
    assert made == pa.array(values, kind)
    assert made.to_pylist() == values


def test_other_kinds_are_refused() -> None:
    with pytest.raises(TypeError, match="int32"):
        array_of([1], pa.int32())


def test_pandas_is_not_imported() -> None:
    script = (
        "import sys, pyarrow as pa\n"
        "from benchbox.store.arrow_arrays import array_of\n"
        "array_of([[1], None], pa.list_(pa.int64())), array_of(['a'], pa.string())\n"
        "sys.exit('pandas' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
