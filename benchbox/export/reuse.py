"""What was an artifact made from? Equal recipes make equal files, so that work need not be done twice."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Mapping
from pathlib import Path

from benchbox.export.opsets import OPSET
from benchbox.models.zoo.zoo import spec
from benchbox.schema.model import ModelSource, Precision, SourceKind
from benchbox.store.artifact_files import sha256_of

_PACKAGES = ("torch", "onnx", "onnxscript", "onnx-ir", "numpy")


def recipe_of(
    source: ModelSource, *, precision: Precision, seed: int, derivation: Mapping[str, object] | None = None
) -> str:
    """A hash over everything that decides the bytes of an export: network, weights, precision, code and versions.

    ``derivation`` holds what else decides a derived precision: excluded nodes, the digest of the calibration data.

    A factory's code is not known, only its name: its artifacts are written under their recipe but never taken from it.
    """
    ingredients: dict[str, object] = {
        "reference": source.reference,
        "kind": source.kind,
        "input_shape": source.input_shape,
        "precision": precision,
        "opset": OPSET,
        "seed": seed,
        "weights": sha256_of(Path(source.weights)) if source.weights else None,
        "versions": {name: _version(name) for name in _PACKAGES},
        "code": _code(source),
    }
    if derivation:
        ingredients["derivation"] = derivation
    if source.kind is SourceKind.ONNX:
        ingredients["reference"] = sha256_of(Path(source.reference))
    return hashlib.sha256(json.dumps(ingredients, sort_keys=True).encode()).hexdigest()


def _code(source: ModelSource) -> str:
    """A hash over the code that makes the file: this package's exporter, the seeding, the network's family."""
    package = Path(__file__).parents[1]
    files = [
        *sorted((package / "export").rglob("*.py")),
        package / "models" / "seeding.py",
        package / "stats" / "inputs.py",
        package / "stats" / "clipping.py",
        package / "models" / "pictures" / "images.py",
    ]
    if source.kind is SourceKind.ZOO:
        files.append(package / "models" / "zoo" / f"{spec(source.reference).family}.py")
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""
