"""What the kernel counts of this process stays readable while threads come and go, and never falls."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

from benchbox.machine.counters import RunDelays, counters


def task(tasks: Path, number: int, delay_ns: int) -> None:
    (tasks / str(number)).mkdir(parents=True, exist_ok=True)
    (tasks / str(number) / "schedstat").write_text(f"1000 {delay_ns} 3\n")


def test_the_delay_of_a_thread_that_has_ended_is_kept(tmp_path: Path) -> None:
    delays = RunDelays(tmp_path)
    assert delays.total_ns() is None, "a kernel that does not count it"
    task(tmp_path, 1, 100)
    task(tmp_path, 2, 50)
    assert delays.total_ns() == 150
    shutil.rmtree(tmp_path / "2")
    task(tmp_path, 1, 110)
    assert delays.total_ns() == 160
    task(tmp_path, 2, 5)  # a new thread with the number of the old one
    assert delays.total_ns() == 165
    task(tmp_path, 2, 7)
    assert delays.total_ns() == 167


def test_a_thread_that_ends_between_the_list_and_the_look_is_passed_over(tmp_path: Path) -> None:
    task(tmp_path, 1, 100)
    (tmp_path / "2").mkdir()  # listed, and its file is gone
    assert RunDelays(tmp_path).total_ns() == 100


def test_counters_bear_threads_that_come_and_go() -> None:
    """Threads end while the kernel's list of them is read."""
    over = threading.Event()

    def churn() -> None:
        while not over.is_set():
            threads = [threading.Thread(target=int) for _ in range(20)]
            for each in threads:
                each.start()
            for each in threads:
                each.join()

    churning = [threading.Thread(target=churn) for _ in range(2)]
    for each in churning:
        each.start()
    try:
        seen = [counters() for _ in range(300)]
    finally:
        over.set()
        for each in churning:
            each.join()
    delays = [each["run_delay_s"] for each in seen if "run_delay_s" in each]
    assert delays == sorted(delays)
