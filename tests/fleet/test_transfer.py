"""Records travel to a folder, to an object store, and to S3, and arrive whole, once, and readable."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from refusing_store import DENIED, NO_BUCKET, refusing_store
from sample_records import record, trials

from benchbox.errors import StoreError, UsageError
from benchbox.fleet.objects import Objects, objects_at
from benchbox.fleet.transfer import pull, push, record_ids
from benchbox.store.parts.compacting import compact
from benchbox.store.records import append, record_files, records_under

refusing = pytest.fixture(refusing_store, name="refusing")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three records."""
    for number in range(3):
        append(tmp_path / "here", record(number), trials())
    return tmp_path / "here"


@pytest.fixture(params=["folder", "file", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
    if request.param == "folder":
        return objects_at(str(tmp_path / "place"))
    pytest.importorskip("obstore")
    if request.param == "file":
        (tmp_path / "place").mkdir()
        return objects_at(f"file://{tmp_path / 'place'}")
    return objects_at(request.getfixturevalue("bucket"))


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket of a real S3 server on this machine."""
    pytest.importorskip("moto.server", reason="S3 itself is tested where moto[server] is installed")
    words = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "5678"]
    server = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    endpoint = "http://127.0.0.1:5678"
    try:
        _wait_for(endpoint)
        urllib.request.urlopen(urllib.request.Request(f"{endpoint}/records", method="PUT"))
        for name, value in {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": "x",
            "AWS_SECRET_ACCESS_KEY": "x",
            "AWS_REGION": "us-east-1",
            "AWS_ALLOW_HTTP": "true",
        }.items():
            monkeypatch.setenv(name, value)
        yield "s3://records/some/prefix"
    finally:
        server.kill()
        server.wait()


def _wait_for(endpoint: str) -> None:
    for _ in range(300):
        try:
            urllib.request.urlopen(endpoint)
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError("the server did not start")


def test_there_and_back(root: Path, place: Objects, tmp_path: Path) -> None:
    done = push(root, place)
    assert (len(done.copied), done.present, done.faults) == (3, 0, ())
    assert push(root, place).present == 3
    back = pull(tmp_path / "back", place)
    assert (len(back.copied), back.present, back.faults) == (3, 0, ())
    assert list(records_under(tmp_path / "back")) == list(records_under(root))
    assert [path.read_bytes() for path in record_files(tmp_path / "back")] == [
        path.read_bytes() for path in record_files(root)
    ]
    assert pull(tmp_path / "back", place).present == 3


def test_nothing_is_replaced(place: Objects) -> None:
    assert place.write_new("a/b.txt", b"first")
    assert not place.write_new("a/b.txt", b"second")
    assert place.read("a/b.txt") == b"first"
    assert list(place.names("a")) == [("a/b.txt", 5)]


def test_a_dry_run_writes_nothing(root: Path, place: Objects, tmp_path: Path) -> None:
    assert len(push(root, place, dry_run=True).copied) == 3
    assert not list(place.names("results"))
    push(root, place)
    assert len(pull(tmp_path / "back", place, dry_run=True).copied) == 3
    assert not record_files(tmp_path / "back")


def test_a_damaged_record_is_named_and_the_others_travel(root: Path, tmp_path: Path) -> None:
    place = objects_at(str(tmp_path / "place"))
    first, second, _ = record_files(root)
    whole = first.read_bytes()
    first.write_bytes(whole[:100])
    done = push(root, place)
    assert len(done.copied) == 2
    ((name, reason),) = done.faults
    assert first.name in name
    assert "damaged" in reason
    remote = tmp_path / "place" / second.relative_to(root)
    remote.write_bytes(remote.read_bytes()[:-50])
    back = pull(tmp_path / "back", place)
    assert len(back.copied) == 1
    assert second.name in back.faults[0][0]
    assert not list((tmp_path / "back").rglob(second.name))


def test_another_record_of_the_same_name_is_a_fault(root: Path, tmp_path: Path) -> None:
    place = objects_at(str(tmp_path / "place"))
    push(root, place)
    path = record_files(root)[0]
    path.unlink()
    longer = dataclasses.replace(record(0), reason="x" * 1000)
    append(root, longer, trials())
    ((_, reason),) = push(root, place).faults
    assert "another one is there" in reason
    ((_, reason),) = pull(root, place).faults
    assert "another one is here" in reason


def test_names_that_leave_the_root_are_ignored(tmp_path: Path) -> None:
    class Hostile:
        url = "hostile"

        def names(self, prefix: str) -> Iterator[tuple[str, int]]:
            yield f"{prefix}/../../../outside.json", 3

        def read(self, name: str) -> bytes:
            raise AssertionError(name)

        def write_new(self, name: str, content: bytes) -> bool:
            raise AssertionError(name)

    assert pull(tmp_path, Hostile()).copied == ()


def test_many_push_at_once(root: Path, tmp_path: Path) -> None:
    results = []

    def work() -> None:
        results.append(push(root, objects_at(str(tmp_path / "place"))))

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(len(done.copied) for done in results) == 3
    assert all(not done.faults for done in results)
    assert len(list((tmp_path / "place").rglob("*.parquet"))) == 3
    assert not [path for path in (tmp_path / "place").rglob(".*") if path.is_file()]


def test_a_store_that_does_not_answer_is_an_error(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("obstore")
    monkeypatch.setattr("benchbox.fleet.objects._RETRIES", 0)
    for name, value in {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_ACCESS_KEY_ID": "x", "AWS_REGION": "x"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    with pytest.raises(StoreError, match="does not answer"):
        push(root, objects_at("s3://records"))


@pytest.mark.parametrize(
    ("answer", "words"),
    [(NO_BUCKET, "there is no bucket 'records'"), (DENIED, "no permission to list in bucket 'records'")],
)
def test_what_a_store_refuses_is_said(
    answer: tuple[int, str], words: str, refusing: Callable[..., None], root: Path, benchbox: Callable[..., Any]
) -> None:
    refusing(*answer)
    for command in ("push", "pull"):
        ran = benchbox("store", command, "s3://records/here", "--root", str(root))
        assert ran.status == 6
        assert words in ran.err
        assert answer[1] in ran.err


def test_records_that_stay_here(root: Path, tmp_path: Path) -> None:
    first, *others = record_files(root)
    done = push(root, objects_at(str(tmp_path / "place")), without={first.stem})
    assert len(done.copied) == len(others)
    assert record_ids(objects_at(str(tmp_path / "place"))) == {path.stem for path in others}


def test_unknown_schemes_are_refused() -> None:
    with pytest.raises(UsageError, match="ftp"):
        objects_at("ftp://host/records")
    with pytest.raises(UsageError, match="no name"):
        objects_at("")


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes anywhere: another user's machine runs it")
def test_a_folder_that_cannot_be_written(root: Path, tmp_path: Path) -> None:
    (tmp_path / "place").mkdir(mode=0o500)
    with pytest.raises(StoreError):
        push(root, objects_at(str(tmp_path / "place")))


def test_the_commands(root: Path, tmp_path: Path, benchbox: Callable[..., Any]) -> None:
    url = str(tmp_path / "place")
    ran = benchbox("store", "push", url, "--root", str(root))
    assert (ran.status, ran.out.split(" (")[0]) == (0, "3 copied")
    document = benchbox("store", "pull", url, "--root", str(tmp_path / "back"), "--json").document
    assert (document["schema"], len(document["copied"])) == ("benchbox.pull/1", 3)
    assert benchbox("store", "pull", "ftp://a").status == 2
    record_files(root)[0].write_bytes(b"")
    ran = benchbox("store", "check", "--root", str(root))
    assert ran.status == 6
    assert "1 of 3 files is damaged" in ran.err
    ran = benchbox("store", "check", "--root", str(root), "--set-aside")
    assert ran.status == 0
    assert "results/damaged/records" in ran.out
    assert benchbox("store", "check", "--root", str(root), "--json").document["counts"]["records"] == 2


def test_compacted_records_travel_one_by_one_under_their_names(root: Path, place: Objects, tmp_path: Path) -> None:
    """To the other side it makes no difference how a machine keeps them."""
    before = {path.relative_to(root): path.read_bytes() for path in record_files(root)}
    push(root, place)
    compact(root)
    append(root, record(9), trials())
    done = push(root, place)
    assert (len(done.copied), done.present, done.faults) == (1, 3, ())
    assert len(pull(tmp_path / "back", place).copied) == 4
    assert {name: (tmp_path / "back" / name).read_bytes() for name in before} == before
    assert (len(pull(root, place).copied), len(record_files(root))) == (0, 4)
    shutil.rmtree(tmp_path / "back")
    compact(root)
    other = objects_at(str(tmp_path / "other"))
    assert len(push(root, other).copied) == 4
    assert len(pull(tmp_path / "back", other).copied) == 4
    assert list(records_under(tmp_path / "back")) == list(records_under(root))
