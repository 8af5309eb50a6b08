"""Both CUDA layers keep the contract on the simulated device, and say what they lack on this machine."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from layer_contract import CHECKS
from simulation import simulated

from benchbox.backends.cuda import bindings, pycuda
from benchbox.backends.cuda.choice import LAYERS, chosen_layer, open_layer, probed_layer
from benchbox.backends.cuda.driver import SIMULATED
from benchbox.backends.cuda.interface import CudaLayer
from benchbox.errors import EnvironmentLackError, MeasurementError, UsageError


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_contract(name: str, check: Callable[[CudaLayer], None]) -> None:
    with simulated() as simulation:
        layer = open_layer(name)
        assert layer.name == name
        check(layer)
        layer.close()
        assert simulation.DEVICE.used_bytes == 0
        assert simulation.DEVICE.host == {}
        assert simulation.DEVICE.graphs == set()
        assert simulation.DEVICE.last_error == "", "the next library of this thread would be told"


@pytest.mark.parametrize("stage", ["begin", "end", "instantiate"])
def test_a_capture_that_fails_leaves_nothing(stage: str) -> None:
    with simulated(fail_capture=stage) as simulation:
        layer = open_layer("cuda-bindings")
        stream, address = layer.stream(), layer.allocate(256)
        with pytest.raises(MeasurementError):
            layer.capture(stream, lambda: layer.fill(address, 3, 256, stream))
        assert (simulation.DEVICE.graphs, simulation.DEVICE.last_error) == (set(), "")
        layer.synchronize(stream)


@pytest.mark.parametrize("name", LAYERS)
def test_page_locked_memory_is_not_the_gpus(name: str) -> None:
    with simulated(pinned_bytes=1000):
        layer = open_layer(name)
        with pytest.raises(MeasurementError, match="could not be page-locked") as error:
            layer.pinned(4096)
        assert "GPU" not in str(error.value)
        assert "memlock" in error.value.remedy


@pytest.mark.parametrize("name", LAYERS)
def test_the_simulated_device_gives_itself_away(name: str) -> None:
    with simulated():
        layer = open_layer(name)
        assert layer.gpu().simulated
        assert layer.gpu().name.startswith(SIMULATED)


@pytest.mark.parametrize("name", LAYERS)
def test_use_after_free_sticks(name: str) -> None:
    with simulated():
        layer = open_layer(name)
        stream, address = layer.stream(), layer.allocate(512)
        layer.free(address)
        layer.fill(address, 1, 512, stream)
        with pytest.raises(MeasurementError, match="IllegalAddress"):
            layer.synchronize(stream)
        with pytest.raises(MeasurementError, match="IllegalAddress"):
            layer.allocate(512)


@pytest.mark.parametrize("name", LAYERS)
def test_no_device_is_said(name: str) -> None:
    with simulated(target="none"):
        with pytest.raises(EnvironmentLackError, match="no usable NVIDIA GPU"):
            open_layer(name)
        probed = probed_layer(name)
        assert probed["version"] == ""
        assert "driver" in probed["remedy"]


def test_a_driver_that_is_too_old_is_said() -> None:
    with simulated(old_driver=True), pytest.raises(EnvironmentLackError) as error:
        open_layer("cuda-bindings")
    assert "cudaErrorInsufficientDriver" in error.value.values
    assert "install a newer NVIDIA driver" in error.value.remedy


def test_a_package_of_a_newer_cuda_than_the_drivers_says_which_to_install() -> None:
    """R535 to R570, which most machines have: TensorRT, ONNX Runtime and PyTorch of CUDA 12 run there."""
    with simulated(cuda_driver=12060):
        with pytest.raises(EnvironmentLackError, match=r"is of CUDA 13\.2, the driver can do CUDA 12\.6") as error:
            open_layer("cuda-bindings")
        assert "pip install 'cuda-bindings==12.*'" in error.value.remedy
        assert "12.6" in probed_layer("cuda-bindings")["reason"]
        open_layer("pycuda").close()


def test_an_older_package_serves_a_newer_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    with simulated():
        monkeypatch.setattr(importlib.import_module("cuda.bindings.runtime"), "RUNTIME", 12080)
        layer = open_layer("cuda-bindings")
        assert (layer.versions()["cuda_runtime"], layer.versions()["cuda_driver"]) == ("12.8", "13.2")


def test_pycuda_pushes_and_pops_the_primary_context() -> None:
    with simulated():
        layer = open_layer("pycuda")
        current = importlib.import_module("pycuda.driver").current
        assert len(current()) == 1
        layer.close()
        assert current() == []


def test_the_layer_is_chosen_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BENCHBOX_CUDA", raising=False)
    assert chosen_layer() == "cuda-bindings"
    monkeypatch.setenv("BENCHBOX_CUDA", "pycuda")
    assert chosen_layer() == "pycuda"
    with simulated():
        assert open_layer().name == "pycuda"
    monkeypatch.setenv("BENCHBOX_CUDA", "pycudda")
    with pytest.raises(UsageError, match="did you mean 'pycuda'"):
        chosen_layer()


def test_a_layer_that_is_not_installed_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (bindings, pycuda):
        monkeypatch.setattr(module, "installed", lambda: False)
        with pytest.raises(EnvironmentLackError, match="not installed") as error:
            module.opened()
        assert "pip install 'benchbox[" in error.value.remedy


def test_cuda_bindings_here_works_or_says_why() -> None:
    """The real package: without a driver it imports and reports that there is no device."""
    probed = probed_layer("cuda-bindings")
    assert probed["version"] or probed["reason"]


def _called() -> dict[str, int]:
    """CUDA functions that bindings.py calls, with the number of arguments, and the other names that it takes."""
    tree = ast.parse(Path(inspect.getfile(bindings)).read_text())
    calls: dict[str, int] = {}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        if node.func.attr in {"_call", "_allocated"} and isinstance(node.args[0], ast.Constant):
            calls[str(node.args[0].value)] = len(node.args) - 1
        elif node.func.attr.startswith("cuda"):
            calls[node.func.attr] = len(node.args)
    return calls


def test_cuda_bindings_has_what_is_called() -> None:
    """Names and argument counts, against the real package."""
    api = pytest.importorskip("cuda.bindings.runtime", reason="cuda-bindings is not installed")
    called = _called()
    assert len(called) > 25
    for name, count in called.items():
        signature = (getattr(api, name).__doc__ or "").strip().splitlines()[0]
        inside = re.search(r"\((.*)\)", signature)
        assert inside is not None, signature
        wanted = len([part for part in inside[1].split(",") if part.strip()])
        assert wanted == count, f"{signature}, called with {count}"


def test_cuda_bindings_has_the_names_that_are_read() -> None:
    api = pytest.importorskip("cuda.bindings.runtime", reason="cuda-bindings is not installed")
    read = set(re.findall(r"self\._api\.([\w.]+)|self\._kinds\.(\w+)", Path(inspect.getfile(bindings)).read_text()))
    for dotted, kind in read:
        found = api.cudaMemcpyKind if kind else api
        for part in (kind or dotted).split("."):
            assert hasattr(found, part), f"{dotted or kind}"
            found = getattr(found, part)
