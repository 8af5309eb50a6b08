"""What a signal does to a command: once, twice, in the middle of an import, and where its exception is swallowed."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

HEAD = """
    import os, signal, sys, time
    from benchbox.cli import signals
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signals.end_in_order_on_signal()
    def signalled(number=signal.SIGINT): os.kill(os.getpid(), number)
"""


def said(script: str, folder: Path) -> list[str]:
    """What a process says that runs the script after ``HEAD``; it must end by itself."""
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(HEAD) + textwrap.dedent(script)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return ran.stdout.split()


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_each_signal_interrupts(name: str, tmp_path: Path) -> None:
    script = f"""
        try:
            signalled(signal.{name})
            time.sleep(10)
        except KeyboardInterrupt:
            print("interrupted", signals.was_signalled())
    """
    assert said(script, tmp_path) == ["interrupted", "True"]


def test_the_second_does_not_interrupt_the_ending(tmp_path: Path) -> None:
    script = """
        try:
            try:
                signalled()
            finally:
                signalled(signal.SIGTERM)
                signalled()
                print("cleaned")
        except KeyboardInterrupt:
            print("interrupted")
    """
    assert said(script, tmp_path) == ["cleaned", "interrupted"]


def test_one_that_comes_later_interrupts_an_ending_that_hangs(tmp_path: Path) -> None:
    script = """
        signals.REPEAT_S = 0.2
        try:
            signalled()
        except KeyboardInterrupt:
            try:
                time.sleep(0.5)
                signalled()
                time.sleep(10)
            except KeyboardInterrupt:
                print("again")
    """
    assert said(script, tmp_path) == ["again"]


def test_what_was_ignored_stays_ignored(tmp_path: Path) -> None:
    script = """
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signals.end_in_order_on_signal()
        signalled(signal.SIGHUP)
        print("goes on", signals.was_signalled())
    """
    assert said(script, tmp_path) == ["goes", "on", "False"]


def test_an_import_is_finished_first(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(
        "import os, signal, time\n"
        "os.kill(os.getpid(), signal.SIGINT)\n"
        "end = time.monotonic() + 0.3\n"
        "while time.monotonic() < end: pass\n"
        "print('imported')\n"
    )
    script = """
        try:
            import slow
            time.sleep(10)
        except KeyboardInterrupt:
            print("interrupted")
    """
    assert said(script, tmp_path) == ["imported", "interrupted"]


def test_an_import_that_never_ends_is_interrupted(tmp_path: Path) -> None:
    (tmp_path / "endless.py").write_text(
        "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\nwhile True: pass\n"
    )
    script = """
        signals.REPEAT_S = 0.3
        try:
            import endless
        except KeyboardInterrupt:
            print("interrupted")
    """
    assert said(script, tmp_path) == ["interrupted"]


def test_an_interrupt_that_waits_does_not_hit_the_end_of_the_interpreter(tmp_path: Path) -> None:
    """An alarm that comes when the interpreter has put its handlers away would kill it."""
    (tmp_path / "short.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    script = """
        signals._RETRY_S = 0.3
        import atexit
        atexit.register(lambda: time.sleep(0.6))
        import short
        signals.finish_shutdown()
        print("done")
    """
    assert said(script, tmp_path) == ["done"]


def test_a_swallowed_interrupt_comes_back_at_the_next_step(tmp_path: Path) -> None:
    script = """
        from benchbox.cli.progress import shown_progress
        with shown_progress() as progress:
            progress.step(0, 2, "first")
            try:
                signalled()
            except KeyboardInterrupt:
                pass
            for report in (lambda: progress.step(1, 2, "second"), lambda: progress.say("more")):
                try:
                    report()
                    print("went on")
                except KeyboardInterrupt:
                    print("interrupted")
    """
    assert said(script, tmp_path) == ["interrupted", "interrupted"]


def test_an_error_that_an_interrupt_was_made_into_is_an_interrupt(
    benchbox: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchbox.cli import signals
    from benchbox.cli.commands.networks import models

    def wrapped(*_: object, **__: object) -> None:
        signals._shutdown.last_at = 0.0
        raise RuntimeError("inside a foreign library: KeyboardInterrupt")

    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(models.command, "callback", wrapped)
    ran = benchbox("models")
    assert (ran.status, ran.err.strip()) == (130, "interrupted; what was finished is kept")
    monkeypatch.undo()
    assert benchbox("models").status == 0, "the next command starts without a signal"
    signal.signal(signal.SIGINT, before)
