"""Writes structures/: the ONNX file without weights of every network of the zoo, so that counting needs no export.

Run it after a change of a network or of the export:  python tests/golden/write_structures.py [NAME...]
tests/export/test_structures.py says when that is due.
"""

from __future__ import annotations

import gzip
import sys
import tempfile
from pathlib import Path

from benchbox.export.outline import structure_from_source
from benchbox.models.sources import resolve
from benchbox.models.zoo.zoo import specs

FOLDER = Path(__file__).parent / "structures"


def main(names: list[str]) -> None:
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for name in names or sorted(specs()):
            root = Path(folder)
            path = root / structure_from_source(resolve(name, input_shape=None, weights=None), root=root)
            # No time of writing: the same graph gives the same file.
            (FOLDER / f"{name}.onnx.gz").write_bytes(gzip.compress(path.read_bytes(), mtime=0))
            print(name)


if __name__ == "__main__":
    main(sys.argv[1:])
