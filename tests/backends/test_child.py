"""What a function returns, raises or breaks in a process of its own comes back to this one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest

from benchbox.backends.child import child_environment, high_water_bytes, in_child
from benchbox.errors import ArtifactError, UsageError


def test_it_is_another_process() -> None:
    assert in_child("os:getpid") != os.getpid()
    assert in_child("builtins:sum", [1, 2, 3]) == 6


def test_errors_of_ours_come_back_as_they_are() -> None:
    with pytest.raises(UsageError, match="unknown colour 'rde'") as error:
        in_child("benchbox.registry:require_known", "colour", "rde", ["red"])
    assert "did you mean 'red'" in error.value.values


@pytest.mark.parametrize(
    ("function", "argument", "words"),
    [
        ("os:abort", (), "was killed \\(SIGABRT\\)"),
        ("signal:raise_signal", (signal.SIGKILL,), "was killed \\(SIGKILL\\)"),
        ("os:_exit", (7,), "exit status 7"),
        ("builtins:int", ("x",), "ValueError"),
    ],
)
def test_a_crash_is_an_error_with_the_last_words(function: str, argument: tuple[object, ...], words: str) -> None:
    with pytest.raises(ArtifactError, match=words):
        in_child(function, *argument)


def test_a_child_finds_the_package_from_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interpreter without benchbox, from another folder, with -P."""
    monkeypatch.delenv("PYTHONPATH", raising=False)
    code = "import benchbox.errors; print(benchbox.errors.__file__)"
    ran = subprocess.run(
        [sys.executable, "-S", "-P", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env=child_environment(),
    )
    assert ran.returncode == 0, ran.stderr
    import benchbox.errors

    assert ran.stdout.strip() == benchbox.errors.__file__


def test_what_is_installed_is_not_put_before_the_standard_library(monkeypatch: pytest.MonkeyPatch) -> None:
    import sysconfig

    import benchbox

    monkeypatch.delenv("PYTHONPATH", raising=False)
    home = str(Path(benchbox.__file__).parents[1])
    monkeypatch.setattr(sysconfig, "get_path", lambda name: home)
    assert "PYTHONPATH" not in child_environment()


def test_the_high_water_mark(tmp_path: Path) -> None:
    (tmp_path / "status").write_text("Name:\tx\nVmHWM:\t  12 kB\n")
    assert high_water_bytes(tmp_path / "status") == 12 << 10
    assert high_water_bytes(tmp_path / "absent") is None


def test_workers_and_the_clock_keeper_are_started_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Both run with -P, which keeps a checkout off the path."""
    import benchbox
    from benchbox.machine.gpu import clock_lock
    from benchbox.measure.process import trials

    home = str(Path(benchbox.__file__).parents[1])
    seen: list[str] = []

    class Started(Exception):
        pass

    def popen(*_: object, env: dict[str, str], **__: object) -> None:
        seen.append(env["PYTHONPATH"])
        raise Started

    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(subprocess, "Popen", popen)
    with pytest.raises(Started), clock_lock.locked_clocks(None):
        pytest.fail("nothing was started")
    request = mock.Mock(interpreter=(), plan=mock.Mock(threads=1))
    (tmp_path / "log").touch()
    with pytest.raises(Started):
        trials._status(request, tmp_path, lambda _: None)
    assert [value.split(os.pathsep)[-1] for value in seen] == [home, home]
