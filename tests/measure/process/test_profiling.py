"""What a profiler sees of a worker, and what a worker is started by."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from simulation import simulated

from benchbox.backends.base import BACKENDS, Compiler
from benchbox.errors import EnvironmentLackError, UsageError
from benchbox.export.engines import engine_from_artifact
from benchbox.flags.profiling import flags_of_profiling
from benchbox.measure.process import profiling
from benchbox.measure.process.profiling import (
    NVTX_VARIABLE,
    PROFILE_VARIABLE,
    mark_inferences,
    phase,
    profile_command,
    require_profiling,
)
from benchbox.measure.process.trials import TrialRequest, run_trial
from benchbox.measure.process.worker import trial_from_request
from benchbox.models.sources import resolve
from benchbox.schema.artifact import BatchRange, OnnxArtifact
from benchbox.schema.model import Precision
from benchbox.schema.plan import MeasurementPlan, Mode
from benchbox.schema.reading import Severity
from benchbox.schema.trial import Pass

SHORT = MeasurementPlan(
    warmup_s=0.0, warmup_max_s=0.0, warmup_iterations=2, min_time_s=0.0, max_time_s=0.02, min_samples=3, timeout_s=60
)


class Ranges:
    """NVTX, noted down: "+name" and "-name"."""

    def __init__(self, inside: Any = lambda: "") -> None:
        self.seen: list[str] = []
        self.domains: set[str] = set()
        self._open: list[str] = []
        self._inside = inside

    @contextlib.contextmanager
    def annotate(self, message: str, *, domain: str) -> Iterator[None]:
        self.domains.add(domain)
        self.push_range(message)
        yield
        self.pop_range()

    def get_domain(self, name: str) -> Ranges:
        self.domains.add(name)
        return self

    def get_event_attributes(self, *, message: str) -> str:
        return message

    def push_range(self, message: str) -> None:
        self._open.append(message)
        self.seen.append(f"+{message}{self._inside()}")

    def pop_range(self) -> None:
        self.seen.append(f"-{self._open.pop()}")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("profiling")


@pytest.fixture(scope="module")
def lenet(root: Path, exports: Any) -> OnnxArtifact:
    return exports.copy_to(root, "lenet5")  # type: ignore[no-any-return]


def _request(lenet: OnnxArtifact, root: Path, purpose: Pass, **plan: Any) -> TrialRequest:
    compiler = BACKENDS.get("tensorrt")
    assert isinstance(compiler, Compiler)
    one = BatchRange(minimum=1, optimum=1, maximum=1)
    built = engine_from_artifact(lenet, compiler=compiler, precision=Precision.FP32, root=root, batch=one)
    return TrialRequest(
        number=0,
        pass_=purpose,
        source=resolve("lenet5", input_shape=None, weights=None),
        artifact=lenet,
        engine=built.engine,
        backend="tensorrt",
        precision=Precision.FP32,
        plan=dataclasses.replace(SHORT, **plan),
        root=root,
    )


def test_phases_and_inferences_are_named_and_only_samples_are_captured(
    lenet: OnnxArtifact, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(NVTX_VARIABLE, "1")
    with simulated() as simulation:
        device = simulation.DEVICE
        ranges = Ranges(lambda: f" {'on' if device.profiled[-1:] == ['start'] else 'off'}")
        monkeypatch.setitem(sys.modules, "nvtx", ranges)
        check = trial_from_request(_request(lenet, root, Pass.CHECK))
        assert ranges.seen == ["+check off", "-check"]
        assert device.profiled == [], "a check is not what somebody profiles"
        ranges.seen.clear()
        timed = trial_from_request(_request(lenet, root, Pass.TIMING))
    assert ranges.domains == {"benchbox"}
    assert ranges.seen[:2] == ["+warm-up off", "+inference off"]
    assert "+block on" in ranges.seen
    assert "+inference on" in ranges.seen[ranges.seen.index("+block on") :]
    assert "+block off" not in ranges.seen
    assert device.profiled == ["start", "stop"]
    assert (
        ranges.seen.count("+inference on")
        >= len(timed.samples_ns)
        == sum(entry == "+inference on" for entry in ranges.seen)
    )
    assert check.evidence.options["nvtx"] == timed.evidence.options["nvtx"] == "detailed"
    (found,) = flags_of_profiling([timed])
    assert (found.code, found.severity) == ("NVTX_MARKED", Severity.WARNING)


@pytest.mark.parametrize(("like", "verbosity"), [("", "none"), ("trtexec-11", "layer_names_only")])
def test_a_timed_context_tells_profilers_no_more_than_trtexecs(
    like: str, verbosity: str, lenet: OnnxArtifact, root: Path
) -> None:
    with simulated() as simulation:
        options = {"like": like, "mode": Mode.PIPELINED, "input_slots": 1} if like else {}
        trial = trial_from_request(_request(lenet, root, Pass.TIMING, **options))
        assert simulation.DEVICE.profiled == []
    assert trial.evidence.options["nvtx"] == verbosity
    assert list(flags_of_profiling([trial])) == []


def test_an_error_in_an_inference_closes_its_range(monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing:
        def enqueue(self, slot: int) -> None:
            raise ZeroDivisionError

    ranges = Ranges()
    monkeypatch.setitem(sys.modules, "nvtx", ranges)
    monkeypatch.setenv(NVTX_VARIABLE, "1")
    session: Any = Failing()
    mark_inferences(session)
    with pytest.raises(ZeroDivisionError):
        session.enqueue(0)
    assert ranges.seen == ["+inference", "-inference"]


def test_the_real_package_has_what_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a tool that listens it does nothing."""
    pytest.importorskip("nvtx")
    monkeypatch.setenv(NVTX_VARIABLE, "1")
    ran: list[int] = []
    session: Any = SimpleNamespace(enqueue=ran.append)
    with phase("block"):
        mark_inferences(session)
        session.enqueue(3)
    assert ran == [3]


def test_timed_workers_run_under_the_command_and_others_do_not(
    lenet: OnnxArtifact, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = tmp_path / "seen"
    wrapper = tmp_path / "profiler.sh"
    wrapper.write_text(f'#!/bin/sh\necho "$@" >> {note}\nexec "$@"\n')
    wrapper.chmod(0o755)
    request = dataclasses.replace(
        _null_request(lenet, root), plan=dataclasses.replace(SHORT, min_samples=5, input_slots=1)
    )
    monkeypatch.setenv(PROFILE_VARIABLE, str(wrapper))
    run_trial(dataclasses.replace(request, pass_=Pass.CHECK))
    assert not note.exists()
    trial = run_trial(request)
    assert "benchbox.measure.process.worker" in note.read_text()
    (found,) = flags_of_profiling([trial])
    assert (found.code, found.severity) == ("PROFILED", Severity.ERROR)


def _null_request(lenet: OnnxArtifact, root: Path) -> TrialRequest:
    return TrialRequest(
        number=0,
        pass_=Pass.TIMING,
        source=resolve("lenet5", input_shape=None, weights=None),
        artifact=lenet,
        backend="null",
        precision=Precision.FP32,
        plan=SHORT,
        root=root,
    )


def test_what_is_missing_is_said_before_anything_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PROFILE_VARIABLE, "'nsys")
    with pytest.raises(UsageError, match="is not a command"):
        profile_command()
    monkeypatch.setenv(PROFILE_VARIABLE, "no-such-profiler -o 'a file'")
    assert profile_command() == ("no-such-profiler", "-o", "a file")
    monkeypatch.setattr(profiling.importlib.util, "find_spec", lambda name: object())
    with pytest.raises(EnvironmentLackError, match="no program no-such-profiler"):
        require_profiling()
    monkeypatch.setattr(profiling.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EnvironmentLackError, match="NVTX is not installed") as error:
        require_profiling()
    assert "benchbox[nvtx]" in error.value.remedy
