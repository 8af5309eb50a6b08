"""Nothing is left of a temporary folder, wherever the command is interrupted."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest

from benchbox.temporary import temporary_folder


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def use(error: BaseException | None = None) -> None:
    with temporary_folder("benchbox-test-") as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / "file").touch()
        assert folder.name.startswith("benchbox-test-")
        assert folder.stat().st_mode & 0o777 == 0o700
        if error is not None:
            raise error


@pytest.mark.parametrize("error", [None, ValueError(), KeyboardInterrupt()])
def test_it_is_removed_with_all_in_it(error: BaseException | None, place: Path) -> None:
    if error is None:
        use()
    else:
        with pytest.raises(type(error)):
            use(error)
    assert list(place.iterdir()) == []


def test_an_interrupt_while_it_is_removed_leaves_nothing(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own, calls = shutil.rmtree, []

    def interrupted(folder: Path, **options: bool) -> None:
        calls.append(folder)
        if len(calls) == 1:
            raise KeyboardInterrupt
        own(folder, **options)

    monkeypatch.setattr(shutil, "rmtree", interrupted)
    with pytest.raises(KeyboardInterrupt):
        use()
    assert list(place.iterdir()) == []


def test_an_interrupt_while_it_is_made_leaves_nothing(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = Path.mkdir

    def interrupted(folder: Path, mode: int) -> None:
        own(folder, mode)
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "mkdir", interrupted)
    with pytest.raises(KeyboardInterrupt):
        use()
    assert list(place.iterdir()) == []
