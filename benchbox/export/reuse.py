"""What was an artifact made from, and is it there already? Equal recipes make equal files: work is not done twice."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchbox.export.opsets import OPSET
from benchbox.export.precision.deriving import calibration_of, ingredients_of
from benchbox.export.precision.samples import CalibrationData
from benchbox.models.zoo.zoo import spec
from benchbox.progress import Say
from benchbox.schema.artifact import BatchRange, OnnxArtifact
from benchbox.schema.derivation import USUAL, Derivation
from benchbox.schema.model import ModelSource, Precision, SourceKind
from benchbox.store.artifact_files import find_artifact, sha256_of
from benchbox.store.external import external_sha256

# Somebody else's code decides what these are, and may have changed: a file of another process is never taken.
MADE_ANEW = frozenset({SourceKind.FACTORY, SourceKind.LIBRARY})
PACKAGE = Path(__file__).parents[1]
# ONNX Runtime observes the ranges and the outputs; the version of Pillow is in the digest of calibration pictures.
_PACKAGES = ("torch", "onnx", "onnxscript", "onnx-ir", "onnxruntime", "onnxruntime-gpu", "numpy", "ml_dtypes")
# Parts that only pass values on, decide where files lie, or run networks: of these only what runs graphs once counts.
_NOT_FOLLOWED = frozenset({"backends", "errors", "limits", "progress", "registry", "schema", "store", "units"})
_RUNNING = ("backends/once.py", "backends/onnxruntime/cpu.py")
# Imports of this package; parsing all files would take longer than all the rest of a cache hit.
_IMPORT = re.compile(
    r"^[ \t]*(?:from|import) benchbox\.([\w.]+)(?: import (?:\(([\w\s,]+)\)|([\w ,]+)))?", re.MULTILINE
)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What decides the exports of a source: ``ingredients`` hashes all that its artifacts have in common."""

    source: ModelSource
    seed: int
    ingredients: str

    def digest(self, precision: Precision, derivation: Mapping[str, object] | None = None) -> str:
        """The recipe of one artifact.

        Args:
            precision: of the artifact.
            derivation: what else decides a derived precision (``ingredients_of``).
        """
        own = {"source": self.ingredients, "precision": precision, "derivation": derivation or {}}
        return hashlib.sha256(json.dumps(own, sort_keys=True).encode()).hexdigest()


def recipe_of(source: ModelSource, *, seed: int) -> Recipe:
    """Hashes the network, its weights, the code and the versions of the packages that make its files.

    A factory's code is not known, only its name: only artifacts of this process are taken from the cache.

    Raises:
        ArtifactError: external data of an ONNX file cannot be read.
    """
    is_file = source.kind is SourceKind.ONNX
    ingredients = {
        "reference": sha256_of(Path(source.reference)) if is_file else source.reference,
        "external_data": external_sha256(Path(source.reference)) if is_file else None,
        "kind": source.kind,
        "task": source.task,
        "part": source.part,
        "input_shape": source.input_shape,
        "inputs": [source.inputs.named, source.inputs.batch_axes, source.inputs.batch],
        "samples": sha256_of(Path(source.inputs.samples)) if source.inputs.samples else None,
        "opset": OPSET,
        "seed": seed,
        "weights": sha256_of(Path(source.weights)) if source.weights else None,
        "versions": {name: _version(name) for name in _PACKAGES},
        "code": code_digest(spec(source.reference).family if source.kind is SourceKind.ZOO else None),
    }
    hashed = hashlib.sha256(json.dumps(ingredients, sort_keys=True).encode()).hexdigest()
    return Recipe(source=source, seed=seed, ingredients=hashed)


@dataclass(frozen=True, kw_only=True)
class Lookup:
    """What of an artifact is there: itself, or the fp32 file to derive it from and the calibration data, or nothing."""

    artifact: OnnxArtifact | None
    original: OnnxArtifact | None = None
    data: CalibrationData | None = None


# Of somebody else's code: root, recipe and module of what this process made of it, whose code it has loaded for good.
_MADE_HERE: set[tuple[str, str, int]] = set()


@dataclass(frozen=True, kw_only=True)
class Cache:
    """The artifacts of one recipe under a root, checked for at least this batch range."""

    recipe: Recipe
    root: Path
    batch: BatchRange | None
    say: Say = lambda _: None

    def find(self, precision: Precision, derivation: Mapping[str, object] | None = None) -> OnnxArtifact | None:
        """The artifact of a precision, None if it is not there whole, or was checked for another batch range."""
        source = self.recipe.source
        digest = self.recipe.digest(precision, derivation)
        if source.kind in MADE_ANEW and self._made(digest) not in _MADE_HERE:
            return None
        found = find_artifact(self.root, model=source.name, precision=precision, recipe=digest, say=self.say)
        return found if found is None or self.batch in (None, found.batch) else None

    def note(self, recipe: str) -> None:
        """Says that this process has made the artifact of a recipe."""
        if self.recipe.source.kind in MADE_ANEW:
            _MADE_HERE.add(self._made(recipe))

    def _made(self, recipe: str) -> tuple[str, str, int]:
        code = sys.modules.get(self.recipe.source.reference.partition(":")[0])
        return str(self.root.resolve()), recipe, id(code)

    def look_up(self, precision: Precision, derivation: Derivation) -> Lookup:
        """The artifact of a precision and of these choices, or what there is to derive it from."""
        if derivation == USUAL:
            plain = self.find(precision)
            if plain is not None or precision is Precision.FP32:
                return Lookup(artifact=plain)
        original = self.find(Precision.FP32)
        if original is None:
            return Lookup(artifact=None)
        data = calibration_of(
            self.recipe.source,
            precision=precision,
            derivation=derivation,
            inputs=original.inputs,
            seed=self.recipe.seed,
        )
        ingredients = ingredients_of(derivation, data)
        artifact = self.find(precision, ingredients) if ingredients else None  # without any it is the plain one
        return Lookup(artifact=artifact, original=original, data=data)


def cached_artifact(
    source: ModelSource,
    *,
    precision: Precision,
    root: Path,
    batch: BatchRange | None = None,
    seed: int = 0,
    derivation: Derivation = USUAL,
) -> OnnxArtifact | None:
    """The artifact of a source if nothing that decides its bytes has changed; never for a factory.

    With ``batch`` only one that was checked for this range. A calibrated one is found only beside its fp32 file.
    """
    if source.kind in MADE_ANEW:
        return None
    return Cache(recipe=recipe_of(source, seed=seed), root=root, batch=batch).look_up(precision, derivation).artifact


@functools.cache
def code_digest(family: str | None, package: Path = PACKAGE) -> str:
    """A hash over the code that decides an export: this folder's, and all that it or the network's family imports.

    Args:
        family: module of the zoo that builds the network; None for a network from elsewhere.
        package: the folder of this package.
    """
    starts = [*(package / "export").rglob("*.py"), *(package / name for name in _RUNNING)]
    if family is not None:
        starts.append(package / "models" / "zoo" / f"{family}.py")
    digest = hashlib.sha256()
    for file in imported_files(starts, package):
        digest.update(f"{file.relative_to(package)} {sha256_of(file)}\n".encode())
    return digest.hexdigest()


def imported_files(starts: Iterable[Path], package: Path) -> tuple[Path, ...]:
    """The files of this package that some of its files import, directly or not, and those themselves; sorted.

    Imports inside functions count; parts that cannot change a result (``_NOT_FOLLOWED``) do not.
    """
    found: set[Path] = set()
    waiting = list(starts)
    while waiting:
        file = waiting.pop()
        if file not in found:
            found.add(file)
            waiting += _imports(file, package)
    return tuple(sorted(found))


def _imports(file: Path, package: Path) -> Iterator[Path]:
    for match in _IMPORT.finditer(file.read_text(encoding="utf-8")):
        module, several, few = match.groups(default="")
        for name in ["", *re.findall(r"\w+", several or few)]:
            parts = [*module.split("."), *([name] if name else [])]
            if parts[0] in _NOT_FOLLOWED:
                continue
            path = package.joinpath(*parts)
            yield from (found for found in (path.with_suffix(".py"), path / "__init__.py") if found.is_file())


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""
