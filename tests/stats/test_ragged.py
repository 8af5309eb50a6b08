"""Outputs of unlike sizes kept together, and compared with others."""

from __future__ import annotations

import numpy as np
import pytest

from benchbox.schema.model import Precision
from benchbox.stats.agreement import TOLERANCES, hop_from_outputs
from benchbox.stats.ragged import open_axes, padded, stacked


@pytest.mark.parametrize(("dtype", "filler"), [("float32", np.nan), ("int64", np.iinfo("int64").min), ("bool", False)])
def test_parts_are_padded_to_the_largest(dtype: str, filler: object) -> None:
    parts = [np.ones((1, 2, size), dtype) for size in (3, 0, 1)]
    assert open_axes(parts) == (2,)
    whole = stacked(parts)
    assert (whole.shape, whole.dtype) == ((3, 2, 3), np.dtype(dtype))
    assert np.array_equal(whole[2, :, 0], np.ones(2, dtype))
    assert np.array_equal(whole[1], np.full((2, 3), filler, dtype), equal_nan=dtype == "float32")


def test_parts_of_one_size_stay_as_they_are() -> None:
    parts = [np.ones((1, 3)), np.zeros((2, 3))]
    assert open_axes(parts) == ()
    assert np.array_equal(stacked(parts), np.concatenate(parts))
    assert open_axes([np.float32(1), np.float32(2)]) == ()


def test_fewer_values_than_expected_are_seen() -> None:
    expected = {"y": np.ones((1, 5), np.float32)}
    fewer = padded(np.ones((1, 4), np.float32), (1, 5))
    hop = hop_from_outputs("a", "b", expected, {"y": fewer}, TOLERANCES[Precision.FP32])
    assert not hop.passed
    more = padded(np.ones((1, 6), np.float32), (1, 5))
    assert more.shape == (1, 6)
    assert not hop_from_outputs("a", "b", expected, {"y": more}, TOLERANCES[Precision.FP32]).passed
