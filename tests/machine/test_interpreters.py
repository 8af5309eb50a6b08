"""Another Python reports its environment whatever else it prints; one that does not is named."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchbox.errors import EnvironmentLackError
from benchbox.machine.environment import capture
from benchbox.machine.interpreters import environment_of


def wrapper(path: Path, text: str) -> tuple[str, ...]:
    """A command that is not Python itself, as one that starts a container is not."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return (str(path),)


def test_another_process_sees_the_same_environment() -> None:
    found, own = environment_of((sys.executable,)), capture()
    assert (found.hash, found.hardware, found.software) == (own.hash, own.hardware, own.software)
    assert found.observed["commit"] == own.observed["commit"]


@pytest.mark.parametrize("words", ['printf "no end of line"', "echo before", 'echo "[1, 2]"; echo "{"'])
def test_what_is_printed_beside_the_answer_does_not_matter(words: str, tmp_path: Path) -> None:
    chatty = wrapper(tmp_path / "python", f'{words}\n{sys.executable} "$@"\n{words}')
    assert environment_of(chatty).hash == capture().hash


def test_a_sitecustomize_that_prints_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sitecustomize.py").write_text("import atexit\nprint('hello')\natexit.register(print, 'bye')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    assert environment_of((sys.executable,)).hash == capture().hash


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("exit 0", "does not report its environment"),
        ("echo benchbox-environment:{", "does not report its environment"),
        ("echo no such module >&2; exit 1", "cannot measure"),
        ("""echo 'benchbox-environment:["0.0.1", {}]'""", "another version"),
    ],
)
def test_a_python_that_cannot_measure_is_named(script: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(EnvironmentLackError, match=message) as caught:
        environment_of(wrapper(tmp_path / "python", script))
    assert str(tmp_path / "python") in caught.value.values


def test_a_python_that_is_not_there_is_named() -> None:
    with pytest.raises(EnvironmentLackError, match="does not start"):
        environment_of(("/nowhere/python",))
