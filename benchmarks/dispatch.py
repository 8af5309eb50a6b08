"""Does a scheduler's daemon disturb a measurement?

Three ways in turn, A B C C B A: without Ray, with an idle Ray of one node on this machine, and dispatched by it
(``benchbox sweep --engine ray``). Each turn measures every case with some processes, so that what drifts with the hour
meets all three ways alike. Printed are the verdicts of ``benchbox compare`` against the way without Ray, whether all of
them say "same" within 2 %, and the processor seconds of Ray's daemons for each second of measuring.

With the defaults 20 processes of each of six cases are timed in each way: about 35 minutes on two CPUs, on which
nothing else should run. ``--short`` takes one small and one large network, as many processes: about 11 minutes.
``--quick`` is a trial of some minutes, whose intervals are wide. The node is started as docs/fleet.md starts one;
``--plain`` starts it with Ray's defaults. Exit status 0: it does not disturb, 1: it does, or that cannot be said.

Usage: python benchmarks/dispatch.py [--short] [--plain] [--under FOLDER]    (in an environment with benchbox[ray])
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchbox.schema.record import Status
from benchbox.store.records import records_under

SMALL, LARGE = ("squeezenet1_1", "lenet5", "mobilenet_v3_small"), ("resnet50", "inception_v3", "vgg16")
WAYS = ("none", "idle", "dispatched")
EFFECT = 0.02
NODE = ["--num-cpus", "1", "--num-gpus", "0", "--resources", '{"benchbox_machine": 1}', "--disable-usage-stats"]
NODE += ["--object-store-memory", "100000000", "--include-dashboard=false", "--node-ip-address", "127.0.0.1"]
QUIET = ["--no-monitor", "--include-log-monitor=false"]
SETTINGS = Path(__file__).parents[1] / "docs" / "fleet.md"
STARTED = "Ray runtime started"


def quiet_settings() -> dict[str, str]:
    """What docs/fleet.md exports before it starts a node."""
    found = dict(re.findall(r"^export (RAY_\w+)=(\S+)", SETTINGS.read_text(encoding="utf-8"), re.MULTILINE))
    if not found:
        raise SystemExit(f"{SETTINGS} exports no settings of Ray")
    return found


@contextlib.contextmanager
def ray_node(ray: list[str], folder: Path, *, plain: bool) -> Iterator[str]:
    """A node of this machine, with Ray's defaults or as docs/fleet.md starts one; its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = folder / "ray.log"
    with log.open("wb") as output:
        words = [*ray, "start", "--head", "--block", "--port", str(port), *NODE, *([] if plain else QUIET)]
        environment = {**os.environ, **({} if plain else quiet_settings())}
        node = subprocess.Popen(
            words, stdout=output, stderr=subprocess.STDOUT, start_new_session=True, env=environment
        )  # fmt: skip
    try:
        while STARTED not in log.read_text(errors="replace"):
            with contextlib.suppress(subprocess.TimeoutExpired):
                node.wait(0.2)
                raise SystemExit(log.read_text(errors="replace"))
        yield f"127.0.0.1:{port}"
    finally:
        node.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            node.wait(30)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(node.pid, signal.SIGKILL)


def benchbox(*words: str, environment: dict[str, str] | None = None) -> str:
    """What a command prints; its progress is shown."""
    ran = subprocess.run(
        [sys.executable, "-m", "benchbox", *words], stdout=subprocess.PIPE, text=True, check=False,
        env={**os.environ, **(environment or {})},
    )  # fmt: skip
    if ran.returncode not in {0, 1}:
        raise SystemExit(f"benchbox {' '.join(words)}: exit status {ran.returncode}")
    return ran.stdout


def measure(way: str, file: Path, root: Path, ray: list[str], *, plain: bool) -> None:
    """One turn of a way."""
    words = ["sweep", str(file), "--root", str(root)]
    if way == "none":
        benchbox(*words, "--wait")
        return
    with ray_node(ray, file.parent, plain=plain) as address:
        if way == "idle":
            benchbox(*words, "--wait", environment={"BENCHBOX_DISPATCHER": "ray, idle"})
        else:
            benchbox(*words, "--engine", "ray", "--address", address)


def daemons_share(root: Path) -> float:
    """Processor seconds of the daemons for each second of measuring."""
    used = sum(
        float(record.environment.observed.get("dispatcher_cpu_s", "0"))
        for record in records_under(root)
        if record.status is Status.OK
    )
    notes = [json.loads(path.read_text()) for path in root.glob("results/sweeps/*/steps/*.json")]
    return used / sum(note["seconds"] for note in notes)


def verdicts_of(base: Path, head: Path) -> list[str]:
    """The outcome of each case, as compare judges it within the effect."""
    both = "compare", str(base / "results"), str(head / "results"), "--min-effect", str(EFFECT)
    print(benchbox(*both), flush=True)
    return [verdict["outcome"] for verdict in json.loads(benchbox(*both, "--json"))["verdicts"]]


def main() -> int:
    """Measures and compares."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=2, help="of A B C C B A [default: 2]")
    parser.add_argument("--processes", type=int, default=5, help="timed processes of a case in each turn [default: 5]")
    parser.add_argument("--models", help=f"[default: {','.join(SMALL + LARGE)}]")
    parser.add_argument("--short", action="store_true", help="one small and one large network")
    parser.add_argument("--quick", action="store_true", help="two small networks, one round of quick processes")
    parser.add_argument("--plain", action="store_true", help="a node with Ray's defaults")
    parser.add_argument("--ray", default=f"{sys.executable} -m ray.scripts.scripts", help="the command that starts Ray")
    parser.add_argument("--under", type=Path, help="a folder that keeps the records [default: a temporary one]")
    choice = parser.parse_args()
    usual = SMALL[:2] if choice.quick else (SMALL[0], LARGE[0]) if choice.short else SMALL + LARGE
    models = choice.models.split(",") if choice.models else list(usual)
    rounds = 1 if choice.quick else choice.rounds
    ray = shlex.split(choice.ray)
    with contextlib.ExitStack() as stack:
        folder = choice.under or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "dispatch.toml"
        file.write_text(
            f"[sweep]\nmodels = {json.dumps(models)}\nbackends = ['onnxruntime']\nprocesses = {choice.processes}\n"
            f"passes = 1\nanchor = false\nunit_minutes = 240\nquick = {str(choice.quick).lower()}\n"
        )
        benchbox("export", *models, "--root", str(folder / "none"))
        for way in WAYS[1:]:  # the same files in all ways
            (folder / way).mkdir(exist_ok=True)
            with contextlib.suppress(FileExistsError):
                (folder / way / "engines").symlink_to((folder / "none" / "engines").resolve())
        turns = [*WAYS, *reversed(WAYS)] * rounds
        for number, way in enumerate(turns, start=1):
            print(f"turn {number} of {len(turns)}: {way}", file=sys.stderr, flush=True)
            measure(way, file, folder / way, ray, plain=choice.plain)
        outcomes: list[str] = []
        for way in WAYS[1:]:
            print(f"== without Ray against {way}", flush=True)
            outcomes += verdicts_of(folder / "none", folder / way)
        for way in WAYS[1:]:
            print(f"{way}: daemons used {daemons_share(folder / way):.4f} s of a processor a second")
    same = sum(outcome == "same" for outcome in outcomes)
    print(f"{same} of {len(outcomes)} verdicts say 'same' within {EFFECT:.0%}")
    return 0 if same == len(outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
