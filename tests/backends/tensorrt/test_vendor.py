"""The vendor's module has what is called, and says what it can do."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest
from hiding import module_hiding
from simulation import simulated

from benchbox.backends.base import BACKENDS, Compiler, OpenRequest
from benchbox.backends.cuda.driver import Gpu
from benchbox.backends.tensorrt import TensorRt, TensorRtRtx
from benchbox.backends.tensorrt.vendor import REQUIRED, TENSORRT_RTX, Bindings, Vendor, loaded
from benchbox.errors import EnvironmentLackError
from benchbox.schema.model import Precision


def test_the_real_bindings_have_everything_that_is_called(rtx: Bindings) -> None:
    assert rtx.missing() == ()
    assert rtx.version == importlib.metadata.version("tensorrt_rtx")
    assert rtx.judges_engines
    assert not rtx.tunes_on_gpu
    assert {"sm80", "sm86", "sm89", "sm120"} <= set(rtx.targets)
    assert not {"none", "current"} & set(rtx.targets)


def test_features_are_asked_for_not_versions(tuning: Bindings) -> None:
    assert tuning.missing() == ()
    assert tuning.targets == ()
    assert tuning.tunes_on_gpu
    assert not tuning.judges_engines


@pytest.mark.parametrize("name", REQUIRED)
def test_a_version_without_a_required_name_is_refused(
    name: str, rtx: Bindings, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = module_hiding(rtx.api, name)
    assert Bindings(TENSORRT_RTX, old).missing() == (name,)
    monkeypatch.setattr("importlib.import_module", lambda _: old)
    with pytest.raises(
        EnvironmentLackError, match=rf"cannot use\nit lacks {name}\npip install 'benchbox\[tensorrt-rtx\]'"
    ):
        loaded(TENSORRT_RTX)


def test_what_is_not_installed_says_what_to_install() -> None:
    absent = Vendor(name="tensorrt", module="tensorrt_of_nobody", title="TensorRT")
    with pytest.raises(EnvironmentLackError, match=r"not installed\npip install 'benchbox\[tensorrt\]'"):
        loaded(absent)


def test_what_does_not_import_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_vendor.py").write_text("raise OSError('libnvinfer.so.10: cannot open shared object file')")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(EnvironmentLackError, match=r"does not import\nOSError: libnvinfer\.so\.10"):
        loaded(Vendor(name="tensorrt", module="broken_vendor", title="TensorRT"))


def test_both_are_backends_that_compile() -> None:
    for name, kind in (("tensorrt", TensorRt), ("tensorrt-rtx", TensorRtRtx)):
        backend = BACKENDS.get(name)
        assert isinstance(backend, kind)
        assert isinstance(backend, Compiler)
        made = [precision for precision in Precision if backend.refusal(precision) is None]
        assert set(made) >= {"fp32", "tf32", "fp16", "int8", "fp8"}
    assert not isinstance(BACKENDS.get("onnxruntime"), Compiler)


def no_gpu() -> Gpu:
    raise EnvironmentLackError("there is no NVIDIA driver", remedy="install it")


def test_without_a_driver_rtx_builds_and_tensorrt_does_not(
    rtx: Bindings, tuning: Bindings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchbox.backends.cuda.driver.gpu_from_driver", no_gpu)
    monkeypatch.setattr(TensorRt, "bindings", lambda self: tuning)
    state = TensorRtRtx().probe()
    assert (state.usable, state.builds, state.version, state.remedy) == (False, True, rtx.version, "install it")
    assert "builds engines here but cannot run them: there is no NVIDIA driver" in state.reason
    state = TensorRt().probe()
    assert (state.usable, state.builds) == (False, False)
    assert "neither build nor run" in state.reason


@pytest.mark.parametrize(
    ("target", "rtx_runs"), [("sm89", True), ("sm86", True), ("sm90", False), ("sm100", False), ("sm130", True)]
)
def test_with_a_gpu_both_build_and_run_what_it_supports(target: str, rtx_runs: bool, rtx: Bindings) -> None:
    """TensorRT-RTX names no GPU between sm89 and sm120; newer than all that it names counts as supported."""
    with simulated(target=target):
        state = TensorRt().probe()
        assert (state.usable, state.builds) == (True, True)
        assert state.device == f"simulated GPU, no time passes ({target})"
        state = TensorRtRtx().probe()
        assert (state.usable, state.builds) == (rtx_runs, True)
        assert rtx_runs or f"({target}) is not among sm75" in state.reason


def test_opening_a_session_is_refused_with_the_reason(rtx: Bindings) -> None:
    request = OpenRequest(precision=Precision.FP32, threads=1, inputs=(), outputs=())
    with simulated(target="none"), pytest.raises(EnvironmentLackError, match="no usable NVIDIA GPU"):
        TensorRtRtx().open(request)
