"""On what machine and with which software is a number taken? Everything that may move it, without any runtime.

Three parts: hardware (with its settings) and software are hashed, what was observed is not. Hashed is what may change a
number and persists until someone changes it; what varies by itself is observed. ``host.py`` and ``gpu/facts.py`` read
them.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from benchbox import __version__
from benchbox.machine.gpu.facts import gpu_facts, gpu_now
from benchbox.machine.host import host_facts, host_now, operating_system
from benchbox.schema.environment import Environment

_PACKAGES = (
    "onnxruntime",
    "onnxruntime-gpu",
    "torch",
    "onnx",
    "onnxscript",
    "numpy",
    "tensorrt",
    "tensorrt-rtx",
    "cuda-bindings",
    "pycuda",
    "openvino",
    "triton",
)
# Libraries that compute, whichever they are called: "nvidia-cudnn-cu13", "tensorrt-cu13-libs".
_PACKAGE_PREFIXES = ("nvidia-", "tensorrt")
# Management library; cannot change a result.
_NOT_HASHED = frozenset({"nvidia-ml-py"})
_VARIABLE_PREFIXES = (
    "OMP_",
    "GOMP_",
    "MKL_",
    "ORT_",
    "KMP_",
    "OPENBLAS_",
    "ONEDNN_",
    "DNNL_",
    "MALLOC_",
    "CUDA_",
    "CUDNN_",
    "CUBLAS_",
    "NVIDIA_",
    "PYTORCH_",
    "TORCH_",
    "TORCHINDUCTOR_",
    "OV_",
    "TBB_",
)
_VARIABLES = frozenset({"LD_PRELOAD", "GLIBC_TUNABLES"})
# PyTorch sets these when it is imported or exports: nobody chose them, and they would depend on who looks when.
_SET_BY_LIBRARIES = frozenset({"KMP_DUPLICATE_LIB_OK", "KMP_INIT_AT_FORK", "TORCHINDUCTOR_CACHE_DIR"})
_HASH_DIGITS = 12
_FIELD = re.compile(r"^(Name|Version):[ \t]*(\S+)", re.MULTILINE)


def capture(*, root: Path = Path("/"), locked_clocks: str = "") -> Environment:
    """The environment of this process now. Equal hashes mean comparable numbers.

    Args:
        root: where /proc and /sys are looked for; another folder in tests.
        locked_clocks: at what the GPU's clocks are locked, "" where they are not.
    """
    hardware = {
        **host_facts(root),
        **gpu_facts(root),
        **({"gpu_clocks": f"locked, {locked_clocks}"} if locked_clocks else {}),
    }
    software = _software(root)
    return Environment(
        hash=environment_hash(hardware, software), hardware=hardware, software=software, observed=_observed(root)
    )


def environment_hash(hardware: Mapping[str, str], software: Mapping[str, str]) -> str:
    """The first digits of the sha256 of both, whatever the order of their entries."""
    text = json.dumps([dict(hardware), dict(software)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:_HASH_DIGITS]


def _software(root: Path) -> dict[str, str]:
    found = {
        "benchbox": __version__,
        "python": platform.python_version(),
        "kernel": f"{platform.system()} {platform.release()}",
        "os": operating_system(root),
        "libc": " ".join(platform.libc_ver()).strip() or "unknown",
    }
    installed = _installed()
    found |= {name: installed[name] for name in _PACKAGES if name in installed}
    found |= {
        name: version
        for name, version in sorted(installed.items())
        if name.startswith(_PACKAGE_PREFIXES) and name not in _NOT_HASHED
    }
    for name in sorted(os.environ):
        chosen = name.startswith(_VARIABLE_PREFIXES) and name not in _SET_BY_LIBRARIES
        if chosen or name in _VARIABLES:
            found[f"env {name}"] = os.environ[name]
    return {name: value for name, value in found.items() if value}


# What a sweep tells the runs that it starts (fleet/unit.py): which step of which plan this is, and who dispatched it.
STEP_VARIABLE = "BENCHBOX_SWEEP_STEP"
_STARTED_BY = {"sweep": STEP_VARIABLE, "dispatcher": "BENCHBOX_DISPATCHER"}


def _observed(root: Path) -> dict[str, str]:
    found = {**host_now(root), "distributions": _digest(_installed()), "commit": _commit(), **gpu_now()}
    found |= {name: os.environ.get(variable, "") for name, variable in _STARTED_BY.items()}
    return {name: value for name, value in found.items() if value}


def _installed() -> Mapping[str, str]:
    """Every installed distribution and its version; the first one on the path counts, as it is what is imported."""
    return _installed_on(tuple(sys.path))


@functools.cache
def _installed_on(path: tuple[str, ...]) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for distribution in importlib.metadata.distributions(path=list(path)):
        # The parser of mail takes a third of a second for a hundred packages.
        texts = (distribution.read_text(name) for name in ("METADATA", "PKG-INFO", ""))
        head = next((text for text in texts if text), "").partition("\n\n")[0]
        fields = dict(_FIELD.findall(head)[::-1])
        if "Name" in fields and "Version" in fields:
            found.setdefault(fields["Name"].lower().replace("_", "-"), fields["Version"])
    return found


def _digest(installed: Mapping[str, str]) -> str:
    """A digest of what a lock file would list, and the number of distributions."""
    lines = "\n".join(f"{name}=={version}" for name, version in sorted(installed.items()))
    return f"{hashlib.sha256(lines.encode()).hexdigest()[:_HASH_DIGITS]} ({len(installed)})"


def _commit() -> str:
    """The git commit of the working directory, with a mark if it has changes; "" outside a repository."""
    try:
        run = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return run.stdout.strip() if run.returncode == 0 else ""
