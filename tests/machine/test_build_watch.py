"""What making a file takes: the peak is of the time that was watched, or absent."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchbox.machine.build_watch import BuildWatch
from benchbox.machine.counters import peak_resident_bytes, resident_bytes

SIZE = 200 << 20


def test_the_peak_is_that_of_the_watched_time() -> None:
    """In a process of its own: one that has run many tests keeps freed memory and gives it out again."""
    ran = subprocess.run([sys.executable, __file__], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def watch_twice() -> None:
    before = bytearray(b"x") * SIZE
    del before
    assert peak_resident_bytes() > resident_bytes() + SIZE / 2, "something larger was there before"
    quiet = BuildWatch().cost("onnx")
    assert quiet.peak_host_bytes is not None
    assert quiet.peak_host_bytes < peak_resident_bytes() + (1 << 20)
    assert quiet.peak_host_bytes < resident_bytes() + SIZE / 2
    watch = BuildWatch()
    inside = bytearray(b"x") * SIZE
    del inside
    cost = watch.cost("engine")
    assert cost.peak_host_bytes is not None
    assert cost.peak_host_bytes > quiet.peak_host_bytes + SIZE / 2
    assert cost.what == "engine"
    assert cost.duration_s > 0


def test_where_the_kernel_does_not_forget_the_peak_is_absent(tmp_path: Path) -> None:
    assert BuildWatch(tmp_path / "nowhere").cost("onnx").peak_host_bytes is None
    assert BuildWatch(tmp_path).cost("onnx").peak_host_bytes is None, "a folder cannot be written to"


if __name__ == "__main__":
    watch_twice()
