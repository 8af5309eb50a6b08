"""What does `benchbox run FILE.onnx --quick` cost beside its workers, and how fast is external data hashed?

Wall time of the whole command on a fresh root over the time in which one of its worker processes was alive (looked up
in /proc every 5 ms). Target: at most 1.25. Hashing: the external data of a file, in seconds beside reading the same
bytes and beside hashlib alone, the page cache warm in all. Target: at the speed of the disk or of SHA-256.

    python benchmarks/run_overhead.py [GIB]
"""

from __future__ import annotations

import hashlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchbox.store.external import external_sha256

ROUNDS = 3
WORKER = b"benchbox.measure.process.worker"
LOOK_S = 0.005
CHUNK = 1 << 24


def written(path: Path, *, width: int, layers: int, external: bool = False) -> Path:
    """A chain of products with one weight each."""
    rng = np.random.default_rng(0)
    weights = [
        numpy_helper.from_array(rng.standard_normal((width, width), dtype=np.float32) / width, f"w{number}")
        for number in range(layers)
    ]
    names = ["x", *(f"h{number}" for number in range(1, layers)), "y"]
    nodes = [
        helper.make_node("MatMul", [names[number], f"w{number}"], [names[number + 1]], name=f"product{number}")
        for number in range(layers)
    ]
    border = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", width]) for name in "xy"]
    graph = helper.make_graph(nodes, "net", border[:1], border[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path), save_as_external_data=external, location=f"{path.name}.data")
    return path


def _workers_of(pid: int) -> bool:
    """Whether a process has a worker among its children."""
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = task.read_text().split()
            if any(WORKER in Path(f"/proc/{child}/cmdline").read_bytes() for child in children):
                return True
        except OSError:  # it has just ended
            continue
    return False


def run_seconds(path: Path, root: str) -> tuple[float, float]:
    """Wall time of a quick run, and how much of it a worker was alive."""
    command = [str(Path(sys.executable).with_name("benchbox")), "run", str(path), "--quick", "--root", root]
    begin = last = time.perf_counter()
    process = subprocess.Popen(
        [*command, "--backend", "onnxruntime"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    alive = 0.0
    while process.poll() is None:
        time.sleep(LOOK_S)
        now = time.perf_counter()
        alive += (now - last) * _workers_of(process.pid)
        last = now
    assert process.returncode == 0, process.returncode
    return time.perf_counter() - begin, alive


def _seconds_of(action: object) -> float:
    begin = time.perf_counter()
    action()  # type: ignore[operator]
    return time.perf_counter() - begin


def _read(path: Path) -> None:
    buffer = bytearray(CHUNK)
    with path.open("rb", buffering=0) as file:
        while file.readinto(buffer):
            pass


def main() -> None:
    """Prints a row for each kind of file, and one for hashing."""
    gib = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    print(f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}: on a shared machine read the ratios, not the seconds")
    with tempfile.TemporaryDirectory() as folder:
        for title, external in (("weights inside", False), ("external data", True)):
            path = written(Path(folder) / f"net-{external}.onnx", width=1024, layers=12, external=external)
            ratios, walls = [], []
            for _ in range(ROUNDS):
                with tempfile.TemporaryDirectory() as root:
                    wall, alive = run_seconds(path, root)
                walls.append(wall)
                ratios.append(wall / alive)
            print(
                f"run --quick, 48 MiB, {title:15s} {statistics.median(walls):6.1f} s   run/workers "
                f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f}, {ROUNDS} runs)"
            )
        width = 4096
        path = written(
            Path(folder) / "large.onnx", width=width, layers=round(gib * 2**30 / (4 * width**2)), external=True
        )
        data = path.with_name(f"{path.name}.data")

        def bare() -> None:
            with data.open("rb") as file:
                hashlib.file_digest(file, "sha256")

        def ours() -> None:
            os.utime(data)  # a sum is remembered until the file changes
            external_sha256(path)

        _read(data)
        rows = [[_seconds_of(act) for act in (lambda: _read(data), bare, ours)] for _ in range(3)]
        read, digest, benchbox = (statistics.median(column) for column in zip(*rows, strict=True))
        size = data.stat().st_size / 2**30
        print(
            f"hashing {size:.2f} GiB: read {read:.2f} s ({size / read:.2f} GiB/s), hashlib {digest:.2f} s, benchbox "
            f"{benchbox:.2f} s; benchbox/hashlib {statistics.median(row[2] / row[1] for row in rows):.3f}"
        )


if __name__ == "__main__":
    main()
