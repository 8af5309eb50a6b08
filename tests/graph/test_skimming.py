"""The structure of a file is read without its weights, and a damaged file is told in words."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import onnx
import pytest
from graphs import cost_from_onnx, saved, small_network
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from benchbox.errors import ArtifactError
from benchbox.graph.skimming import KEPT_BYTES, structure_bytes


def skimmed(path: Path, model: onnx.ModelProto) -> onnx.ModelProto:
    return onnx.load_from_string(structure_bytes(saved(path, model)))


@settings(max_examples=40, deadline=None)
@given(shape=st.lists(st.integers(1, 40), max_size=4), typed=st.booleans(), data=st.data())
def test_all_but_large_data_is_kept(
    shape: list[int], typed: bool, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    kind = data.draw(st.sampled_from(["float32", "float16", "int64", "int8", "bool", "float64"]))
    array = np.zeros(shape, kind)
    tensor = numpy_helper.from_array(array, "w")
    if typed and kind in {"float32", "int64", "float64"}:
        tensor = helper.make_tensor("w", helper.np_dtype_to_tensor_dtype(array.dtype), shape, array.ravel().tolist())
    model = small_network()
    model.graph.initializer.append(tensor)
    found = skimmed(tmp_path_factory.mktemp("skim") / "net.onnx", model)
    whole = {entry.name: entry for entry in model.graph.initializer}
    for entry in found.graph.initializer:
        assert (entry.dims, entry.data_type) == (whole[entry.name].dims, whole[entry.name].data_type)
        if whole[entry.name].ByteSize() > KEPT_BYTES:
            assert entry.ByteSize() < 100
        else:
            assert entry == whole[entry.name]
    assert list(found.graph.node) == list(model.graph.node)
    assert found.metadata_props == model.metadata_props


def test_large_data_in_nodes_is_left_out(tmp_path: Path) -> None:
    value = numpy_helper.from_array(np.zeros(10_000, np.float32), "big")
    model = small_network()
    model.graph.node.insert(0, helper.make_node("Constant", [], ["k"], name="constant", value=value))
    found = skimmed(tmp_path / "net.onnx", model)
    assert found.graph.node[0].attribute[0].t.dims == [10_000]
    assert found.ByteSize() < KEPT_BYTES


def test_weights_are_not_read(tmp_path: Path) -> None:
    """A network of 1.6 GB, whose file is a hole on the disk, is counted in little memory."""
    resource = pytest.importorskip("resource")
    elements = 20_000
    model = small_network()
    huge = model.graph.initializer.add(name="huge", data_type=TensorProto.FLOAT, dims=[elements, elements])
    head = structure_bytes(saved(tmp_path / "small.onnx", model))
    del model.graph.initializer[-1]
    # The tensor again, by hand: everything but its data, then the data's header and a hole.
    payload = 4 * elements * elements
    field = huge.SerializeToString() + b"\x4a" + _varint(payload)
    tensor = b"\x2a" + _varint(len(field) + payload) + field
    graph = model.graph.SerializeToString() + tensor
    del model.graph.node[:], model.graph.initializer[:], model.graph.input[:], model.graph.output[:]
    model.ClearField("graph")
    path = tmp_path / "huge.onnx"
    with path.open("wb") as file:
        file.write(model.SerializeToString() + b"\x3a" + _varint(len(graph) + payload) + graph)
        file.truncate(file.tell() + payload)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    cost = cost_from_onnx(path)
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert cost.macs == cost_from_onnx(tmp_path / "small.onnx").macs
    assert cost.weight_bytes > payload
    assert grown_kib < 200 * 1024
    assert head


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def test_data_of_another_size_than_the_dimensions_is_damage(tmp_path: Path) -> None:
    model = small_network()
    tensor = numpy_helper.from_array(np.zeros((100, 100), np.float32), "w")
    tensor.dims[0] = 101
    model.graph.initializer.append(tensor)
    with pytest.raises(ArtifactError, match="10100 elements"):
        structure_bytes(saved(tmp_path / "net.onnx", model))


def test_a_file_cut_anywhere_is_told_or_still_whole(tmp_path: Path) -> None:
    data = small_network().SerializeToString()
    path = tmp_path / "net.onnx"
    told = []
    for length in range(0, len(data), 7):
        path.write_bytes(data[:length])
        try:
            structure_bytes(path)
        except ArtifactError as error:
            told.append(str(error))
    assert len(told) > 0.9 * math.ceil(len(data) / 7)
    assert all("net.onnx" in text for text in told)


@pytest.mark.parametrize(
    ("data", "word"),
    [(b"", "empty"), (b"\xff" * 20, "no end"), (b"\x0f", "wire type"), (b"\x3a\x7f", "ends at byte")],
)
def test_what_is_no_message_is_told(data: bytes, word: str, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(data)
    with pytest.raises(ArtifactError, match=word):
        structure_bytes(path)
