"""The documents are kept true: every command they show exists with its flags, every link leads somewhere."""

from __future__ import annotations

import dataclasses
import importlib.util
import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest
from sample_records import record, trials

from benchbox import __version__
from benchbox.cli import cli
from benchbox.flags.compilations import COMPILED
from benchbox.flags.leaks import PLACES, growth_name, leak_name
from benchbox.machine import counters as kernel
from benchbox.machine.gpu import watch as gpu_watch
from benchbox.metrics.metric import METRICS
from benchbox.metrics.probes import SHIFTED, counter_name
from benchbox.schema.energy import EnergyRun, EnergyWindow
from benchbox.schema.loadgen import LoadgenRun
from benchbox.schema.plan import MeasurementPlan
from benchbox.schema.record import Analytic, BuildCost, Sampling
from benchbox.store.records import append

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("*/README.md")])
every_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))


def _commands(text: str) -> list[str]:
    """Lines that start with ``benchbox`` inside fenced shell blocks, and inline `benchbox …` spans."""
    fenced = re.findall(r"```(?:sh|bash|console)\n(.*?)```", text, flags=re.DOTALL)
    lines = [line.removeprefix("$ ").strip() for block in fenced for line in block.splitlines()]
    inline = re.findall(r"`(benchbox [^`]*)`", text)
    return [line for line in [*lines, *inline] if line.startswith("benchbox ")]


@every_document
def test_commands_in_documents_exist(document: Path) -> None:
    context = click.Context(cli, info_name="benchbox")
    for line in _commands(document.read_text()):
        words = shlex.split(re.split(r"\s[|>&;#]", line)[0])[1:]
        name = words[0]
        if name.startswith("-") or name == "COMMAND":
            continue
        assert isinstance(cli, click.Group)
        command = cli.get_command(context, name)
        assert command is not None, f"{line!r}: no such command"
        if isinstance(command, click.Group) and len(words) > 1:
            command = command.get_command(context, words[1])
            assert command is not None, f"{line!r}: no such command"
        known = {option for parameter in command.params for option in parameter.opts} | {"--help", "-h"}
        used = {word.split("=")[0] for word in words[1:] if word.startswith("--")}
        assert used <= known, f"{line!r}: no such flag {used - known}"


@every_document
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\((?!https?://|#|mailto:)([^)#]+)", document.read_text()):
        assert (document.parent / target).exists(), target


def _anchors(document: Path) -> set[str]:
    """Where a link into a page may lead: its headings, as GitHub writes them."""
    text = re.sub(r"^```.*?^```", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)
    titles = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title) for title in re.findall(r"^#+ (.*)$", text, re.MULTILINE)]
    return {re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-") for title in titles}


@every_document
def test_links_lead_to_headings_that_exist(document: Path) -> None:
    for page, anchor in re.findall(r"\]\((?!https?://)([^)#]*)#([^)]+)\)", document.read_text()):
        target = document.parent / page if page else document
        assert target.suffix != ".md" or anchor in _anchors(target), f"{page}#{anchor}"


def _python_blocks(document: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", document.read_text(), flags=re.DOTALL)


@pytest.mark.parametrize(
    "document", list(filter(_python_blocks, DOCUMENTS)), ids=lambda path: str(path.relative_to(ROOT))
)
def test_python_in_documents_runs(document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each block by itself, in a folder that holds one record."""
    append(tmp_path, record(), trials())
    monkeypatch.chdir(tmp_path)
    for block in _python_blocks(document):
        exec(compile(block, str(document), "exec"), {"__name__": "document"})


def test_readme_names_its_two_commands_and_they_exist() -> None:
    readme = (ROOT / "README.md").read_text()
    makefile = (ROOT / "Makefile").read_text()
    for target in ("run", "test"):
        assert f"make {target}" in readme
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE)


def test_changelog_knows_this_version() -> None:
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()


def _writer() -> Any:
    """docs/write_cli.py as a module: the script and the test make the same text."""
    spec = importlib.util.spec_from_file_location("write_cli", ROOT / "docs" / "write_cli.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


help_text = _writer().help_text


def _help_pages() -> list[str]:
    return ["", *_writer().command_names()]


@pytest.mark.parametrize("name", _help_pages())
def test_help_is_what_docs_cli_prints(name: str) -> None:
    """docs/cli.md holds the help of every command, word for word (``python docs/write_cli.py`` renews it)."""
    assert help_text(name) in (ROOT / "docs" / "cli.md").read_text()


@pytest.mark.parametrize("name", _help_pages())
def test_every_help_has_an_example(name: str) -> None:
    text = help_text(name)
    assert "Example" in text
    assert re.search(rf"^\s+benchbox {name}", text, flags=re.MULTILINE)


def _raised() -> set[str]:
    """Codes of flags in the package: what is given to Flag and to the helpers that make one."""
    found: set[str] = set()
    for source in (ROOT / "benchbox").rglob("*.py"):
        found |= set(re.findall(r'(?:flag|_flag|_info)\(\s*"([A-Z][A-Z_]+)"|code="([A-Z][A-Z_]+)"', source.read_text()))
    return {code for pair in found for code in pair if code}


def test_every_flag_is_in_the_table_of_flags() -> None:
    text = (ROOT / "docs" / "metrics.md").read_text()
    section = text.split("## Flags")[1].split("## Comparison")[0]
    raised = _raised()
    assert len(raised) > 40
    assert [code for code in sorted(raised) if f"`{code}`" not in section] == []


def _counters() -> set[str]:
    """Names of everything that a timed process may count."""
    found = {"window_s", COMPILED, *kernel.counters()}
    found |= {name(place) for place in PLACES for name in (growth_name, leak_name)}
    found |= {counter_name(kind, when) for kind in SHIFTED for when in ("before", "after")}
    return found | set(re.findall(r'"(gpu_[a-z_]+)"', Path(str(gpu_watch.__file__)).read_text()))


def test_every_counter_is_defined() -> None:
    text = (ROOT / "docs" / "metrics.md").read_text().split("## Every other number in a record")[1]
    found = _counters()
    assert len(found) > 35
    assert [name for name in sorted(found) if f"`{name}`" not in text] == []


@pytest.mark.parametrize("kind", [MeasurementPlan, Sampling, Analytic, BuildCost, EnergyRun, EnergyWindow, LoadgenRun])
def test_every_field_of_a_record_is_defined(kind: type) -> None:
    text = (ROOT / "docs" / "metrics.md").read_text().split("## Every other number in a record")[1]
    assert [field.name for field in dataclasses.fields(kind) if f"`{field.name}`" not in text] == []


def test_every_metric_is_defined() -> None:
    text = (ROOT / "docs" / "metrics.md").read_text()
    loose = [name for name in METRICS.names() if f"`{name}`" not in text and not name.startswith("trtexec_")]
    assert loose == []
