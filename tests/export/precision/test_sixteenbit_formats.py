"""Rounding to 16 bits against numpy and ml_dtypes, and the count of what is lost."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from benchbox.export.precision.sixteenbit_formats import FORMATS, Rounding, SixteenBit
from benchbox.schema.model import Precision

floats = arrays.arrays(np.float32, st.integers(0, 30), elements=st.floats(width=32))
both = pytest.mark.parametrize("form", FORMATS.values(), ids=FORMATS)
NUMPY = {Precision.FP16: np.dtype(np.float16), Precision.BF16: np.dtype(ml_dtypes.bfloat16)}


@both
@given(values=floats)
def test_rounding_is_that_of_the_type_but_saturates(form: SixteenBit, values: np.ndarray) -> None:
    rounding = Rounding(form)
    made = rounding.rounded(values)
    with np.errstate(over="ignore", invalid="ignore"):
        expected = values.astype(NUMPY[form.precision])
    assert made.dtype == expected.dtype
    wide, right = made.astype(np.float64), expected.astype(np.float64)
    saturated = np.isinf(right) & np.isfinite(values)
    assert np.array_equal(wide[~saturated], right[~saturated], equal_nan=True)
    assert np.array_equal(wide[saturated], np.copysign(form.largest, values[saturated].astype(np.float64)))
    normal = float(ml_dtypes.finfo(form.dtype).smallest_normal)
    assert rounding.values == values.size
    assert rounding.saturated == np.count_nonzero(saturated)
    assert rounding.zeroed == np.count_nonzero((right == 0) & (values != 0))
    assert rounding.subnormal == np.count_nonzero((np.abs(right) < normal) & (right != 0))


@both
def test_the_format_is_what_the_type_says(form: SixteenBit) -> None:
    assert form.largest == float(ml_dtypes.finfo(form.dtype).max)
    assert np.array([np.inf]).astype(form.dtype).view(np.uint16)[0] == form.exponent


def test_bf16_ties_go_to_even() -> None:
    ties = np.array([1 + 2**-8, 1 + 3 * 2**-8], np.float32)
    made = Rounding(FORMATS[Precision.BF16]).rounded(ties)
    assert made.astype(np.float32).tolist() == [1.0, 1 + 2**-6]


@both
def test_a_single_number_keeps_its_shape(form: SixteenBit) -> None:
    made = Rounding(form).rounded(np.array(3e38 if form.precision is Precision.FP16 else 3.4e38, np.float32))
    assert made.shape == ()
    assert float(made) == form.largest
