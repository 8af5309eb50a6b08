"""What do the real bindings of a TensorRT version offer? Names, enum members and signatures, without its libraries.

The wheel of the bindings comes from the package registry; its libraries are stood in for (``stub_library.py``). Each
version is imported in a process of its own, which prints what it found as JSON.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

EVERY = {
    "tensorrt 10.13": ("tensorrt_cu13_bindings==10.13.2.6", "tensorrt_bindings"),
    "tensorrt 10.14": ("tensorrt_cu13_bindings==10.14.1.48.post1", "tensorrt_bindings"),
    "tensorrt 10.16": ("tensorrt_cu13_bindings==10.16.1.11", "tensorrt_bindings"),
    "tensorrt 11.4": ("tensorrt_cu13_bindings==11.4.0.106", "tensorrt_bindings"),
    "tensorrt-rtx 1.4": ("tensorrt_rtx_cu13_bindings==1.4.0.76", "tensorrt_rtx_bindings"),
    "tensorrt-rtx 1.7": ("tensorrt_rtx_cu13_bindings==1.7.1.116", "tensorrt_rtx_bindings"),
}
# On a push the oldest and the newest: each takes two seconds.
PUSHED = {"tensorrt 10.13", "tensorrt 11.4", "tensorrt-rtx 1.7"}
VERSIONS = {name: wheel for name, wheel in EVERY.items() if name in PUSHED or os.environ.get("BENCHBOX_TESTS") == "all"}

_LOOK = """
import ctypes, importlib, json, os, re, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from stub_library import stub_library
wheel, module, scratch = Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4])
(extension,) = wheel.rglob("*.so")
content = extension.read_bytes()
functions = sorted({name.decode() for name in re.findall(
    rb"\\0(create\\w+_INTERNAL|get\\w*PluginRegistry|getNvOnnxParserVersion|initLibNvInferPlugins)(?=\\0)", content)})
libraries = sorted({name.decode() for name in re.findall(
    rb"lib(?:nvinfer|nvonnxparser|nvinfer_plugin|tensorrt_rtx|tensorrt_onnxparser_rtx)\\.so\\.\\d+", content)})
for library in libraries:
    (scratch / library).write_bytes(stub_library(library, functions))
    ctypes.CDLL(str(scratch / library), ctypes.RTLD_GLOBAL)
sys.path.insert(0, str(wheel))
api = importlib.import_module(module)
found, functions = {}, {}
for name in dir(api):
    thing = getattr(api, name)
    if not isinstance(thing, type):
        if callable(thing) and not name.startswith("_"):
            functions[name] = thing.__doc__ or ""
        continue
    members = getattr(thing, "__members__", None)
    found[name] = {
        "members": sorted(members) if members is not None else None,
        "attributes": {
            inner: (getattr(getattr(thing, inner, None), "__doc__", None) or "")
            for inner in dir(thing) if not inner.startswith("__") or inner == "__init__"
        },
    }
json.dump({"version": api.__version__, "classes": found, "functions": functions}, open(sys.argv[5], "w"))
"""


class NotObtainable(Exception):
    """The registry has no such wheel for this Python."""


@functools.cache
def offered(version: str) -> dict[str, Any]:
    """Version, classes (members of enums, attributes with their docstrings) and functions of a version of ``VERSIONS``.

    Raises NotObtainable where its wheel cannot be had for this Python and machine.
    """
    requirement, module = VERSIONS[version]
    with tempfile.TemporaryDirectory(prefix="bindings-") as name:
        folder = Path(name)
        fetched = subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), requirement],
            capture_output=True,
            text=True,
            check=False,
        )
        wheels = list(folder.glob("*.whl"))
        if "No matching distribution" in fetched.stderr:
            raise NotObtainable(requirement)
        assert wheels, fetched.stderr
        with zipfile.ZipFile(wheels[0]) as archive:
            archive.extractall(folder / "wheel")
        out = folder / "found.json"
        arguments = [str(Path(__file__).parent), str(folder / "wheel"), module, str(folder), str(out)]
        looked = subprocess.run([sys.executable, "-c", _LOOK, *arguments], capture_output=True, text=True, check=False)
        assert looked.returncode == 0, looked.stderr
        found: dict[str, Any] = json.loads(out.read_text())
    return found
