"""Who may import whom: down only, never up, never sideways."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "benchbox"
SOURCES = sorted(PACKAGE.rglob("*.py"))

LAYERS: tuple[frozenset[str], ...] = (
    frozenset({"errors", "units"}),
    frozenset({"registry"}),
    frozenset({"schema"}),
    frozenset({"stats"}),
    frozenset({"backends", "models", "store"}),
    frozenset({"measure", "export", "flops"}),
    frozenset({"report", "gate"}),
    frozenset({"preparation", "proving"}),
    frozenset({"pipeline"}),
    frozenset({"fleet", "layering"}),
    frozenset({"cli"}),
)
LEVEL = {part: level for level, parts in enumerate(LAYERS) for part in parts}

VENDOR_HOMES: dict[str, tuple[str, ...]] = {
    "torch": (
        "models/",
        "export/",
        *(f"backends/{name}.py" for name in ("pytorch", "pytorch_cuda", "pytorch_dispatch", "base")),
    ),
    "safetensors": ("models/",),
    "PIL": ("models/images.py",),
    "onnx": (
        "export/",
        *(f"flops/{name}.py" for name in ("structure", "graph", "propagation", "parameters")),
    ),
    "onnxscript": ("export/",),
    "onnxruntime": ("backends/onnxruntime.py", "backends/onnxruntime_cuda.py"),
    "openvino": ("backends/openvino.py",),
    "modelopt": ("export/modelopt.py",),
    "tensorrt": ("backends/tensorrt/vendor.py",),
    "tensorrt_rtx": ("backends/tensorrt/vendor.py",),
    "cuda": ("backends/cuda/",),
    "pycuda": ("backends/cuda/",),
    "pynvml": ("measure/nvml.py",),
    "mlperf_loadgen": ("measure/loadgen.py",),
    "pandas": ("store/frame.py", "report/"),
    "pyarrow": ("store/",),
    "pydantic": ("store/",),
    "rich": ("cli/", "report/"),
    "click": ("cli/",),
    "scipy": (),
}


def _imports(source: Path) -> list[tuple[str, int]]:
    """Every module that a file imports, at the top or inside functions, with its line."""
    found: list[tuple[str, int]] = []
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{source}:{node.lineno}: relative import"
            assert node.module is not None
            names = [f"{node.module}.{alias.name}" for alias in node.names] if node.module == "benchbox" else []
            found += [(name, node.lineno) for name in names or [node.module]]
    return found


def _part(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down_only(source: Path) -> None:
    inside = source.relative_to(PACKAGE)
    own = inside.parts[0].removesuffix(".py")
    if own in {"__init__", "__main__"}:
        return
    for module, line in _imports(source):
        if not module.startswith("benchbox.") or module == "benchbox.__version__":
            continue
        other = _part(module)
        assert other in LEVEL, f"{inside}:{line} imports {module}, which has no place in the house"
        if other == own:
            continue
        assert LEVEL[other] < LEVEL[own], f"{inside}:{line}: {own} may not import {other} (up or sideways)"


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_vendor_stays_at_home(source: Path) -> None:
    inside = str(source.relative_to(PACKAGE))
    for module, line in _imports(source):
        homes = VENDOR_HOMES.get(module.split(".")[0])
        if homes is not None and not module.startswith("benchbox"):
            assert inside.startswith(homes) if homes else False, f"{inside}:{line} imports {module}"


def test_every_part_of_the_package_has_a_level() -> None:
    parts = {path.name.removesuffix(".py") for path in PACKAGE.iterdir() if not path.name.startswith(("_", "py."))}
    assert parts <= set(LEVEL), f"no level for {parts - set(LEVEL)}"
