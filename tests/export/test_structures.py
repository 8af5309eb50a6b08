"""The kept files without weights, of which networks are counted, are what an export gives."""

from __future__ import annotations

from typing import Any

import onnx
import pytest

from benchbox.models.zoo.zoo import specs

# One of each way of building on every push, the whole zoo in the long form.
PUSHED = ("lenet5",)


def comparable(model: onnx.ModelProto) -> bytes:
    """The graph, whichever release of the exporter wrote it."""
    model.producer_version = ""
    return model.SerializeToString(deterministic=True)


@pytest.mark.parametrize(
    "name",
    [*PUSHED, *(pytest.param(name, marks=pytest.mark.nightly) for name in sorted(specs()) if name not in PUSHED)],
)
def test_a_kept_file_is_what_an_export_gives(name: str, exports: Any) -> None:
    kept, exported = (
        onnx.load(str(path), load_external_data=False) for path in (exports.counted(name), exports.structure(name))
    )
    assert comparable(kept) == comparable(exported), f"run: python tests/golden/write_structures.py {name}"


def test_every_network_of_the_zoo_has_one(exports: Any) -> None:
    for name in specs():
        assert exports.counted(name).stat().st_size > 1000
