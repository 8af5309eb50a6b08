"""Which operators beyond the vendor's own can an engine have?

TensorRT's plugin library, which is initialised before a network is read or an engine loaded (nobody finds its operators
otherwise), and libraries of the user's, loaded into the plugin registry of every process that builds or runs.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from benchbox.backends.tensorrt.vendor import Bindings
from benchbox.errors import ArtifactError, UsageError

LIBRARIES_VARIABLE = "BENCHBOX_PLUGIN_LIBS"
_HASH_DIGITS = 16
# By product and path: the registry takes no library twice.
_loaded: set[tuple[str, Path]] = set()


def plugin_libraries() -> tuple[Path, ...]:
    """The user's libraries, from BENCHBOX_PLUGIN_LIBS, separated as in PATH; raises UsageError where one is no file."""
    named = [Path(entry).absolute() for entry in os.environ.get(LIBRARIES_VARIABLE, "").split(os.pathsep) if entry]
    for path in named:
        if not path.is_file():
            raise UsageError("there is no such plugin library", values=str(path), remedy="name a shared library (.so)")
    return tuple(dict.fromkeys(named))


def plugin_flags() -> tuple[str, ...]:
    """What an engine's recipe says of the user's libraries: "plugin libfoo.so 0123456789abcdef"."""
    return tuple(
        f"plugin {path.name} {hashlib.sha256(path.read_bytes()).hexdigest()[:_HASH_DIGITS]}"
        for path in plugin_libraries()
    )


def register_plugins(bindings: Bindings, log: Any) -> None:
    """Makes TensorRT's own plugins and the user's known to this process, before anything is read or loaded.

    Raises:
        UsageError: a library is no file.
        ArtifactError: the registry refuses it.
    """
    api = bindings.api
    if hasattr(api, "init_libnvinfer_plugins"):
        api.init_libnvinfer_plugins(log, "")
    for path in plugin_libraries():
        if (bindings.vendor.name, path) in _loaded:
            continue
        if api.get_plugin_registry().load_library(os.fspath(path)) is None:
            raise ArtifactError(
                f"{bindings.vendor.title} {bindings.version} cannot load the plugin library {path.name}",
                values=f"{path}: it is not a library of plugins of this version, or its plugins are registered already",
                remedy="build the library against this version, and name it once",
            )
        _loaded.add((bindings.vendor.name, path))
