"""Which engines that a runtime made by itself are of no use any more?

``engines/<backend>/<network>/<GPU and versions>/`` holds the runtime's files and a recipe that says what they are made
of. ONNX Runtime's TensorRT provider makes such engines (``backends/onnxruntime/engines.py``).
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from benchbox.schema.engine import RUNTIME_RECIPE
from benchbox.store.artifact_files import sha256_of
from benchbox.store.engines import FOLDER, Pruned


def prune_runtime_engines(root: Path) -> tuple[Pruned, ...]:
    """Deletes the folders whose network is gone or has changed, and those whose recipe cannot be read.

    Drafts of builds that were killed are deleted by the next process that builds the same.
    """
    removed = []
    for recipe in sorted((root / FOLDER).glob(f"*/*/*/{RUNTIME_RECIPE}")):
        reason = _fault(recipe, root)
        if reason:
            folder = recipe.parent
            size = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
            shutil.rmtree(folder)
            removed.append(Pruned(path=folder, size_bytes=size, reason=reason))
            if not any(folder.parent.iterdir()):
                folder.parent.rmdir()
    return tuple(removed)


def _fault(recipe: Path, root: Path) -> str:
    try:
        found = json.loads(recipe.read_text())
        onnx, sha256 = root / found["onnx_path"], found["onnx_sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return "its recipe is damaged"
    if not onnx.is_file() or sha256_of(onnx) != sha256:
        return "the ONNX file that it was built from is gone or has changed"
    return ""
