"""``benchbox report``: which records, in which form, into which file."""

from __future__ import annotations

import csv
import dataclasses
import errno
import io
import json
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from sample_material import case, ceilings
from sample_records import record, trials

from benchbox.store.ceilings import append_ceilings
from benchbox.store.records import append


@pytest.fixture
def stored(tmp_path: Path) -> list[Path]:
    """The files of two records under the root."""
    return [append(tmp_path, record(number), trials()) for number in (0, 1)]


def test_a_damaged_record_is_skipped_with_a_warning(benchbox: Callable, stored: list[Path]) -> None:
    stored[0].write_bytes(b"not parquet")
    ran = benchbox("report", "--json")
    assert ran.status == 0
    assert [entry["id"] for entry in ran.document["records"]] == [record(1).id]
    assert stored[0].name in ran.err
    assert ran.err.startswith("warning: skipped: ")
    stored[1].write_bytes(b"")
    ran = benchbox("report", "--json")
    assert ran.status == 6, "none can be read"
    assert stored[0].name in ran.err


def test_an_empty_store_is_no_error(benchbox: Callable) -> None:
    ran = benchbox("report")
    assert (ran.status, ran.out) == (0, "no records; 'benchbox run' makes some\n")


@pytest.mark.usefixtures("stored")
def test_the_ending_says_the_form(benchbox: Callable, tmp_path: Path) -> None:
    for name in ("x.csv", "x.md", "x.json", "x.txt", "x"):
        assert benchbox("report", "--output", name).status == 0
    texts = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.glob("x*")}
    assert [row["id"] for row in csv.DictReader(io.StringIO(texts["x.csv"]))] == [record(0).id, record(1).id]
    assert next(csv.DictReader(io.StringIO(texts["x.csv"])))["started_at"] == "2026-01-02T03:04:00+0000"
    assert texts["x.md"].startswith("| model")
    assert json.loads(texts["x.json"])["schema"] == "benchbox.report/1"
    assert texts["x"] == texts["x.txt"]
    assert texts["x"].startswith("model")
    assert all(text.endswith("\n") and not text.endswith("\n\n") for text in texts.values())
    benchbox("report", "--output", "y.csv", "--format", "md")
    assert (tmp_path / "y.csv").read_text().startswith("| model"), "asked for is asked for"


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize("name", ["x.foo", "x.xlsx", "/dev/null.foo"])
def test_an_unknown_ending_is_an_error_and_writes_nothing(name: str, benchbox: Callable, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    ran = benchbox("report", "--output", name)
    assert (ran.status, ran.out) == (2, "")
    assert f"no format has the ending '{Path(name).suffix}'" in ran.err
    assert "known: .csv, .htm, .html, .json, .md, .txt" in ran.err
    assert "--format" in ran.err
    assert sorted(tmp_path.rglob("*")) == before
    assert benchbox("report", "--output", "y.foo", "--format", "csv").status == 0
    assert (tmp_path / "y.foo").read_text().startswith("id,"), "asked for is asked for"


@pytest.mark.usefixtures("stored")
def test_a_table_in_a_file_is_not_folded(benchbox: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "60")
    benchbox("report", "--output", "table")
    lines = (tmp_path / "table").read_text(encoding="utf-8").splitlines()
    assert record(0).id in lines[2]
    assert lines[2].startswith("lenet5")


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_the_umask_says_the_mode(umask: int, benchbox: Callable, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        assert benchbox("report", "--output", "out.csv").status == 0
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "out.csv").stat().st_mode) == 0o666 & ~umask


@pytest.mark.usefixtures("stored")
def test_nothing_is_left_of_a_report_that_cannot_be_written(benchbox: Callable, tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "a_file").touch()
    before = sorted(tmp_path.rglob("*"))
    for name in ("folder.csv", "a_file/x.csv", "absent/x.csv", "/dev/full"):
        ran = benchbox("report", "--output", name)
        assert (ran.status, ran.out) == (6, ""), name
        assert "the report cannot be written" in ran.err
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.usefixtures("stored")
def test_links_are_followed_and_not_replaced(benchbox: Callable, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    real, soft, hard = tmp_path / "sub" / "real.csv", tmp_path / "soft.csv", tmp_path / "hard.csv"
    soft.symlink_to(real)
    assert benchbox("report", "--output", "soft.csv").status == 0
    assert soft.is_symlink()
    assert real.read_text().startswith("id,")
    real.write_text("old")
    hard.hardlink_to(real)
    assert benchbox("report", "--output", "hard.csv").status == 0
    assert real.samefile(hard)
    assert real.read_text().startswith("id,")


@pytest.mark.usefixtures("stored")
def test_a_fifo_is_written_through(benchbox: Callable, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    found: list[str] = []
    reader = threading.Thread(target=lambda: found.append(fifo.read_text(encoding="utf-8")), daemon=True)
    reader.start()
    assert benchbox("report", "--output", "fifo", "--format", "csv").status == 0
    reader.join(60)
    assert found[0].startswith("id,")
    assert stat.S_ISFIFO(fifo.stat().st_mode)


@pytest.mark.usefixtures("stored")
def test_a_file_that_is_there_keeps_its_mode(benchbox: Callable, tmp_path: Path) -> None:
    own = tmp_path / "own.csv"
    own.touch()
    own.chmod(0o640)
    assert benchbox("report", "--output", "own.csv").status == 0
    assert stat.S_IMODE(own.stat().st_mode) == 0o640
    assert own.read_text().startswith("id,")


@pytest.mark.usefixtures("stored")
def test_a_file_that_cannot_be_replaced_is_written_through(
    benchbox: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is mounted into a container alone; its number is kept, and so is a file if nothing can be written."""
    mounted = tmp_path / "mounted.csv"
    mounted.touch()
    number = mounted.stat().st_ino
    replace = Path.replace

    def refused(self: Path, target: Path) -> Path:
        if Path(target) == mounted:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", refused)
    assert benchbox("report", "--output", "mounted.csv").status == 0
    assert mounted.read_text().startswith("id,")
    assert mounted.stat().st_ino == number
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.usefixtures("stored")
def test_the_longest_name_that_a_folder_takes(benchbox: Callable, tmp_path: Path) -> None:
    name = "n" * (os.pathconf(tmp_path, "PC_NAME_MAX") - 4) + ".csv"
    assert benchbox("report", "--output", name).status == 0
    assert (tmp_path / name).read_text().startswith("id,")


@pytest.mark.usefixtures("stored")
def test_selection_by_what_identifies_a_case(benchbox: Callable) -> None:
    assert len(benchbox("report", "--json", "--where", "threads=1").document["records"]) == 2
    assert benchbox("report", "--json", "--where", "threads=2").document["records"] == []
    ran = benchbox("report", "--where", "thread=1")
    assert (ran.status, "did you mean 'threads'" in ran.err) == (2, True)


def test_the_page_warns_of_what_is_above_its_roof(benchbox: Callable, tmp_path: Path) -> None:
    append(tmp_path, case(0, 1), trials())
    low = [dataclasses.replace(one, flops_per_s=1e10, low=1e10, high=2e10) for one in ceilings().compute]
    append_ceilings(tmp_path, dataclasses.replace(ceilings(), id="20260101T000001Z-00000000", compute=tuple(low)))
    ran = benchbox("report", "--output", "page.html")
    assert "warning: ABOVE_CEILING on" in ran.err
    assert "resnet18 null fp32 batch 1: 60.00 GFLOP/s, 200 % above the 20.00 GFLOP/s" in ran.err
    append_ceilings(tmp_path, dataclasses.replace(ceilings(), id="20260101T000002Z-00000000"))
    assert "resnet18 null fp32 batch 1: 60.00 GFLOP/s" in (tmp_path / "page.html").read_text(encoding="utf-8")
    ran = benchbox("report", "--output", "page.html")
    assert (ran.status, "ABOVE_CEILING" in ran.err) == (0, False)
