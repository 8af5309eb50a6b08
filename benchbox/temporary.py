"""Where do files lie that nobody needs afterwards, so that nothing is left of them however it ends?"""

from __future__ import annotations

import contextlib
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def temporary_folder(prefix: str) -> Iterator[Path]:
    """A new folder that is removed in the end, with all that is in it.

    ``tempfile.TemporaryDirectory`` leaves it behind if a signal ends the command while the folder is made or removed:
    of the first the name is not known yet, the second is not tried again.

    Args:
        prefix: of its name.

    Raises:
        OSError: it cannot be made.
    """
    folder = Path(tempfile.gettempdir()) / f"{prefix}{secrets.token_hex(8)}"
    try:
        folder.mkdir(mode=0o700)
        yield folder
    finally:
        try:
            shutil.rmtree(folder, ignore_errors=True)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
