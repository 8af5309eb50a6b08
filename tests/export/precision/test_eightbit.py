"""Codes of int8 and fp8 against numpy and ml_dtypes."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import onnx
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from benchbox.export.precision.eightbit import FORMATS, fp8_values, scales_of
from benchbox.schema.model import Precision

FP8, INT8 = FORMATS[Precision.FP8], FORMATS[Precision.INT8]
floats = arrays.arrays(np.float32, st.integers(1, 40), elements=st.floats(-1000, 1000, width=32))


def test_fp8_values_are_the_formats() -> None:
    expected = np.arange(127, dtype=np.uint8).view(ml_dtypes.float8_e4m3fn).astype(np.float64)
    assert (fp8_values() == expected).all()


@given(floats)
def test_fp8_codes_are_ml_dtypes(values: np.ndarray) -> None:
    expected = np.clip(values, -448, 448).astype(ml_dtypes.float8_e4m3fn).view(np.uint8)
    assert (FP8.codes(values) == expected).all()


def test_fp8_ties_go_to_even() -> None:
    magnitudes = fp8_values().astype(np.float32)
    middles = (magnitudes[1:] + magnitudes[:-1]) / 2
    assert (FP8.codes(middles) == middles.astype(ml_dtypes.float8_e4m3fn).view(np.uint8)).all()
    assert (FP8.codes(-middles) == (-middles).astype(ml_dtypes.float8_e4m3fn).view(np.uint8)).all()


@given(floats)
def test_int8_codes_round_and_saturate(values: np.ndarray) -> None:
    expected = [min(127, max(-127, round(float(value)))) for value in values]
    assert INT8.codes(values).tolist() == expected


def test_constants_are_what_onnx_reads() -> None:
    values = np.array([[0.0, 1.0, -3.0], [447.0, -1000.0, 0.4]], dtype=np.float32)
    for form in FORMATS.values():
        tensor = form.tensor(values, "weights")
        onnx.checker.check_tensor(tensor)
        read = onnx.numpy_helper.to_array(tensor).astype(np.float32)
        assert read.shape == values.shape
        assert np.abs(read - np.clip(values, -form.largest, form.largest)).max() <= (0.5 if form is INT8 else 16)


@given(st.floats(1e-6, 1e4))
def test_a_scale_covers_its_range(top: float) -> None:
    for form in FORMATS.values():
        for kind in (np.float32, np.float16):
            scale = float(scales_of(np.array(top), form, kind))
            assert scale == float(np.array(scale, dtype=kind))
            if top / form.largest > 2.0**-20:
                assert 1 - 1e-6 <= scale * form.largest / top < 1 + 1 / 15


def test_zeros_have_a_scale_that_can_be_divided_by() -> None:
    assert scales_of(np.array([0.0, 127.0]), INT8, np.float32).tolist() == [1.0, 1.0]
