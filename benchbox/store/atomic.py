"""How is a file written so that nobody ever sees half of it?"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def draft_of(target: Path) -> Iterator[Path]:
    """A temporary path beside the target to write to; it becomes the target when the block ends without an error.

    The folder is made if need be; after an error nothing remains of the draft. Raises OSError as the file system does.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        yield draft
        with draft.open("rb") as written:
            os.fsync(written.fileno())
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
