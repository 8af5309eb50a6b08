"""build keeps the contract of its output and of its exit statuses, on a machine without a GPU."""

from __future__ import annotations

import hashlib
import platform
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from benchbox.backends.tensorrt import TensorRt
from benchbox.errors import EnvironmentLackError

pytestmark = [
    pytest.mark.usefixtures("lenet_exported"),
    pytest.mark.skipif(
        sys.platform != "linux" or platform.machine() != "x86_64",
        reason="TensorRT-RTX has a wheel for Linux on x86-64 only",
    ),
]
RTX = ("--backend", "tensorrt-rtx")


@pytest.fixture(autouse=True)
def no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine without a GPU, whatever this one has.

    The library has another name: a function in place of the driver's would stay in modules first imported here.
    """
    monkeypatch.setattr("benchbox.backends.cuda.driver.LIBRARY", "libcuda-of-no-machine.so.1")


def files(root: Path) -> list[str]:
    return sorted(path.name for path in (root / "engines").glob("tensorrt*/*"))


def unsupported(path: Path) -> None:
    """A valid network with an operator that ONNX Runtime runs and TensorRT does not know."""
    graph = helper.make_graph(
        [
            helper.make_node("Relu", ["x"], ["r"], name="positive"),
            helper.make_node("Det", ["r"], ["y"], name="volume"),
        ],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch"])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))


def test_the_document_tells_what_the_engine_is(benchbox: Callable, tmp_path: Path) -> None:
    ran = benchbox("build", "lenet5", *RTX, "--precision", "fp32,tf32,fp16", "--batch", "1:4:8", "--json")
    assert ran.status == 0, ran.err
    assert ran.document["schema"] == "benchbox.build/1"
    engines = ran.document["engines"]
    assert [engine["precision"] for engine in engines] == ["fp32", "tf32", "fp16"]
    assert len({engine["sha256"] for engine in engines}) == 3
    for engine in engines:
        data = (tmp_path / engine["path"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == engine["sha256"]
        assert len(data) == engine["size_bytes"]
        assert engine["schema"] == "benchbox.engine/1"
        assert engine["cached"] is False
        assert engine["batch"] == {"minimum": 1, "optimum": 4, "maximum": 8}
        assert engine["recipe"]["profiles"][0]["maximum"] == [8, 1, 28, 28]
        assert ("tf32" in engine["recipe"]["flags"]) is (engine["precision"] == "tf32")
        assert engine["build_s"] > 0
        assert engine["memory"]["activation_bytes"] > 0
        assert "Parsing node: conv1 [Conv]" in (tmp_path / engine["log_path"]).read_text()
    again = benchbox("build", "lenet5", *RTX, "--precision", "tf32", "--batch", "1:4:8", "--json").document
    assert again["engines"] == [{**engines[1], "cached": True}]
    assert "building the engine" not in benchbox("build", "lenet5", *RTX, "--batch", "1:4:8").err


def test_text_names_the_files(benchbox: Callable, tmp_path: Path) -> None:
    out = benchbox("build", "lenet5", "--target", "SM86,sm89").out
    assert "batch 1, sm86,sm89" in out
    assert all(name in out for name in files(tmp_path) if not name.endswith(".json"))
    assert "taken from the cache" in benchbox("build", "lenet5", "--target", "sm89,sm86").out


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("net.onnx", *RTX), 4, ("'volume' (Det)", "UNSUPPORTED_NODE")),
        (("lenet5", *RTX, "--target", "sm75"), 4, ("'fc1' (Gemm)", "SM75")),
        (("lenet5", *RTX, "--target", "sm87"), 2, ("did you mean 'sm89'",)),
        (("lenet5", *RTX, "--target", "ampere"), 2, ("known: sm75",)),
        (("lenet5", *RTX, "--batch", "8:4:1"), 2, ("8:4:1",)),
        (("lenet5", *RTX, "--batch", "0"), 2, ("--batch",)),
        (("fixed.onnx", *RTX, "--batch", "1:2:4"), 2, ("fixed batch size", "--batch 2")),
        (("lenet5", *RTX, "--timing-cache", "absent"), 2, ("absent",)),
        (("lenet5", *RTX, "--timing-cache", "net.onnx"), 2, ("no timing cache",)),
        (("lenet5", "--backend", "onnxruntime"), 2, ("makes no engines",)),
        (("lenet5", "--backend", "tensort"), 2, ("did you mean 'tensorrt'",)),
        (("lenet", *RTX), 2, ("did you mean 'lenet5'",)),
        (("empty.onnx", *RTX), 4, ("empty.onnx",)),
        ((), 2, ("needs a MODEL",)),
        (("lenet5", "--list"), 2, ("cannot be combined",)),
        (("--list", "--prune"), 2, ("cannot be combined",)),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_bad_input(
    arguments: tuple[str, ...], status: int, words: tuple[str, ...], benchbox: Callable, tmp_path: Path
) -> None:
    unsupported(tmp_path / "net.onnx")
    (tmp_path / "empty.onnx").touch()
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 3]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "net", value[:1], value[1:])
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), str(tmp_path / "fixed.onnx"))
    ran = benchbox("build", *arguments)
    assert ran.status == status, ran.err
    assert all(word in ran.err for word in words), ran.err
    assert ran.out == ""
    assert "Traceback" not in ran.err
    assert files(tmp_path) == []


def test_a_backend_that_is_not_installed_says_what_to_install(
    benchbox: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(self: TensorRt) -> None:
        raise EnvironmentLackError("TensorRT is not installed", remedy="pip install 'benchbox[tensorrt]'")

    monkeypatch.setattr(TensorRt, "bindings", absent)
    ran = benchbox("build", "lenet5", "--backend", "tensorrt")
    assert ran.status == 3
    assert "pip install 'benchbox[tensorrt]'" in ran.err


def test_a_fixed_batch_is_taken_from_the_file(benchbox: Callable, tmp_path: Path) -> None:
    shape = [2, 3]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "net", values[:1], values[1:])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(proto, str(tmp_path / "fixed.onnx"))
    (engine,) = benchbox("build", "fixed.onnx", *RTX, "--json").document["engines"]
    assert engine["batch"] == {"minimum": 2, "optimum": 2, "maximum": 2}
    assert engine["recipe"]["profiles"][0]["minimum"] == shape


def test_list_and_prune(benchbox: Callable, tmp_path: Path) -> None:
    assert benchbox("build", "--list").out.startswith("no engines")
    assert benchbox("build", "--list", "--json").document == {"schema": "benchbox.engines/1", "engines": []}
    whole, broken = benchbox("build", "lenet5", "--precision", "fp32,fp16", *RTX, "--json").document["engines"]
    path = tmp_path / broken["path"]
    path.write_bytes(path.read_bytes()[:-1])
    listed = {
        entry["engine"]["precision"]: entry for entry in benchbox("build", "--list", "--json").document["engines"]
    }
    assert listed["fp32"]["fault"] is None
    assert "damaged" in listed["fp16"]["fault"]
    text = benchbox("build", "--list").out
    assert Path(whole["path"]).stem in text
    assert "its file is damaged" in text
    pruned = benchbox("build", "--prune", "--json").document
    assert pruned["schema"] == "benchbox.prune/1"
    assert pruned["freed_bytes"] == sum(entry["size_bytes"] for entry in pruned["removed"]) > 0
    assert {Path(entry["path"]).stem for entry in pruned["removed"]} == {path.stem}
    assert {Path(name).stem for name in files(tmp_path)} == {Path(whole["path"]).stem}
    assert benchbox("build", "--prune").out == "0 files deleted, 0 B freed\n"
    rebuilt = benchbox("build", "lenet5", "--precision", "fp16", *RTX, "--json").document["engines"][0]
    assert (rebuilt["cached"], rebuilt["sha256"]) == (False, broken["sha256"])


def test_doctor_says_that_rtx_builds_but_cannot_run(benchbox: Callable) -> None:
    backends = {backend["name"]: backend for backend in benchbox("doctor", "--json").document["backends"]}
    rtx = backends["tensorrt-rtx"]
    assert (rtx["usable"], rtx["builds"]) == (False, True)
    assert rtx["version"].startswith("1.")
    assert "builds engines here but cannot run them: there is no NVIDIA driver" in rtx["reason"]
    assert backends["tensorrt"]["builds"] is False
    assert "tensorrt-rtx (builds), tensorrt-rtx-graph (builds)" in benchbox("doctor").out


def test_running_an_engine_is_refused_with_the_reason(benchbox: Callable) -> None:
    ran = benchbox("run", "lenet5", *RTX)
    assert ran.status == 3
    assert "cannot run them" in ran.err


SLOW = """
import sys, time
from benchbox.backends.tensorrt import TensorRtRtx
from benchbox.cli import main
real = TensorRtRtx.compile
def compile(self, request, recipe):
    made = real(self, request, recipe)
    print("compiled", flush=True)
    time.sleep(60)
    return made
TensorRtRtx.compile = compile
main(sys.argv[1:])
"""


def test_a_killed_build_leaves_nothing_that_counts(benchbox: Callable, tmp_path: Path) -> None:
    """Killed when the vendor's builder is done: the next build finds neither an engine nor a lock in its way."""
    arguments = ["--root", str(tmp_path), "build", "lenet5", *RTX]
    process = subprocess.Popen([sys.executable, "-c", SLOW, *arguments], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "compiled\n"
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert [name for name in files(tmp_path) if not name.endswith(".lock")] == []
    ran = benchbox("build", "lenet5", *RTX, "--json")
    assert ran.status == 0, ran.err
    assert ran.document["engines"][0]["cached"] is False
    assert "waiting" not in ran.err
    assert not [name for name in files(tmp_path) if name.startswith(".")]


@pytest.mark.parametrize(
    ("flag", "instead"), [("--fp16", "--precision fp16"), ("--int8", "--precision int8"), ("--best", "--precision")]
)
def test_weak_typing_is_refused_by_name(flag: str, instead: str, benchbox: Callable, tmp_path: Path) -> None:
    """Who comes from trtexec asks with these; TensorRT 11 would build fp32 engines for them or fail."""
    ran = benchbox("build", "lenet5", *RTX, flag)
    assert ran.status == 2
    assert "TensorRT 11 removed weak typing" in ran.err
    assert instead in ran.err
    assert files(tmp_path) == []


def test_dla_is_refused_with_the_reason(benchbox: Callable, tmp_path: Path) -> None:
    ran = benchbox("build", "lenet5", "--use-dla-core", "0", "--root", str(tmp_path))
    assert ran.status == 2
    assert "engines for DLA are not supported" in ran.err
    assert "Jetson" in ran.err
