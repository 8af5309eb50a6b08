"""Is the end of a process seen, with its status, whether the kernel wakes who waits or not?"""

from __future__ import annotations

import os
import subprocess

import pytest

from benchbox.measure.process.ending import waiting_for


def _refused(_: int) -> int:
    raise OSError("no descriptor")


@pytest.mark.parametrize("descriptors", [True, False])
def test_the_end_of_a_process_is_seen_with_its_status(*, descriptors: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not descriptors:
        monkeypatch.setattr(os, "pidfd_open", _refused, raising=False)
    with subprocess.Popen(["sh", "-c", "read line; exit 7"], stdin=subprocess.PIPE) as process:
        with waiting_for(process) as wait:
            assert wait(0) is None
            assert wait(0.01) is None
            assert process.stdin is not None
            process.stdin.close()
            assert wait(60) == 7
        assert process.returncode == 7


def test_a_process_that_was_killed_ends_with_the_signal() -> None:
    with subprocess.Popen(["sleep", "60"]) as process, waiting_for(process) as wait:
        process.kill()
        assert wait(60) == -9
