"""The list of the first half hour on a GPU: run here as far as that goes, with what was not possible named."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import click
import first_half_hour
import pytest
from first_half_hour import DONE, FAILED, LATE, NOT_POSSIBLE, PARTS, Part, main

ROOT = Path(__file__).parents[2]
SUITE = "tests/a.py::test_x  not possible  runs on a machine with an NVIDIA GPU\n0 passed, 0 FAILED, 7 not possible\n"


def test_the_parts_fit_into_half_an_hour_and_each_into_eight_minutes() -> None:
    assert sum(part.seconds for part in PARTS) <= 30 * 60
    assert all(part.seconds <= 8 * 60 for part in PARTS)
    assert not any("lock-clocks" in command for part in PARTS for command in part.commands), "never on a borrowed GPU"


def test_every_part_of_the_suite_is_in_it_and_memory_comes_before_what_keeps_memory() -> None:
    makefile = (ROOT / "Makefile").read_text()
    (line,) = [line for line in makefile.splitlines() if line.startswith("GPU_PARTS")]
    commands = " ".join(command for part in PARTS for command in part.commands)
    for name in line.split("=")[1].split():
        assert f"gpu_{name}" in commands or name == "run", name
    order = [part.name for part in PARTS]
    assert order.index("memory") < order.index("pytorch") < order.index("compile") == len(order) - 1


def test_the_document_has_every_part_with_its_time() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([\d.]+) min \|", (ROOT / "docs/gpu.md").read_text(), re.MULTILINE)
    assert [(name, float(minutes) * 60) for name, minutes in rows] == [(part.name, part.seconds) for part in PARTS]


def test_commands_of_benchbox_are_those_of_this_version() -> None:
    from benchbox.cli import cli

    for part in PARTS:
        for command in part.commands:
            if command.startswith("{benchbox} "):
                name, *arguments = shlex.split(command)[1:]
                found = cli.get_command(click.Context(cli), name)
                assert found is not None
                known = {option for parameter in found.params for option in parameter.opts}
                assert {argument for argument in arguments if argument.startswith("--")} <= known, command


@pytest.mark.parametrize(
    ("status", "text", "state", "reason"),
    [
        (0, "4 passed, 0 FAILED, 3 not possible\n", DONE, "4 passed, 0 FAILED, 3 not possible"),
        (1, "3 passed, 1 FAILED, 0 not possible\n", FAILED, "3 passed, 1 FAILED, 0 not possible"),
        (0, SUITE, NOT_POSSIBLE, "runs on a machine with an NVIDIA GPU"),
        (
            3,
            "skipped\nError: tensorrt cannot run\n  no GPU\n  pip install x\n",
            NOT_POSSIBLE,
            "tensorrt cannot run; no GPU",
        ),
        (1, "python: No module named pytest\n", NOT_POSSIBLE, "No module named pytest"),
        (5, "7 deselected in 0.1s\n", NOT_POSSIBLE, "can be collected"),
        (0, "", DONE, ""),
        (4, "Error: a bad file\n", FAILED, "status 4: Error: a bad file"),
    ],
)
def test_what_a_command_shows(status: int, text: str, state: str, reason: str) -> None:
    found = first_half_hour._judged(status, text)
    assert found[0] == state
    assert reason in found[1]


def test_each_part_is_saved_before_the_next_one_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second part looks at the archive; the third is ended at its time with what it started."""
    output, pid = tmp_path / "first", tmp_path / "pid"
    look = f"import tarfile; print(tarfile.open({str(tmp_path / 'first.tar.gz')!r}).getnames())"
    hang = (
        "import subprocess, time; child = subprocess.Popen(['sleep', '600']); "
        f"open({str(pid)!r}, 'w').write(str(child.pid)); time.sleep(600)"
    )
    parts = (
        Part("one", 60, "works", ("{python} -c \"print('seen')\"",)),
        Part("two", 60, "looks", (f"{{python}} -c {shlex.quote(look)}", "no-such-program --version")),
        Part("three", 2, "hangs", (f"{{python}} -c {shlex.quote(hang)}", "{python} -c 1")),
    )
    monkeypatch.setattr(first_half_hour, "PARTS", parts)
    assert main(["--output", str(output)]) == 1, "what was ended at its time counts"
    summary = json.loads((output / "summary.json").read_text())
    assert [part["state"] for part in summary["parts"]] == [DONE, DONE, LATE]
    assert [command["state"] for command in summary["parts"][1]["commands"]] == [DONE, NOT_POSSIBLE]
    assert "first/01-one/1.log" in (output / "02-two/1.log").read_text()
    assert "no program no-such-program" in summary["parts"][1]["commands"][1]["reason"]
    assert summary["parts"][2]["commands"][1]["reason"] == "its part had no time left"
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid.read_text()}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{pid.read_text()}").exists(), "what it started is ended too"
    with tarfile.open(tmp_path / "first.tar.gz") as archive:
        assert {"first/summary.json", "first/01-one/1.log", "first/03-three/1.log"} <= set(archive.getnames())
    assert "three" in capsys.readouterr().out


@pytest.mark.nightly
def test_without_a_gpu_it_says_what_was_not_possible(tmp_path: Path) -> None:
    """The list as it is, of this checkout, where no GPU is."""
    ran = subprocess.run(
        [sys.executable, str(ROOT / "docs/first_half_hour.py"), "--output", str(tmp_path / "first")],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
    )
    assert ran.returncode == 0, ran.stdout
    parts = {part["name"]: part for part in json.loads((tmp_path / "first/summary.json").read_text())["parts"]}
    assert parts["machine"]["state"] == DONE
    for name in ("memory", "records", "trust"):
        assert parts[name]["state"] == NOT_POSSIBLE, parts[name]
        assert all(command["reason"] for command in parts[name]["commands"])
