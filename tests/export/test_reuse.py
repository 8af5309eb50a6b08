"""A recipe changes with everything that decides an export, and is computed once."""

from __future__ import annotations

import ast
import shutil
from pathlib import Path

import pytest

from benchbox.export import reuse
from benchbox.export.exporting import artifact_from_source
from benchbox.export.precision.samples import data_from_choice
from benchbox.export.reuse import PACKAGE, code_digest, imported_files, recipe_of
from benchbox.models.sources import resolve
from benchbox.models.zoo.zoo import specs
from benchbox.schema.artifact import TensorSpec
from benchbox.schema.model import Precision

LENET = resolve("lenet5", input_shape=None, weights=None)
FAMILIES = sorted({spec.family for spec in specs().values()})
# Whose modules import those of other families, and one that imports none.
IMPORT_MOST = {"inception_v4", "preact_resnet", "lenet"}


def parsed_imports(file: Path) -> set[str]:
    """Every name of this package that a file imports, by the parser."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name for name in found if name.startswith("benchbox.")}


def module_files(names: set[str]) -> set[Path]:
    paths = {PACKAGE.joinpath(*name.split(".")[1:]) for name in names}
    return {file for path in paths for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()}


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what decides an export, to be edited."""
    copy = tmp_path_factory.mktemp("copied") / "benchbox"
    for part in ("export", "models", "stats", "graph", "backends"):
        shutil.copytree(PACKAGE / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


@pytest.mark.parametrize(
    "family",
    [family if family in IMPORT_MOST else pytest.param(family, marks=pytest.mark.nightly) for family in FAMILIES],
)
def test_the_recipe_changes_with_every_module_that_the_family_imports(family: str, package: Path) -> None:
    code_digest.cache_clear()
    before = code_digest(family, package)
    waiting, files = [PACKAGE / "models" / "zoo" / f"{family}.py", PACKAGE / "models" / "building.py"], set()
    while waiting:
        file = waiting.pop()
        if file not in files and file.is_relative_to(PACKAGE / "models"):
            files.add(file)
            waiting += module_files(parsed_imports(file))
    assert {PACKAGE / "models" / "seeding.py", PACKAGE / "models" / "zoo" / "zoo.py"} <= files
    for file in files:
        copy = package / file.relative_to(PACKAGE)
        text = copy.read_text()
        copy.write_text(f"{text}# changed\n")
        code_digest.cache_clear()
        assert code_digest(family, package) != before, f"{family} does not depend on {file.name}"
        copy.write_text(text)


def test_families_share_code() -> None:
    zoo = PACKAGE / "models" / "zoo"
    assert zoo / "inception.py" in imported_files([zoo / "inception_v4.py"], PACKAGE)
    assert zoo / "resnet.py" in imported_files([zoo / "preact_resnet.py"], PACKAGE)


def test_imports_are_found_as_the_parser_finds_them() -> None:
    for file in sorted(PACKAGE.rglob("*.py")):
        followed = {name for name in parsed_imports(file) if name.split(".")[1] not in reuse._NOT_FOLLOWED}
        assert set(imported_files([file], PACKAGE)) >= module_files(followed), file


@pytest.mark.parametrize("package", ["torch", "onnx", "onnxscript", "onnxruntime", "numpy", "ml_dtypes"])
def test_the_recipe_changes_with_the_versions_of_what_makes_the_file(
    package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = recipe_of(LENET, seed=0)
    real = reuse._version
    monkeypatch.setattr(reuse, "_version", lambda name: "0.0" if name == package else real(name))
    assert recipe_of(LENET, seed=0) != before


def test_the_digest_of_pictures_changes_with_pillow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = pytest.importorskip("PIL.Image")
    image.new("RGB", (32, 32)).save(tmp_path / "a.png")
    source = resolve("resnet18", input_shape=None, weights=None)
    inputs = (TensorSpec(name="input", dtype="float32", shape=(None, 3, 224, 224)),)
    before = data_from_choice(str(tmp_path), source=source, inputs=inputs, seed=0).digest
    monkeypatch.setattr("importlib.metadata.version", lambda _: "0.0")
    assert data_from_choice(str(tmp_path), source=source, inputs=inputs, seed=0).digest != before


def test_the_recipe_is_computed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also for a calibrated file, which is derived from the fp32 file that is made with it."""
    calls: list[str] = []
    precision, real = Precision.INT8, reuse.code_digest

    def counted(family: str | None) -> str:
        calls.append("code")
        return real(family)

    monkeypatch.setattr(reuse, "code_digest", counted)
    made: list[str] = []
    first = artifact_from_source(LENET, precision=precision, root=tmp_path, making=lambda: made.append("made"))
    assert (calls, made) == (["code"], ["made"])
    again = artifact_from_source(LENET, precision=precision, root=tmp_path, making=lambda: made.append("made"))
    assert (again, calls, made) == (first, ["code"] * 2, ["made"])
