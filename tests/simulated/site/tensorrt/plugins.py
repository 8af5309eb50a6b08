"""Which plugins are registered in this process? TensorRT's own once they were initialised, others by their library."""

from __future__ import annotations

from pathlib import Path
from typing import Any

# Operators that TensorRT's own plugin library has.
OWN = frozenset({"EfficientNMS_TRT", "ROIAlign_TRT"})
_MARK = b"simulated plugin "
REGISTERED: set[str] = set()


def init_libnvinfer_plugins(logger: Any, namespace: str) -> bool:
    REGISTERED.update(OWN)
    return True


class IPluginRegistry:
    """The registry of the process."""

    def load_library(self, plugin_path: str) -> str | None:
        file = Path(plugin_path)
        if not file.is_file() or not file.read_bytes().startswith(_MARK):
            return None
        name = file.read_bytes().removeprefix(_MARK).decode()
        if name in REGISTERED:
            return None
        REGISTERED.add(name)
        return plugin_path


def get_plugin_registry() -> IPluginRegistry:
    return IPluginRegistry()


def is_plugin(operator: str) -> bool:
    """Whether an operator is one of a plugin's, registered or not."""
    return operator in OWN or operator.startswith("Custom")
