"""Seeded inputs are the same everywhere, and each sample is its own."""

from __future__ import annotations

import hashlib

import numpy as np

from benchbox.schema.artifact import Drawn, TensorSpec, Values
from benchbox.stats.inputs import seeded_arrays

IMAGE = TensorSpec(name="input", dtype="float32", shape=(None, 3, 8, 8))


def test_a_sample_depends_on_seed_index_and_name_only() -> None:
    four = seeded_arrays([IMAGE], seed=1, samples=4)["input"]
    last_two = seeded_arrays([IMAGE], seed=1, samples=2, first=2)["input"]
    assert np.array_equal(four[2:], last_two)
    assert not np.array_equal(four[0], four[1])
    assert not np.array_equal(four, seeded_arrays([IMAGE], seed=2, samples=4)["input"])
    renamed = TensorSpec(name="other", dtype="float32", shape=(None, 3, 8, 8))
    assert not np.array_equal(four, seeded_arrays([renamed], seed=1, samples=4)["other"])


def test_values_are_standard_normal_and_never_zeros() -> None:
    values = seeded_arrays([IMAGE], seed=0, samples=64)["input"]
    assert abs(values.mean()) < 0.05
    assert abs(values.std() - 1) < 0.05
    assert np.count_nonzero(values) == values.size


def test_integers_and_booleans_are_valid_everywhere() -> None:
    tokens = TensorSpec(name="tokens", dtype="int64", shape=(None, 100))
    mask = TensorSpec(name="mask", dtype="bool", shape=(None, 100))
    found = seeded_arrays([tokens, mask], seed=0, samples=2)
    assert found["tokens"].dtype == np.int64
    assert set(np.unique(found["tokens"])) == {0, 1}
    assert found["mask"].dtype == np.bool_


def test_the_stream_never_changes() -> None:
    """Records of different days are comparable only if their inputs are the same: this hash is for ever."""
    data = seeded_arrays([IMAGE], seed=0, samples=1)["input"].tobytes()
    assert hashlib.sha256(data).hexdigest()[:16] == "08e063d2439baa9f"


def test_each_place_has_a_range_of_its_own() -> None:
    fed = Values(drawn=Drawn.ROWS, text="", low=0, high=900, axis=1, ranges=((5, 6), (0, 900), None))
    for spec in (
        TensorSpec(name="x", dtype="float32", shape=(None, 3, 50), values=fed),
        TensorSpec(name="x", dtype="float32", shape=(50, 3, None), batch_axis=2, values=fed),
        TensorSpec(name="x", dtype="float32", shape=(50, 3), batch_axis=None, values=fed),
    ):
        made = seeded_arrays([spec], seed=0, samples=4)["x"]
        assert made.shape == tuple(size or 4 for size in spec.shape)
        first, rows, plain = (made.take(place, axis=1) for place in range(3))
        assert (first == 5).all()
        assert 100 < rows.max() < 900
        assert (rows == np.floor(rows)).all()
        assert not (plain == np.floor(plain)).any()
