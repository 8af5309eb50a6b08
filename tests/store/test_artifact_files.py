"""A file is hashed again exactly when it may have changed."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from pathlib import Path

import pytest

from benchbox.store import artifact_files
from benchbox.store.artifact_files import sha256_of


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were read, in order."""
    read: list[Path] = []
    original = artifact_files._hashed

    def count(path: Path) -> str:
        read.append(path)
        return original(path)

    monkeypatch.setattr(artifact_files, "_hashed", count)
    return read


def aged(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets time pass, as the hash sees it: the time of a file's last change cannot be set."""
    now = time.time_ns()
    monkeypatch.setattr(artifact_files.time, "time_ns", lambda: now + 3_600_000_000_000)


def test_a_file_that_does_not_change_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hashed: list[Path]
) -> None:
    path = tmp_path / "net.data"
    path.write_bytes(b"weights")
    aged(path, monkeypatch)
    assert {sha256_of(path) for _ in range(3)} == {hashlib.sha256(b"weights").hexdigest()}
    assert len(hashed) == 1


@pytest.mark.parametrize("how", ["in place", "replaced", "with its old times"])
def test_a_changed_file_is_read_again(how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, other = tmp_path / "net.data", tmp_path / "other.data"
    path.write_bytes(b"weights")
    aged(path, monkeypatch)
    first, seen = sha256_of(path), path.stat()
    if how == "in place":
        path.write_bytes(b"WEIGHTS")
    else:
        other.write_bytes(b"WEIGHTS")
        shutil.move(other, path)
    if how == "with its old times":
        os.utime(path, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    assert sha256_of(path) == hashlib.sha256(b"WEIGHTS").hexdigest() != first


def test_a_file_that_has_just_changed_is_never_trusted(tmp_path: Path, hashed: list[Path]) -> None:
    """A second change within one tick of the file system's clock would go unseen."""
    path = tmp_path / "net.data"
    path.write_bytes(b"weights")
    assert sha256_of(path) == sha256_of(path)
    assert len(hashed) == 2
