"""Who may import whom: down only, never up, never sideways, and never in a circle."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "benchbox"
SOURCES = sorted(PACKAGE.rglob("*.py"))

LAYERS: tuple[frozenset[str], ...] = (
    frozenset({"errors", "limits", "progress", "temporary", "units", "tensor_types", "schema"}),
    frozenset({"registry"}),
    frozenset({"stats", "graph"}),
    frozenset({"backends", "models", "store", "metrics", "cost"}),
    frozenset({"export", "machine", "flags"}),
    frozenset({"measure", "report", "choose"}),
    frozenset({"gate", "fleet"}),
    frozenset({"jobs"}),
    frozenset({"cli", "frames"}),
)
LEVEL = {part: level for level, parts in enumerate(LAYERS) for part in parts}

VENDOR_HOMES: dict[str, tuple[str, ...]] = {
    "torch": ("models/", "export/", "backends/pytorch/", "backends/base.py"),
    "safetensors": ("models/",),
    "PIL": ("models/pictures/images.py",),
    "onnx": ("export/", "graph/"),
    "onnxscript": ("export/",),
    "onnxruntime": ("backends/onnxruntime/",),
    "openvino": ("backends/openvino/",),
    "modelopt": ("export/precision/modelopt.py",),
    "tensorrt": ("backends/tensorrt/vendor.py",),
    "tensorrt_rtx": ("backends/tensorrt/vendor.py",),
    "cuda": ("backends/cuda/",),
    "pycuda": ("backends/cuda/",),
    "pynvml": ("machine/gpu/nvml.py",),
    "nvtx": ("measure/process/profiling.py",),
    "mlperf_loadgen": ("measure/loadgen/issuing.py",),
    "pandas": ("store/frame.py", "report/", "frames.py"),
    "pyarrow": ("store/",),
    "obstore": ("fleet/objects.py",),
    "ray": ("fleet/ray.py",),
    "pydantic": ("store/", "gate/policy.py", "fleet/sweep_file.py"),
    "rich": ("cli/", "report/"),
    "click": ("cli/",),
    "scipy": (),
}
MOST_FILES_IN_A_FOLDER = 20


def _modules() -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    found = {}
    for source in SOURCES:
        parts = ("benchbox", *source.relative_to(PACKAGE).with_suffix("").parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = source
    return found


MODULES = _modules()


@functools.cache
def _imports(source: Path) -> tuple[tuple[str, int, bool], ...]:
    return tuple(_imports_in(source))


def _imports_in(source: Path) -> Iterator[tuple[str, int, bool]]:
    """Every module that a file imports, at the top or inside functions, with its line; and whether only for types."""
    tree = ast.parse(source.read_text())
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        typed = id(node) in for_types
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno, typed) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{source}:{node.lineno}: relative import"
            assert node.module is not None
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield (full if full in MODULES else node.module), node.lineno, typed


def _part(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def test_imports_go_down_only() -> None:
    wrong = []
    for module, source in MODULES.items():
        own = _part(module)
        if own in {"", "__main__"}:
            continue
        for other, line, _ in _imports(source):
            if not other.startswith("benchbox."):
                continue
            part = _part(other)
            assert part in LEVEL, f"{source}:{line} imports {other}, which has no place in the house"
            if part != own and LEVEL[part] >= LEVEL[own]:
                wrong.append(f"{source.relative_to(PACKAGE)}:{line}: {own} may not import {part} (up or sideways)")
    assert wrong == []


def test_no_imports_go_in_a_circle() -> None:
    """Also those inside functions; a package imports what is in it."""
    arrows = {
        module: {
            other
            for other, _, typed in _imports(source)
            if other in MODULES and not typed and not other.startswith(f"{module}.")
        }
        for module, source in MODULES.items()
    }
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join((*path[path.index(module) :], module))
        if module not in done:
            for other in sorted(arrows[module]):
                visit(other, (*path, module))
            done.add(module)

    for module in MODULES:
        visit(module, ())


def test_every_vendor_stays_at_home() -> None:
    wrong = []
    for source in SOURCES:
        inside = str(source.relative_to(PACKAGE))
        for module, line, _ in _imports(source):
            homes = VENDOR_HOMES.get(module.split(".")[0])
            if homes is not None and not (homes and inside.startswith(homes)):
                wrong.append(f"{inside}:{line} imports {module}")
    assert wrong == []


def test_every_part_of_the_package_has_a_level() -> None:
    parts = {path.name.removesuffix(".py") for path in PACKAGE.iterdir() if not path.name.startswith(("_", "py."))}
    assert parts == set(LEVEL), f"no level for {parts ^ set(LEVEL)}"


def test_no_folder_is_crowded() -> None:
    folders = {source.parent for source in (*SOURCES, *(PACKAGE.parent / "tests").rglob("*.py"))}
    crowded = [folder for folder in folders if len(list(folder.glob("*.py"))) > MOST_FILES_IN_A_FOLDER]
    assert crowded == []
