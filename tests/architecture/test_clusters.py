"""Do the files that start sweeps on clusters set what docs/fleet.md says, and do their commands exist?"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
SLURM, KUBERNETES = ROOT / "docker" / "sweep.sbatch", ROOT / "docker" / "rayjob.yaml"
SETTINGS = dict(re.findall(r"^export (RAY_\w+)=(\S+)", (ROOT / "docs" / "fleet.md").read_text(), re.MULTILINE))
# Of the head alone, which measures nothing on Kubernetes.
OF_THE_HEAD = {"RAY_gcs_pull_resource_loads_period_milliseconds"}


def test_slurm_sets_what_the_page_says() -> None:
    found = dict(re.findall(r"\b(RAY_[a-z]\w+)=(\S+)", SLURM.read_text()))
    assert found == SETTINGS
    assert SETTINGS["RAY_worker_niceness"] == "0"


def test_slurms_file_is_a_script() -> None:
    ran = subprocess.run(["bash", "-n", str(SLURM)], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")


def _job() -> dict[str, Any]:
    job: dict[str, Any] = yaml.safe_load(KUBERNETES.read_text())
    return job


def test_kubernetes_sets_what_the_page_says() -> None:
    (group,) = _job()["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    (container,) = group["template"]["spec"]["containers"]
    found = {one["name"]: one["value"] for one in container["env"]}
    assert found == {name: value for name, value in SETTINGS.items() if name not in OF_THE_HEAD}
    assert container["resources"]["requests"] == container["resources"]["limits"], "else another pod gets its CPUs"


def test_kubernetes_measures_on_its_workers_alone() -> None:
    cluster = _job()["spec"]["rayClusterSpec"]
    (group,) = cluster["workerGroupSpecs"]
    # KubeRay puts the value behind --resources= as it is, for a shell to read.
    assert group["rayStartParams"]["resources"] == '"{\\"benchbox_machine\\": 1}"'
    assert "labels" not in group["rayStartParams"], "KubeRay refuses it there"
    assert "resources" not in cluster["headGroupSpec"]["rayStartParams"]
    names = {reference["secretRef"]["name"] for reference in group["template"]["spec"]["containers"][0]["envFrom"]}
    assert names == {"benchbox-store"}
