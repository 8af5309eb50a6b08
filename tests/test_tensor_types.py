"""Types of tensors that NumPy does not have, also in a process that has imported nothing that brings them."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from benchbox.schema.artifact import TensorSpec
from benchbox.stats.inputs import fed_in_words, seeded_arrays
from benchbox.tensor_types import array_type, kind_of


@pytest.mark.parametrize(
    ("name", "size", "kind"),
    [("bfloat16", 2, "f"), ("float8_e4m3fn", 1, "f"), ("float16", 2, "f"), ("int64", 8, "i"), ("bool", 1, "b")],
)
def test_names_have_types(name: str, size: int, kind: str) -> None:
    assert (array_type(name).itemsize, kind_of(name)) == (size, kind)


def test_a_type_of_nobody_is_an_error() -> None:
    with pytest.raises(TypeError):
        array_type("float7")


@pytest.mark.parametrize("name", ["bfloat16", "float8_e5m2"])
def test_short_floats_are_drawn_as_floats(name: str) -> None:
    """To NumPy their kind is "V": they were drawn as 0 and 1."""
    spec = TensorSpec(name="x", dtype=name, shape=(None, 4000))
    values = seeded_arrays([spec], seed=0, samples=1)["x"].astype(np.float32)
    assert len(np.unique(values)) > 50
    assert values.std() == pytest.approx(1, abs=0.1)
    assert fed_in_words(spec) == "seeded, standard normal"


def test_a_worker_needs_no_import_before() -> None:
    words = "from benchbox.tensor_types import array_type; print(array_type('bfloat16').itemsize)"
    ran = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "2"
