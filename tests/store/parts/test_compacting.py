"""Compacted records are found and read as those with a file each, byte by byte, and nothing is lost on the way."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sample_records import of_case, record, skipped, trials

import benchbox.store.parts.part
import benchbox.store.parts.part_draft
from benchbox.errors import StoreError
from benchbox.store.checking import check_store, set_aside
from benchbox.store.parts import compacted
from benchbox.store.parts.compacting import LOCK, compact
from benchbox.store.parts.part import Part
from benchbox.store.records import (
    append,
    content_of,
    count_records,
    files_below,
    read_headline,
    read_record,
    read_trials,
    readable_records,
    record_files,
    record_files_of,
    records_under,
    single_files,
    trials_from_file,
)
from benchbox.store.selection import conditions_from_words, matching


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Thirty records and a skipped one; row groups are small."""
    monkeypatch.setattr(benchbox.store.parts.part_draft, "GROUP_ROWS", 4)
    for number in range(30):
        append(tmp_path, of_case(number), trials())
    append(tmp_path, skipped(), ())
    return tmp_path


def everything(root: Path) -> list[object]:
    return [(content_of(path), read_record(path), read_trials(path)) for path in record_files(root)]


def test_records_stay_exactly_as_they_were(root: Path) -> None:
    before, names = everything(root), [path.name for path in record_files(root)]
    done = compact(root)
    assert (done.moved, done.copies, done.rewritten, done.left) == (31, 0, 0, ())
    assert single_files(root) == ()
    assert [path.name for path in record_files(root)] == names
    assert everything(root) == before
    path = record_files(root)[0]
    assert trials_from_file(path, read_record(path)) == trials()
    assert read_headline(path).readings == record().readings
    assert check_store(root).faults == ()
    assert check_store(root).counts["records"] == count_records(root) == 31


def test_parts_are_sorted_by_environment_case_and_time(root: Path) -> None:
    compact(root)
    (entry,) = compacted.read_manifest(root / compacted.FOLDER)
    stored = [read_headline(path) for path in compacted.paths_in(root / compacted.FOLDER / entry.file)]
    keys = [
        (found.environment.hash, found.key.model, found.key.precision, found.key.batch, found.started_at)
        for found in stored
    ]
    assert keys == sorted(keys)
    assert len({found.environment.hash for found in stored}) > 1
    assert {found.key.batch for found in stored} == {1, 2, 8, 10}, "by number: 10 comes after 8"


def test_a_part_without_the_environment_is_not_opened(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts are sorted by it: a machine's records are in few of many. Older manifests do not say it."""
    compact(root)
    folder = root / compacted.FOLDER
    here, elsewhere = [("env", (f"{1:012d}",))], [("env", ("9" * 12,))]
    assert compacted.selected(folder, here).count == 15
    with monkeypatch.context() as patch:
        patch.setattr(compacted, "opened", lambda path: pytest.fail("opened"))
        assert compacted.selected(folder, elsewhere).count == 0
    manifest = folder / compacted.MANIFEST
    document = json.loads(manifest.read_text())
    for entry in document["parts"]:
        del entry["envs"]
    manifest.write_text(json.dumps(document))
    assert [compacted.selected(folder, asked).count for asked in (here, elsewhere)] == [15, 0]


@pytest.mark.parametrize(
    "words",
    [
        ["model=net1"],
        ["model=net*", "batch=10"],
        ["model=nothing"],
        ["status=skipped"],
        ["env=000000000001", "model=net[02]"],
        ["id=20260102T0020*"],
        ["started_at=2026-01-02T00:0*"],
        ["threads=*", "wait=*"],
    ],
    ids=" ".join,
)
def test_conditions_find_the_same_records_in_parts(root: Path, words: list[str]) -> None:
    conditions = conditions_from_words(words)
    expected = {found.id for found in records_under(root) if matching(found, conditions)}
    compact(root)
    listed = record_files(root, conditions)
    assert {path.stem for path in listed} == expected, "the index decides all of them"


def test_finding_records_in_parts_loads_no_pandas(root: Path) -> None:
    """It takes as long as everything else together."""
    compact(root)
    code = (
        "import sys; from pathlib import Path; from benchbox.store.records import record_files; "
        "print(len(record_files(Path(sys.argv[1]), [('model', ('net1',))], newest=True)), 'pandas' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code, str(root)], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["4", "False"]


def test_what_counts_of_each_case_is_enough_for_a_choice(root: Path) -> None:
    """The newest, and with one of a sweep those of its other passes, however old and wherever they lie."""
    from benchbox.choose.replicates import records_of_cases

    def chosen(paths: tuple[Path, ...]) -> list[list[str]]:
        records = [read_headline(path) for path in paths]
        cases = records_of_cases(records, facet_of=lambda one: (one.environment.hash,), name_of=lambda _: "")
        return sorted(sorted(entry.id for entry in entries) for entries in cases)

    def append_marked(number: int, sweep: str) -> None:
        made = of_case(number)
        environment = dataclasses.replace(made.environment, observed={"sweep": f"{sweep}/p1-0000"})
        append(root, dataclasses.replace(made, environment=environment), trials())

    for number in (36, 48):  # of one case, before and after others of it
        append_marked(number, "s")
    append_marked(49, "t")
    append(root, of_case(60), trials())
    compact(root)
    append_marked(72, "s")
    append_marked(73, "u")
    expected = chosen(record_files(root))
    assert max(map(len, expected)) == 3
    assert chosen(record_files(root, newest=True)) == expected
    compact(root)
    assert len(record_files(root, newest=True)) < len(record_files(root)) == 31 + 6
    assert chosen(record_files(root, newest=True)) == expected
    listed = record_files(root, conditions_from_words(["sweep=s"]))
    assert [path.stem for path in listed] == [of_case(number).id for number in (36, 48, 72)]


def test_a_part_from_before_sweeps_were_in_the_index_gives_all(root: Path) -> None:
    import pyarrow.parquet as pq

    compact(root)
    (entry,) = compacted.read_manifest(root / compacted.FOLDER)
    path = root / compacted.FOLDER / entry.file
    pq.write_table(pq.read_table(path).drop_columns(["sweep"]), path, row_group_size=4)
    part = Part(path)
    assert len(part.newest(part.rows_matching([]))) == 31
    assert len(part.rows_matching([("model", ("net0",))])) == 10
    assert len(part.rows_matching([("sweep", ("s",))])) == 31, "what a part cannot tell is listed"


def test_what_comes_later_joins_the_small_part(root: Path) -> None:
    compact(root)
    first = {path.name for path in (root / compacted.FOLDER).glob("part-*")}
    append(root, of_case(360), trials())
    assert len(record_files(root)) == 32
    done = compact(root)
    assert (done.moved, done.rewritten) == (1, 31)
    (entry,) = compacted.read_manifest(root / compacted.FOLDER)
    assert {path.name for path in (root / compacted.FOLDER).glob("part-*")} == {entry.file}
    assert entry.file not in first
    assert compact(root).parts == (), "there is nothing left to do"
    assert len({found.id for found in records_under(root)}) == len(record_files(root)) == 32


def test_large_parts_stay_until_all_are_asked_for(root: Path) -> None:
    compact(root, least_bytes=0, most_bytes=1)
    parts = compacted.read_manifest(root / compacted.FOLDER)
    assert len(parts) > 5
    before = everything(root)
    append(root, of_case(370), trials())
    assert compact(root, least_bytes=0, most_bytes=1).rewritten == 0
    assert len(compacted.read_manifest(root / compacted.FOLDER)) == len(parts) + 1
    done = compact(root, everything=True)
    assert (done.moved, done.rewritten, len(done.parts)) == (0, 32, 1)
    assert everything(root)[:-1] == before


def test_a_reader_that_listed_before_reads_after(root: Path) -> None:
    """Its files are gone, then the part that it knew."""
    files = record_files(root)
    before = [(content_of(path), read_record(path), read_trials(path)) for path in files]
    compact(root)
    assert [(content_of(path), read_record(path), read_trials(path)) for path in files] == before
    listed = record_files(root)
    append(root, of_case(380), trials())
    compact(root)
    compacted.opened.cache_clear()
    assert [(content_of(path), read_record(path), read_trials(path)) for path in listed] == before


def test_what_a_killed_compaction_left_counts_once_and_is_removed(root: Path, tmp_path: Path) -> None:
    files = {path: path.read_bytes() for path in record_files(root)}
    compact(root)
    for path, content in list(files.items())[:5]:
        path.write_bytes(content)
    folder = root / compacted.FOLDER
    (folder / "part-00000000000000000000.parquet").write_bytes(b"of a compaction that did not come to its end")
    (folder / ".part-123-abc").write_bytes(b"a draft")
    assert len(record_files(root)) == len({found.id for found in records_under(root)}) == 31
    assert check_store(root).faults == ()
    done = compact(root)
    assert (done.moved, done.copies) == (0, 5)
    assert single_files(root) == ()
    assert {path.name for path in folder.iterdir()} == {
        compacted.MANIFEST,
        *(entry.file for entry in compacted.read_manifest(folder)),
    }


def test_damaged_files_are_named_and_stay(root: Path) -> None:
    damaged, misplaced = record_files(root)[3], record_files(root)[5]
    damaged.write_bytes(damaged.read_bytes()[:-100])
    elsewhere = misplaced.parents[2] / "env=ffffffffffff" / misplaced.parent.name / misplaced.name
    elsewhere.parent.mkdir(parents=True)
    misplaced.rename(elsewhere)
    done = compact(root)
    assert done.moved == 29
    assert {path for path, _ in done.left} == {damaged, elsewhere}
    assert set(single_files(root)) == {damaged, elsewhere}


def test_another_record_of_an_id_is_not_taken_for_a_copy(root: Path) -> None:
    path = record_files(root)[0]
    content = path.read_bytes()
    compact(root)
    path.write_bytes(content[:-1] + b"X")
    done = compact(root)
    assert [left for left, _ in done.left] == [path]
    assert path.exists()


def test_two_compactions_at_once_are_refused(root: Path) -> None:
    from benchbox.store.atomic import locked

    with locked(root / compacted.FOLDER / LOCK, waiting=None), pytest.raises(StoreError, match="another compaction"):
        compact(root)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[: len(content) // 2],
        lambda content: content[: len(content) // 3] + b"\0" * 400 + content[len(content) // 3 + 400 :],
        lambda _: b"",
    ],
    ids=["half", "zeros inside", "empty"],
)
def test_damage_to_a_part_is_found_and_the_rest_is_saved(root: Path, damage: Callable[[bytes], bytes]) -> None:
    compact(root)
    append(root, of_case(390), trials())
    (entry,) = compacted.read_manifest(root / compacted.FOLDER)
    part = root / compacted.FOLDER / entry.file
    part.write_bytes(damage(part.read_bytes()))
    compacted.opened.cache_clear()
    lines: list[str] = []
    readable_records(record_files(root), warn=lines.append)
    (fault,) = check_store(root).faults
    assert fault.path == part
    target = set_aside(root, fault)
    assert target.exists()
    assert not part.exists()
    assert check_store(root).faults == ()
    kept = list(records_under(root))
    assert kept[-1].id == of_case(390).id
    assert (len(kept) > 1) == ("are whole" in fault.reason and " 0 of" not in fault.reason)


def test_other_commands_go_on_without_a_damaged_part(root: Path) -> None:
    compact(root)
    append(root, of_case(390), trials())
    (part,) = (root / compacted.FOLDER).glob("part-*")
    part.write_bytes(b"PAR1")
    compacted.opened.cache_clear()
    lines: list[str] = []
    ((_, found),) = readable_records(record_files(root), warn=lines.append)
    assert found.id == of_case(390).id
    (line,) = lines
    assert part.name in line


def test_a_damaged_manifest_is_made_anew(root: Path) -> None:
    before = everything(root)
    compact(root)
    manifest = root / compacted.FOLDER / compacted.MANIFEST
    manifest.write_text(manifest.read_text()[:-20])
    with pytest.raises(StoreError, match="list of compacted records"):
        record_files(root)
    (fault,) = check_store(root).faults
    set_aside(root, fault)
    assert everything(root) == before


def test_places_that_users_name(root: Path, tmp_path: Path) -> None:
    compact(root)
    folder = root / "results" / "records"
    assert len(files_below(folder)) == len(files_below(root)) == len(record_files_of(str(folder), root)) == 31
    assert len(files_below(folder / "compacted")) == 31
    (part,) = (folder / "compacted").glob("part-*")
    assert len(record_files_of(str(part), root)) == 31
    assert [path.stem for path in record_files_of("20260102T0020", root)] == [of_case(20).id]
    shutil.copytree(root / "results", tmp_path / "copy" / "results")
    assert len(list(records_under(tmp_path / "copy"))) == 31


def test_records_of_another_version_are_read_without_the_index(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their index may name things otherwise: all are listed, and selected by what is in them."""
    compact(root)
    monkeypatch.setattr(benchbox.store.parts.part, "RECORD_SCHEMA", "benchbox.record/99")
    compacted.opened.cache_clear()
    assert len(record_files(root, conditions_from_words(["backend=nothing"]))) == 31
    assert len(record_files(root, newest=True)) == 31
