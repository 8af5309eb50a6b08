"""Does the gate cry wolf on this machine, and does it see a slow-down? ``python benchmarks/nights.py FOLDER``.

Really measures nights, one after the other: first unchanged ones, then ones in which every inference waits for a tenth
of its own time. Each is stored as the night of another day and judged by ``benchbox gate`` by its default policy; with
``--confirm`` what a night flags is measured again, with a Python that waits, as a slower runtime would, beside one that
does not (``--confirm --ab``; of an unchanged night both are the same). A
night is five short timed processes and one for memory of each network, so that all of them take 8 to 12 minutes on a
machine that does nothing else. A night that is flagged as invalid (a hypervisor that took CPU time, for example) is
measured again, twice at most. It may be killed: started again with the same FOLDER it goes on behind the last night
that was judged. Ends with the counts of false and missed alarms, and exit status 1 where an
unchanged night was red or more than a tenth of the slowed ones was not.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchbox.gate.policy import Policy
from benchbox.gate.series import error_flags
from benchbox.jobs.cases import Case
from benchbox.jobs.prepare import source_of
from benchbox.jobs.run import measure_cases
from benchbox.schema.model import Precision
from benchbox.schema.plan import MeasurementPlan
from benchbox.store.artifact_files import artifacts_under
from benchbox.store.records import append, record_files

ROOT = Path(__file__).parents[1]
# Makes sessions wait for the share WAIT of their time, in processes that find it in PYTHONPATH.
SITE = ROOT / "tests" / "workflows" / "site"
NETWORKS = ("lenet5", "squeezenet1_1", "mobilenet_v3_small")
BACKEND = "onnxruntime"
PLAN = MeasurementPlan(
    trials=5, memory_trials=1, warmup_s=0.1, warmup_max_s=0.2, min_time_s=0.15, max_time_s=0.2, timing_budget_s=1.0
)
FIRST = datetime.datetime(2026, 1, 1, 2, 17, tzinfo=datetime.UTC)
METRIC = "latency_p50"
# How often a night is measured, as long as it is flagged as invalid, and how its process says so.
ATTEMPTS, INVALID = 3, 9
# The share of slowed nights that must be red.
FOUND = 0.9


class Silent:
    """Shows nothing: each night ends with a line of its own."""

    def say(self, text: str) -> None:
        """Nothing."""

    def step(self, done: float, total: float, text: str) -> None:
        """Nothing."""


def python(*words: str) -> subprocess.CompletedProcess[str]:
    """A process of this checkout, of which only what it says to people is shown."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, *words], env=environment, stdout=subprocess.PIPE, text=True, check=False)


def measure(root: Path, networks: list[str], night: int, wait: float) -> bool:
    """Measures the networks and stores their records as those of a night. In a process of its own, as each night is.

    Returns whether all of them are valid.
    """
    sources = [source_of(artifact) for artifact in artifacts_under(root) if artifact.model in networks]
    cases = [Case(source=source, backend=BACKEND, precision=Precision.FP32, plan=PLAN) for source in sources]
    at = FIRST + datetime.timedelta(days=night)
    for path in record_files(root):
        if path.stem.startswith(f"{at:%Y%m%d}"):
            path.unlink()  # what an earlier start left of this night
    os.environ |= {"PYTHONPATH": os.pathsep.join([str(SITE), str(ROOT)]), "WAIT": f"{wait:g}"}
    valid = True
    for outcome in measure_cases(cases, root=root, progress=Silent(), stores=False):
        if outcome.error:
            raise outcome.error
        moment, record = at + datetime.timedelta(minutes=outcome.place), outcome.record
        dated = dataclasses.replace(
            record, id=f"{moment:%Y%m%dT%H%M%SZ}{record.id[16:]}", started_at=moment.isoformat()
        )
        append(root, dated, outcome.trials)
        valid = valid and not error_flags([record], METRIC)
    return valid


def interpreter(folder: Path, side: str, wait: float) -> str:
    """A Python in which ONNX Runtime's inferences wait for that share of their time: a script that starts this one.

    Each side has its own, as two environments have, also where neither waits.
    """
    script = folder / f"{side}-python"
    path = os.pathsep.join([str(SITE), str(ROOT)])
    script.write_text(f'#!/bin/sh\nPYTHONPATH="{path}" WAIT={wait:g} exec "{sys.executable}" "$@"\n')
    script.chmod(0o755)
    return str(script.absolute())


def judge(folder: Path, night: int, wait: float, *, confirms: bool) -> dict[str, Any]:
    """What the gate says of a night: its exit status, and what it calls the times of each case."""
    day = f"{FIRST + datetime.timedelta(days=night):%Y-%m-%d}"
    again = (
        ["--confirm", "--ab", interpreter(folder, "base", 0.0), interpreter(folder, "head", wait)] if confirms else []
    )
    ran = python("-m", "benchbox", "gate", "--night", day, *again, "--json", "--root", str(folder / "root"))
    if not ran.stdout:
        sys.exit(f"benchbox gate ended with exit status {ran.returncode}")
    document = json.loads(ran.stdout)
    rows = [
        {"model": row["key"]["model"], "outcome": row["outcome"], "ratio": row["ratio"], "also": row["qualifiers"]}
        for row in document["verdicts"]
        if row["metric"] == METRIC
    ]
    return {"day": day, "exit": ran.returncode, "reasons": document["reasons"], "rows": rows}


def shown(entry: dict[str, Any]) -> str:
    """A night in one line."""
    rows = ", ".join(
        " ".join([row["model"], row["outcome"], *(word for word in row["also"] if word in {"confirmed", "refuted"})])
        + (f" {100 * (row['ratio'] - 1):+.1f} %" if row["ratio"] else "")
        for row in entry["rows"]
    )
    kind = f"slowed by {entry['wait']:.0%}" if entry["wait"] else "unchanged"
    return f"{entry['day']} {kind}: exit {entry['exit']}; {rows} ({entry['seconds']:.0f} s)"


def summary(nights: list[dict[str, Any]], *, confirms: bool) -> int:
    """Prints the counts; returns the exit status."""
    policy = Policy().rolling
    # Without --confirm no slow-down is called one before it has lasted for as many nights as the policy asks for.
    persist = 1 if confirms else policy.persist
    quiet = [entry for entry in nights if not entry["wait"]]
    slowed = [entry for entry in nights if entry["wait"]]
    compared = max(0, len(quiet) - policy.min_nights)
    red = [entry for entry in quiet if entry["exit"] == 1]
    asked = slowed[persist - 1 :]
    missed = [entry for entry in asked if entry["exit"] != 1]
    early = [entry for entry in slowed[: persist - 1] if entry["exit"] == 1]
    rows = [row for entry in asked for row in entry["rows"]]
    found = sum(row["outcome"] == "slower" for row in rows)
    print(f"unchanged: {len(quiet)} nights, {compared} of them with a level to compare with: {len(red)} red")
    for entry in red:
        print(f"  {entry['day']}: {'; '.join(reason['text'] for reason in entry['reasons'])}")
    print(
        f"slowed: {len(slowed)} nights, {len(asked)} of them from night {persist} on: {len(missed)} missed, "
        f"{len(asked) - len(missed)} red ({found} of {len(rows)} cases slower); {len(early)} red before that"
    )
    unclear, again = sum(entry["exit"] == 7 for entry in nights), sum(entry["attempts"] > 1 for entry in nights)
    print(f"{again} nights were measured more than once, being flagged as invalid; {unclear} ended with exit status 7")
    minutes = sum(entry["seconds"] for entry in nights) / 60
    print(f"measured and judged in {minutes:.1f} minutes")
    return 1 if red or len(missed) > (1 - FOUND) * len(asked) else 0


def main() -> int:
    """Measures and judges what is missing, then prints the counts."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("folder", type=Path, help="keeps networks, records and what was judged; made if need be")
    parser.add_argument("--quiet", type=int, default=20, help="unchanged nights [default: 20]")
    parser.add_argument("--slowed", type=int, default=11, help="slowed nights, of which 10 can be red [default: 11]")
    parser.add_argument("--wait", type=float, default=0.10, help="share that is waited for [default: 0.10]")
    parser.add_argument("--confirm", action="store_true", help="measure again what a night flags")
    parser.add_argument(
        "--processes",
        type=int,
        default=20,
        help="processes a side of --confirm, the policy's of a noisy machine [default: 20]",
    )
    parser.add_argument(
        "--most", type=int, default=30, help="cases a night that --confirm measures again, the largest first"
    )
    parser.add_argument("--order", default="paired", help="of --confirm's processes [default: paired]")
    parser.add_argument("--blind", action="store_true", help="--confirm also measures again what nights cannot judge")
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), help=f"[default: {' '.join(NETWORKS)}]")
    parser.add_argument("--night", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    root = given.folder / "root"
    if given.night is not None:
        wait = given.wait if given.night >= given.quiet else 0.0
        return 0 if measure(root, given.networks, given.night, wait) else INVALID
    given.folder.mkdir(parents=True, exist_ok=True)
    asked = {
        "quiet": given.quiet,
        "wait": given.wait,
        "networks": given.networks,
        "confirm": given.confirm and [given.processes, given.most, given.order, given.blind],
    }
    settings, log = given.folder / "settings.json", given.folder / "nights.jsonl"
    if settings.exists() and json.loads(settings.read_text()) != asked:
        parser.error(f"{given.folder} was begun with other settings: {settings.read_text()}")
    settings.write_text(json.dumps(asked))
    root.mkdir(exist_ok=True)
    (root / "benchbox.toml").write_text(
        f'[gate.confirm]\nprocesses = {given.processes}\nmost = {given.most}\norder = "{given.order}"\n'
        f"blind = {str(given.blind).lower()}\n"
    )
    nights = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    for entry in nights:
        print(shown(entry))
    if not nights and python("-m", "benchbox", "export", *given.networks, "--root", str(root)).returncode:
        return 1
    for night in range(len(nights), given.quiet + given.slowed):
        begin, wait = time.monotonic(), given.wait if night >= given.quiet else 0.0
        attempts, status = 0, INVALID
        while status == INVALID and attempts < ATTEMPTS:
            attempts, status = attempts + 1, python(__file__, *sys.argv[1:], "--night", str(night)).returncode
        if status not in {0, INVALID}:
            return 1
        entry = {
            "wait": wait,
            "attempts": attempts,
            **judge(given.folder, night, wait, confirms=given.confirm),
            "seconds": time.monotonic() - begin,
        }
        with log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
        nights.append(entry)
        print(shown(entry), flush=True)
    return summary(nights, confirms=given.confirm)


if __name__ == "__main__":
    sys.exit(main())
