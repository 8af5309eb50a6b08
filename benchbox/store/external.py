"""What identifies the weights that an ONNX file keeps in other files?

An exporter writes weights beside the ONNX file where it would exceed 2 GB, or on request. The sha256 of the ONNX file
does not change with them.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from benchbox.errors import ArtifactError
from benchbox.graph.external import external_files
from benchbox.store.artifact_files import sha256_of


def external_sha256(path: Path) -> str | None:
    """The sha256 over the external data files that an ONNX file names, None if it names none.

    Raises:
        ArtifactError: the file is damaged, or a file that it names is missing.
    """
    digest = hashlib.sha256()
    places = external_files(path)
    for place in places:
        try:
            digest.update(f"{place} {sha256_of(path.parent / place)}\n".encode())
        except OSError as error:
            raise ArtifactError(
                f"the external data of {path} cannot be read",
                values=f"{place}: {error.strerror or error}",
                remedy="put the file beside the ONNX file, or export the network again",
            ) from error
    return digest.hexdigest() if places else None


def weights_fault(path: Path, expected: str | None) -> str:
    """What is wrong with the external data of an ONNX file whose sha256 was ``expected``, "" where it is the same."""
    try:
        found = external_sha256(path)
    except ArtifactError as error:
        return " ".join(f"{error.what}: {error.values}".split())
    return "" if found == expected else f"the external data of {path.name} has changed (its sha256 differs)"
