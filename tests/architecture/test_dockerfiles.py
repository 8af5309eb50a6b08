"""Are the Dockerfiles sound? They are not built here: hadolint reads them, and what they name must exist."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCKERFILES = sorted((ROOT / "docker").glob("*.Dockerfile"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

each = pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)


def _instructions(dockerfile: Path) -> list[str]:
    """Instructions with their continued lines joined, without comments."""
    lines = [line for line in dockerfile.read_text().splitlines() if not line.startswith("#")]
    return [line for line in re.sub(r"\\\n\s*", " ", "\n".join(lines)).splitlines() if line.strip()]


def test_both_are_there() -> None:
    assert [path.name for path in DOCKERFILES] == ["cpu.Dockerfile", "gpu.Dockerfile"]


@each
def test_hadolint_finds_nothing(dockerfile: Path) -> None:
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("runs where hadolint is installed: its wheel is for Linux on x86-64")
    ran = subprocess.run([hadolint, "--no-color", str(dockerfile)], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout


@each
def test_what_is_copied_exists(dockerfile: Path) -> None:
    copies = [line.split()[1:-1] for line in _instructions(dockerfile) if line.startswith("COPY ")]
    assert copies
    for source in (name for names in copies for name in names):
        assert (ROOT / source).exists(), source


@each
def test_the_extras_exist_and_versions_are_those_of_the_constraints(dockerfile: Path) -> None:
    text = dockerfile.read_text()
    extras = re.search(r'"\.\[([\w,-]+)\]"', text) or re.search(r"^ARG EXTRAS=([\w,-]+)$", text, re.MULTILINE)
    assert extras is not None
    others = re.findall(r"--build-arg EXTRAS=([\w,-]+)", text)
    assert {name for names in (extras[1], *others) for name in names.split(",")} <= set(
        PROJECT["optional-dependencies"]
    )
    constraints = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().split() if "==" in line)
    torch = re.search(r'"torch==([\d.]+)', text)
    assert torch is not None
    assert torch[1] == constraints["torch"]


@each
def test_it_runs_as_nobody_in_the_mounted_folder(dockerfile: Path) -> None:
    instructions = _instructions(dockerfile)
    assert instructions[-3:] == ["WORKDIR /project", "USER 65534", 'ENTRYPOINT ["benchbox"]']


@each
def test_the_readme_says_how_it_runs(dockerfile: Path) -> None:
    assert f"docker build -f docker/{dockerfile.name}" in (ROOT / "README.md").read_text()
    assert f"docker build -f docker/{dockerfile.name}" in dockerfile.read_text()
