"""Commands are found, errors become exit statuses, pipes may close."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from benchbox import __version__
from benchbox import cli as command_line
from benchbox.cli.commands.networks import models
from benchbox.errors import ArtifactError, BenchboxError, EnvironmentLackError, MeasurementError, StoreError, UsageError

SCRIPT = Path(sys.executable).with_name("benchbox")


def test_version(benchbox: Callable) -> None:
    ran = benchbox("--version")
    assert ran.status == 0
    assert __version__ in ran.out


def test_unknown_command_is_answered_with_the_nearest(benchbox: Callable) -> None:
    ran = benchbox("reprot")
    assert ran.status == 2
    assert ran.out == ""
    assert "unknown command 'reprot'" in ran.err
    assert "did you mean 'report'" in ran.err


def _ran_in_a_shell(line: str, **variables: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["bash", "-c", line], env={**os.environ, **variables}, capture_output=True, check=False, cwd="/"
    )


def test_a_closed_standard_output_is_no_bug() -> None:
    """What is opened later must not become standard output either."""
    ran = _ran_in_a_shell(f"{SCRIPT} explain p50 >&-")
    assert (ran.returncode, ran.stderr) == (0, b"")


def test_an_encoding_without_the_letters_of_a_table_gets_them_escaped() -> None:
    line = f"{SCRIPT} explain latency_p50; {SCRIPT} explain latency_p50 --json"
    ran = _ran_in_a_shell(line, PYTHONIOENCODING="latin-1")
    assert ran.stderr == b""
    text, _, document = ran.stdout.decode("latin-1").partition("{")
    assert "at index \\u230an·p\\u230b of" in text
    assert "⌊n·p⌋" in json.loads("{" + document)["definitions"][0]["facts"]["what one process gives"]


@pytest.mark.parametrize(("no_color", "coloured"), [("1", False), ("", True)])
def test_errors_respect_no_color(no_color: str, coloured: bool, tmp_path: Path) -> None:
    """On a terminal: elsewhere nothing is coloured anyway."""
    terminal, standard_error = os.openpty()
    try:
        command = [sys.executable, "-m", "benchbox", "reprot"]
        environment = {**os.environ, "NO_COLOR": no_color}
        subprocess.run(command, stderr=standard_error, env=environment, cwd=tmp_path, timeout=60, check=False)
        shown = os.read(terminal, 10_000)
    finally:
        os.close(terminal)
        os.close(standard_error)
    assert b"unknown command 'reprot'" in shown
    assert (b"\x1b[" in shown) is coloured


def test_unknown_flag_is_answered_with_the_nearest(benchbox: Callable) -> None:
    ran = benchbox("report", "--fromat", "csv")
    assert ran.status == 2
    assert "--format" in ran.err
    assert "benchbox report --help" in ran.err


def test_who_wants_a_file_of_a_run_is_told_what_writes_it(benchbox: Callable) -> None:
    for flag in ("--format", "--output"):
        ran = benchbox("run", "lenet5", flag, "x.csv")
        assert (ran.status, "'benchbox report' writes" in ran.err, "mean" in ran.err) == (2, True, False)


def test_every_line_of_an_error_fits_the_terminal(benchbox: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise UsageError("word " * 40, values="word " * 40, remedy="word " * 40)

    monkeypatch.setattr(command_line.cli, "invoke", fail)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "100")
    lines = click.unstyle(benchbox("report").err).splitlines()
    assert len(lines) > 6
    assert max(map(len, lines)) <= 100
    assert [line[:2] for line in lines[:3]] == ["Er", "  ", "  "]


def test_no_command_shows_the_help(benchbox: Callable) -> None:
    ran = benchbox()
    assert ran.status == 2
    assert "Commands:" in ran.out + ran.err


@pytest.mark.parametrize(
    ("error", "status"),
    [(UsageError, 2), (EnvironmentLackError, 3), (ArtifactError, 4), (MeasurementError, 5), (StoreError, 6)],
)
def test_each_error_has_its_exit_status(
    error: type[BenchboxError], status: int, benchbox: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error("the thing broke", values="got 3, want 4", remedy="mend it")

    monkeypatch.setattr(command_line.cli, "invoke", fail)
    ran = benchbox("report")
    assert ran.status == status
    assert [line.strip() for line in ran.err.splitlines()] == ["Error: the thing broke", "got 3, want 4", "mend it"]


def test_a_bug_is_status_70_and_hides_its_traceback(benchbox: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(command_line.cli, "invoke", fail)
    ran = benchbox("report")
    assert ran.status == 70
    assert "ZeroDivisionError: oh" in ran.err
    assert "Traceback" not in ran.err
    shown = benchbox("report", "--debug")
    assert shown.status == 70
    assert "Traceback" in shown.err


def test_interrupt_is_status_130(benchbox: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command_line.cli, "invoke", interrupt)
    assert benchbox("run").status == 130


def test_a_closed_pipe_ends_quietly(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    run = subprocess.run(
        [SCRIPT, "models"], stdout=write_end, stderr=subprocess.PIPE, cwd=tmp_path, check=False, timeout=60
    )
    os.close(write_end)
    assert run.returncode == 0
    assert run.stderr == b""


def _ended_by(benchbox: Callable, monkeypatch: pytest.MonkeyPatch, error: BaseException) -> int:
    """Exit status of a command in whose middle something is raised."""

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(models.command, "callback", fail)
    ran = benchbox("models")
    assert type(error).__name__ in ran.err
    return ran.status


@pytest.mark.parametrize("error", [SystemExit(), SystemExit(0), SystemExit("done"), BrokenPipeError(32, "Broken pipe")])
def test_only_standard_output_may_close(
    error: BaseException, benchbox: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A foreign sys.exit is no success, nor is a broken pipe to another process."""
    assert _ended_by(benchbox, monkeypatch, error) == 70


def test_a_broken_pipe_elsewhere_is_an_error_although_standard_output_is_a_pipe(tmp_path: Path) -> None:
    script = (
        "import os, sys\n"
        "from benchbox.cli import main\n"
        "from benchbox.cli.commands.networks import models\n"
        "def fail(**_):\n"
        "    read_end, write_end = os.pipe()\n"
        "    os.close(read_end)\n"
        "    os.write(write_end, b'x')\n"
        "models.command.callback = fail\n"
        "main(['models'])\n"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert run.returncode == 70
    assert "BrokenPipeError" in run.stderr


def test_colour_is_for_terminals_only(benchbox: Callable) -> None:
    assert "\x1b[" not in benchbox("reprot").err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script(shell: str, benchbox: Callable) -> None:
    ran = benchbox("completion", shell)
    assert ran.status == 0
    assert "_BENCHBOX_COMPLETE" in ran.out


def test_completion_completes_models(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "_BENCHBOX_COMPLETE": "bash_complete",
        "COMP_WORDS": "benchbox run resnet5",
        "COMP_CWORD": "2",
    }
    run = subprocess.run([SCRIPT], env=environment, capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert "resnet50" in run.stdout


def test_root_may_stand_before_and_after_the_command(benchbox: Callable, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    before = benchbox("--root", str(tmp_path / "elsewhere"), "report", "--json")
    after = benchbox("report", "--json", "--root", str(tmp_path / "elsewhere"))
    assert before.status == after.status == 0
    assert before.document == after.document


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("arguments", [("models",), ("flops", "net.onnx", "--json")])
def test_a_full_standard_output_is_no_bug(arguments: tuple[str, ...], tmp_path: Path, exports: Any) -> None:
    shutil.copyfile(exports.counted("lenet5"), tmp_path / "net.onnx")
    with Path("/dev/full").open("w") as full:
        run = subprocess.run(
            [sys.executable, "-m", "benchbox", "--root", str(tmp_path), *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
            cwd=tmp_path,
        )
    assert run.returncode == 6, run.stderr
    assert "no space left" in run.stderr
    assert "bug" not in run.stderr
