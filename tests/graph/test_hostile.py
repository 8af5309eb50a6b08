"""Whatever bytes a file holds, it is counted or refused in words: no traceback, no endless work, no endless memory."""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import onnx
import pytest
from graphs import SMALL_NETWORK_MACS, cost_from_onnx, model_of, saved, small_network
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from benchbox.errors import ArtifactError, BenchboxError
from benchbox.schema.cost import NetworkCost

DATA = small_network().SerializeToString()
node = helper.make_node


def outcome(path: Path) -> NetworkCost | BenchboxError:
    try:
        return cost_from_onnx(path)
    except BenchboxError as error:
        found = error
    assert found.exit_status in (2, 4)
    assert found.what
    return found


@given(changes=st.lists(st.tuples(st.integers(0, len(DATA) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_bytes_changed(changes: list[tuple[int, int]], tmp_path_factory: pytest.TempPathFactory) -> None:
    data = bytearray(DATA)
    for place, value in changes:
        data[place] = value
    path = tmp_path_factory.mktemp("changed") / "net.onnx"
    path.write_bytes(bytes(data))
    found = outcome(path)
    if isinstance(found, NetworkCost):
        assert all(min(layer.macs, layer.elementwise, layer.params, layer.write_bytes) >= 0 for layer in found.layers)


def test_a_name_that_is_no_text(tmp_path: Path) -> None:
    """Every letter of the file, one by one, is replaced by a byte that no UTF-8 text has there."""
    path = tmp_path / "net.onnx"
    refused = 0
    for place in (place for place, byte in enumerate(DATA) if chr(byte).isalpha()):
        path.write_bytes(DATA[:place] + b"\x80" + DATA[place + 1 :])
        refused += "UTF-8" in str(outcome(path))
    assert refused > 80


@given(start=st.integers(0, len(DATA) - 1), length=st.integers(1, 200), twice=st.booleans())
def test_bytes_lost_or_doubled(start: int, length: int, twice: bool, tmp_path_factory: pytest.TempPathFactory) -> None:
    part = DATA[start : start + length]
    data = DATA[:start] + (part + part if twice else b"") + DATA[start + length :]
    path = tmp_path_factory.mktemp("lost") / "net.onnx"
    path.write_bytes(data)
    outcome(path)


@given(data=st.binary(max_size=300))
def test_any_bytes(data: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("bytes") / "net.onnx"
    path.write_bytes(data)
    assert isinstance(outcome(path), ArtifactError)


OPERATORS = (
    "Conv", "Gemm", "Identity", "Constant", "Shape", "Resize", "Einsum", "LSTM", "MaxPool", "Attention", "ReduceMean",
    "PRelu", "DFT", "Range", "Tile", "Expand", "QuantizeLinear", "BatchNormalization", "ConvTranspose", "RoiAlign",
)  # fmt: skip


def wrecked(draw: random.Random) -> onnx.ModelProto:
    """The small network with a few of its parts missing, swapped or senseless."""
    model = small_network()
    graph = model.graph
    for _ in range(draw.randint(1, 4)):
        one, tensor = draw.choice(graph.node), draw.choice(graph.initializer)
        attribute = draw.choice(one.attribute) if one.attribute else None
        sizes = [draw.choice([0, 1, -1, 7, 2**33, 2**62]) for _ in range(draw.randint(0, 5))]
        match draw.randrange(9):
            case 0:
                del one.input[draw.randint(0, len(one.input)) :]
            case 1:
                del one.output[:]
            case 2:
                del one.attribute[:]
            case 3:
                tensor.dims[:] = sizes
            case 4:
                one.op_type = draw.choice(OPERATORS)
            case 5 if attribute is not None:
                attribute.type = draw.randint(0, 14)
            case 6 if attribute is not None:
                attribute.ints[:] = sizes
            case 7:
                tensor.data_type = draw.randint(0, 30)
            case 8 if one.input:
                one.input[draw.randrange(len(one.input))] = draw.choice(["", "a", "b", "c", "d", "y", "shape"])
    return model


@given(seed=st.integers(0, 2**32))
def test_parts_missing_swapped_or_senseless(seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    outcome(saved(tmp_path_factory.mktemp("wrecked") / "net.onnx", wrecked(random.Random(seed))))


def field(number: int, data: bytes) -> bytes:
    """A field of a protobuf message that holds bytes, by hand: its writers refuse what is nested too deep."""
    size, length = len(data), b""
    while size > 0x7F:
        length += bytes([size & 0x7F | 0x80])
        size >>= 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + data


def deep_subgraphs() -> bytes:
    """An If in an If in an If: graph.node.attribute.g, five hundred times."""
    inner = b""
    for _ in range(500):
        attribute = field(1, b"then_branch") + field(6, inner) + b"\xa0\x01\x05"
        inner = field(1, field(2, b"y") + field(4, b"If") + field(5, attribute))
    return field(7, inner) + field(8, bytes([2 << 3, 20]))


def deep_types() -> bytes:
    """An input that is a sequence of sequences of sequences."""
    kind = field(1, bytes([1 << 3, 1]))
    for _ in range(500):
        kind = field(4, field(1, kind))
    node = field(1, b"x") + field(2, b"y") + field(4, b"Relu")
    graph = field(1, node) + field(11, field(1, b"x") + field(2, kind)) + field(12, field(1, b"y"))
    return field(7, graph) + field(8, bytes([2 << 3, 20]))


def bomb(*, op: str) -> onnx.ModelProto:
    """A few bytes that ask for terabytes."""
    import numpy as np

    sizes = np.array([2**30, 2**30], np.int64)
    if op == "ConstantOfShape":
        nodes = [node("ConstantOfShape", ["sizes"], ["y"], name="bomb")]
    elif op == "Expand":
        nodes = [node("Expand", ["x", "sizes"], ["y"], name="bomb")]
    elif op == "Tile":
        nodes = [node("Tile", ["x", "sizes"], ["y"], name="bomb")]
    elif op == "Pad":
        sizes = np.array([0, 0, 2**40, 2**40], np.int64)
        nodes = [node("Pad", ["x", "sizes"], ["y"], name="bomb")]
    else:
        nodes = [node("Resize", ["x", "", "", "sizes"], ["y"], name="bomb")]
    return model_of(nodes, inputs={"x": [1, 1]}, weights={"sizes": sizes})


def shape_bomb() -> onnx.ModelProto:
    """A vector that doubles at every node."""
    nodes = [node("Shape", ["x"], ["s0"], name="shape")]
    nodes += [node("Concat", [f"s{k}", f"s{k}"], [f"s{k + 1}"], name=f"double{k}", axis=0) for k in range(60)]
    nodes += [node("Reshape", ["x", "s60"], ["y"], name="reshape")]
    return model_of(nodes, inputs={"x": [1, 1]})


def wide_rank() -> onnx.ModelProto:
    return model_of([node("Relu", ["x"], ["y"], name="relu")], inputs={"x": [1] * 200_000})


CORPUS: dict[str, Callable[[], onnx.ModelProto | bytes]] = {
    "deep subgraphs": deep_subgraphs,
    "deep types": deep_types,
    "shape bomb": shape_bomb,
    "wide rank": wide_rank,
    **{f"bomb {op}": lambda op=op: bomb(op=op) for op in ("ConstantOfShape", "Expand", "Tile", "Pad", "Resize")},
}


@pytest.mark.parametrize("kind", CORPUS)
def test_hostile_files_end_soon_and_small(kind: str, tmp_path: Path) -> None:
    """In a process of its own that may take 2 GiB of address space more than it starts with."""
    path = tmp_path / "net.onnx"
    made = CORPUS[kind]()
    path.write_bytes(made if isinstance(made, bytes) else made.SerializeToString())
    script = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "import onnx, numpy, onnx.reference\n"
        "pages = int(Path('/proc/self/statm').read_text().split()[0]) if sys.platform == 'linux' else 0\n"
        "limit = pages * resource.getpagesize() + 2 * 2**30\n"
        "if pages: resource.setrlimit(resource.RLIMIT_AS, (limit, limit))\n"
        "from benchbox.cli import main\n"
        "sys.argv = ['benchbox', 'flops', sys.argv[1], '--json']\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, timeout=120, check=False
    )
    assert "Traceback" not in done.stderr
    assert done.returncode in (0, 4), done.stderr
    assert "bad_alloc" not in done.stderr, "it is the limit that ended it"
    if done.returncode:
        assert "net.onnx" in done.stderr or "node" in done.stderr


def test_external_data_that_is_a_link_or_a_device_is_not_opened(tmp_path: Path) -> None:
    model = small_network()
    tensor = next(t for t in model.graph.initializer if t.name == "shape")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")
    (tmp_path / "weights.bin").symlink_to("/dev/zero")
    found = outcome(saved(tmp_path / "net.onnx", model))
    assert isinstance(found, ArtifactError)


@contextlib.contextmanager
def counted_calls() -> Iterator[Counter[str]]:
    """How often functions are called meanwhile, by the kind of the call: work that does not depend on speed."""
    counted: Counter[str] = Counter()
    before = sys.getprofile()

    def note(_: object, event: str, argument: object) -> None:
        if event in {"call", "c_call"}:
            counted[event] += 1

    sys.setprofile(note)
    try:
        yield counted
    finally:
        sys.setprofile(before)


def test_work_grows_with_nodes_not_faster(tmp_path: Path) -> None:
    """Ten times the nodes take at most eleven times the calls."""
    calls = {}
    for count in (500, 5_000):
        path = saved(tmp_path / "net.onnx", in_a_row(count))
        with counted_calls() as counted:
            assert cost_from_onnx(path).flops == 8 * count
        calls[count] = sum(counted.values())
    assert calls[5_000] > 5_000
    assert calls[5_000] <= 11 * calls[500]


@pytest.mark.nightly
def test_thirty_thousand_nodes_are_counted(tmp_path: Path) -> None:
    assert cost_from_onnx(saved(tmp_path / "net.onnx", in_a_row(30_000))).flops == 8 * 30_000


def in_a_row(count: int) -> onnx.ModelProto:
    nodes = [node("Relu", [f"t{k}"], [f"t{k + 1}"], name=f"relu{k}") for k in range(count)]
    return model_of(nodes, inputs={"t0": [1, 8]})


def test_the_corpus_starts_from_a_good_file(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(DATA)
    found = outcome(path)
    assert isinstance(found, NetworkCost)
    assert found.macs == SMALL_NETWORK_MACS
