"""What do the steps of the nightly's YAML do, night after night? They are taken out of it and run here, as they stand.

A night is the jobs of ``nightly.yml`` in their order: their ``run`` steps in bash, without those that install, their
artifacts as folders. Between two nights everything that was measured becomes a day older.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workflow_steps import job_of, program, run_job

from benchbox.store.records import append, read_record, record_files, trials_from_file

# One night is enough, since there are three; effects that a busy machine does not reach.
POLICY = """
[gate]
defaults = false
rolling = { persist = 1 }
anchor = { drift = 1.0 }
[[gate.rule]]
where = { metric = ["macs", "params", "weight_bytes", "peak_activation_bytes", "onnx_nodes"] }
exact = true
[[gate.rule]]
where = { metric = "latency_p50" }
effect = 0.25
"""


@dataclass
class Nights:
    """A runner whose folder stays, a repository, and a judge that is made anew each night."""

    home: Path
    shim: str
    networks: str
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("runner", "repository", "bin"):
            (self.home / name).mkdir(parents=True)
        (self.home / "repository" / "benchbox.toml").write_text(POLICY)
        program(self.home / "bin" / "benchbox", self.shim)

    def night(self, **environment: str) -> tuple[int, str]:
        """Runs the jobs; returns the exit status of the judge and what it printed."""
        self._grow_older()
        shutil.rmtree(self.home / "judge", ignore_errors=True)
        shutil.rmtree(self.home / "artifacts", ignore_errors=True)
        for folder in ("runner", "judge"):
            shutil.copytree(self.home / "repository", self.home / folder, dirs_exist_ok=True)
        measured, said = self._job("measure", self.home / "runner", environment)
        assert measured == 0, said
        return self._job("judge", self.home / "judge", environment)

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command that a person runs where the judge was; what it wrote to the baseline is merged."""
        ran = subprocess.run(
            [str(self.home / "bin" / "benchbox"), *words],
            cwd=self.home / "judge",
            env=self._environment({}),
            capture_output=True,
            text=True,
            check=False,
        )
        self.merge()
        return ran

    def merge(self) -> None:
        """The levels that the judge proposed become those of the repository."""
        shutil.copytree(
            self.home / "judge" / "results" / "baseline",
            self.home / "repository" / "results" / "baseline",
            dirs_exist_ok=True,
        )

    def _job(self, name: str, folder: Path, environment: dict[str, str]) -> tuple[int, str]:
        job = job_of("nightly.yml", name)
        return run_job(job, folder, self._environment(environment), lambda step: self._action(step, folder))

    def _action(self, step: Mapping[str, Any], folder: Path) -> None:
        name, artifacts = step["uses"].partition("@")[0], self.home / "artifacts"
        if name == "actions/download-artifact":
            for found in artifacts.glob(step["with"]["pattern"]):
                shutil.copytree(found, folder / step["with"]["path"], dirs_exist_ok=True)
        elif name == "actions/upload-artifact":
            paths = step["with"]["path"].split()
            if step["with"].get("archive") is False:
                # As it is, under the file's own name; version 7 is the first that can.
                assert len(paths) == 1, "one file"
                assert int(step["uses"].rpartition("@v")[2]) >= 7
                shutil.copyfile(folder / paths[0], artifacts / paths[0])
                return
            target = artifacts / step["with"]["name"].replace("${{ matrix.machine }}", "here")
            for path in paths:
                assert (folder / path).exists(), f"{step['with']['name']}: {path} is not there"
                place = target if path == "results" else target / path
                if (folder / path).is_dir():
                    shutil.copytree(folder / path, place, dirs_exist_ok=True)
                else:
                    place.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(folder / path, place)
        else:
            assert name in {"actions/checkout", "actions/setup-python"}

    def _environment(self, more: dict[str, str]) -> dict[str, str]:
        path = f"{self.home / 'bin'}{os.pathsep}{os.environ['PATH']}"
        summary = str(self.home / "summary.md")
        found = {**os.environ, "PATH": path, "NETWORKS": self.networks, "GITHUB_STEP_SUMMARY": summary}
        return {**found, **self.environment, **more}

    def _grow_older(self) -> None:
        """Everything that was measured on the runner, by a day."""
        results = self.home / "runner" / "results"
        for path in record_files(self.home / "runner"):
            record = read_record(path)
            trials = trials_from_file(path, record)
            path.unlink()
            at = datetime.datetime.fromisoformat(record.started_at) - datetime.timedelta(days=1)
            identifier = f"{at:%Y%m%dT%H%M%SZ}{record.id[16:]}"
            append(self.home / "runner", dataclasses.replace(record, id=identifier, started_at=at.isoformat()), trials)
        for folder in _dated(results):
            day = (datetime.date.fromisoformat(folder.name) - datetime.timedelta(days=1)).isoformat()
            for file in folder.glob("*.json"):
                text = json.dumps(json.loads(file.read_text())).replace(folder.name, day)
                (folder.parent / day).mkdir(exist_ok=True)
                (folder.parent / day / file.name).write_text(text)
            shutil.rmtree(folder)


def _dated(results: Path) -> Iterator[Path]:
    for name in ("selftest", "remeasured"):
        yield from sorted((results / name).glob("*-*-*"))
