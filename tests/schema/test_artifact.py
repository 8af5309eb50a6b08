"""Are the facts of an artifact derived rightly?"""

from __future__ import annotations

from benchbox.schema.artifact import TensorSpec


def test_a_spec_at_a_batch_size_keeps_all_but_its_first_dimension() -> None:
    free = TensorSpec(name="x", dtype="float32", shape=(None, 3, 8, 8))
    assert free.at_batch(4) == TensorSpec(name="x", dtype="float32", shape=(4, 3, 8, 8))
    assert free.at_batch(4).at_batch(1).shape == (1, 3, 8, 8)
    assert TensorSpec(name="scores", dtype="float16", shape=(None,)).at_batch(2).shape == (2,)
