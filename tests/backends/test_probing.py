"""A probe may raise anything; the commands that ask the backends go on, and say what to install for what."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Callable
from typing import Any

import pytest

from benchbox.backends.base import BACKENDS
from benchbox.backends.cuda import choice
from benchbox.backends.probing import probe_of, supported_precisions
from benchbox.errors import MeasurementError
from benchbox.schema.model import Precision

ERRORS = [
    MeasurementError("the device is busy", values="exclusive mode", remedy="end the other process"),
    OSError("libcudart.so.13: cannot open shared object file"),
    SystemExit(1),
    RecursionError(),
]


def raising(error: BaseException) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("name", BACKENDS.names())
def test_a_backend_whose_probe_raises_is_unavailable(
    name: str, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = BACKENDS.get(name)
    monkeypatch.setattr(backend, "probe", raising(error))
    state = probe_of(backend)
    assert not state.usable
    assert str(error).partition("\n")[0] in state.reason
    assert state.remedy


def test_doctor_survives_backends_and_layers_that_raise(benchbox: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, backend in enumerate(BACKENDS):
        monkeypatch.setattr(backend, "probe", raising(ERRORS[number % len(ERRORS)]))
        monkeypatch.setattr(backend, "refusal", raising(RuntimeError("no such device")))
    monkeypatch.setattr(choice, "open_layer", raising(ERRORS[0]))
    ran = benchbox("doctor", "--json")
    assert ran.status == 0, ran.err
    assert len(ran.document["backends"]) == len(BACKENDS.names())
    assert not any(row["usable"] for row in ran.document["backends"])
    assert "the device is busy" in ran.out
    assert benchbox("doctor").status == 0


def test_precisions_of_a_backend_that_raises_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = BACKENDS.get("onnxruntime")
    assert "fp32" in supported_precisions(backend)
    monkeypatch.setattr(backend, "refusal", raising(OSError()))
    assert supported_precisions(backend) == ()


def test_without_any_runtime_the_answer_names_what_to_install_for_what(
    benchbox: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The runtimes' packages and modules are hidden; no GPU package is recommended for a CPU or the other way round."""
    hidden = ("onnxruntime", "onnxruntime-gpu", "tensorrt", "tensorrt_rtx", "openvino", "torch")
    version, find_spec = importlib.metadata.version, importlib.util.find_spec

    def version_unless_hidden(name: str) -> str:
        if name in hidden:
            raise importlib.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(importlib.metadata, "version", version_unless_hidden)
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name in hidden else find_spec(name, *rest)
    )
    ran = benchbox("run", "lenet5")
    assert ran.status == 3
    lines = [line.strip() for line in ran.err.splitlines()]
    assert lines[0] == "Error: no backend can run on this machine"
    remedies = {line.partition(": ")[0]: line.rpartition("; ")[2] for line in lines[1:-1]}
    assert remedies == {
        "NVIDIA GPU, tensorrt": "pip install 'benchbox[tensorrt]'",
        "NVIDIA GPU, tensorrt-rtx": "pip install 'benchbox[tensorrt-rtx]'",
        "NVIDIA GPU, onnxruntime-cuda": "pip install 'benchbox[gpu]'",
        "NVIDIA GPU, pytorch-cuda": "pip install 'benchbox[torch]'",
        "CPU, onnxruntime": "pip install 'benchbox[cpu]'",
        "CPU, openvino": "pip install 'benchbox[openvino]'",
        "CPU, pytorch": "pip install 'benchbox[torch]'",
    }
    assert lines[-1] == "install one of them; 'benchbox doctor' lists every backend"


def test_backends_of_a_gpu_refuse_fp64_by_name() -> None:
    for backend in map(BACKENDS.get, BACKENDS.names()):
        assert backend.device != "cuda" or backend.refusal(Precision.FP64), backend.name
