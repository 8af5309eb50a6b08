"""A Ray cluster and an S3 server on loopback addresses, whose processes can be killed one by one and started again."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import psutil

_SECRETS = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_REGION": "us-east-1", "AWS_ALLOW_HTTP": "true"}
_NODE = ("--num-cpus", "1", "--num-gpus", "0", "--object-store-memory", "100000000", "--disable-usage-stats")
_STARTED = "Ray runtime started"


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def kill_family(process: psutil.Process | subprocess.Popen[Any]) -> None:
    """Ends a process and all that it started, at once."""
    family: list[psutil.Process] = []
    with contextlib.suppress(psutil.NoSuchProcess):
        family = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
    for member in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()


class S3Server:
    """moto's server in a process of its own. It keeps everything in memory: killed, it has lost all."""

    def __init__(self) -> None:
        self.port = free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.environment = {**_SECRETS, "AWS_ENDPOINT_URL": self.endpoint}
        self._process: subprocess.Popen[Any] | None = None

    def start(self) -> None:
        """Starts it, with an empty bucket "records"."""
        words = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        self._process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while True:
            assert time.monotonic() < deadline, "the server did not start"
            try:
                urllib.request.urlopen(self.endpoint)
            except OSError:
                time.sleep(0.1)
            else:
                break
        urllib.request.urlopen(urllib.request.Request(f"{self.endpoint}/records", method="PUT"))

    def kill(self) -> None:
        """Kills it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


class Cluster:
    """Nodes at 127.0.0.1, 127.0.0.2 and so on; each offers a machine and has temporary files of its own."""

    def __init__(self, folder: Path, *, nodes: int, environment: dict[str, str]) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        self._folder, self._environment = folder, environment
        self._nodes: dict[int, subprocess.Popen[Any]] = {}
        for number in range(1, nodes + 1):
            self.start(number)

    def start(self, number: int) -> None:
        """Starts a node; the first one is the head."""
        temporary = self._folder / f"node-{number}"
        temporary.mkdir(parents=True, exist_ok=True)
        log = self._folder / f"node-{number}.log"
        words = ["start", "--block", "--node-ip-address", f"127.0.0.{number}", *_NODE]
        words += [
            "--resources",
            '{"benchbox_machine": 1}',
            "--labels",
            f"benchbox-class={'test' if number < 3 else 'other'}",
        ]
        if number == 1:
            words += ["--head", "--port", self.address.partition(":")[2], "--include-dashboard=false"]
        else:
            words += ["--address", self.address]
        environment = {**os.environ, **self._environment, "TMPDIR": str(temporary), "RAY_TMPDIR": "/tmp"}
        with log.open("wb") as output:
            self._nodes[number] = subprocess.Popen(
                [sys.executable, "-m", "ray.scripts.scripts", *words],
                stdout=output, stderr=subprocess.STDOUT, env=environment, start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + 120
        while _STARTED not in log.read_text(errors="replace"):
            assert time.monotonic() < deadline, log.read_text(errors="replace")
            assert self._nodes[number].poll() is None, log.read_text(errors="replace")
            time.sleep(0.1)

    def kill(self, number: int) -> None:
        """Kills the daemon of a node, and what is left of its processes; steps that it had started go on alone."""
        node = self._nodes.pop(number)
        family: list[psutil.Process] = []
        with contextlib.suppress(psutil.NoSuchProcess):
            family = psutil.Process(node.pid).children(recursive=True)
        raylets = [member for member in family if _name(member) == "raylet"]
        for member in raylets:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        for member in family:
            if member not in raylets and "ray" in _command(member) and "-m benchbox" not in _command(member):
                with contextlib.suppress(psutil.NoSuchProcess):
                    member.kill()
        with contextlib.suppress(ProcessLookupError):
            node.kill()
        node.wait()

    def close(self) -> None:
        """Ends all nodes and all that they started."""
        for node in self._nodes.values():
            kill_family(node)
            node.wait()
        self._nodes.clear()


def _name(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.NoSuchProcess):
        name: str = process.name()
        return name
    return ""


def _command(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.NoSuchProcess):
        return " ".join(process.cmdline())
    return ""


def steps_running(plan_folder: str) -> list[psutil.Process]:
    """The processes that measure a step of a sweep whose roots or temporary files lie below a folder."""
    found = []
    for process in psutil.process_iter():
        words = _command(process)
        if " -m benchbox run " in words and plan_folder in words:
            found.append(process)
    return found


def kill(pid: int) -> None:
    """Kills a process, if it is still there."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
