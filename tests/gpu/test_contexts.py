"""Does the process that starts the workers stay without a CUDA context on this GPU?"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from benchbox.backends.child import child_environment

# In a process of its own: this one has a context as soon as another check has run.
ASKING = """
import json
from benchbox.backends.base import BACKENDS
from benchbox.backends.cuda.driver import gpu_from_driver
from benchbox.backends.probing import probe_of, probe_of_layer
from benchbox.machine.environment import capture
from benchbox.machine.gpu.facts import gpu_now
from benchbox.machine.gpu.nvml import users_now
before = users_now()
entered = {}
for backend in BACKENDS:
    probe_of(backend)
    entered[backend.name] = gpu_from_driver().entered
for layer in ("cuda-bindings", "pycuda"):
    probe_of_layer(layer)
capture()
gpu = gpu_from_driver()
came = len(users_now() - before)
now = gpu_now().get("gpu_pci_bus_id")
print(json.dumps({"entered": entered, "came": came, "cuda": gpu.pci_bus_id, "nvml": now}))
"""


def test_no_probe_makes_a_context(torch_cuda: Any, figures: dict[str, Any]) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", ASKING], capture_output=True, text=True, check=False, env=child_environment()
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    found = json.loads(ran.stdout.splitlines()[-1])
    figures.update(came=found["came"], cuda_pci_bus_id=found["cuda"], nvml_pci_bus_id=found["nvml"])
    assert [name for name, entered in found["entered"].items() if entered] == []
    assert found["came"] == 0
    assert found["nvml"] in {None, found["cuda"]}
