"""What does a library make of a public name: hf:ORG/NAME, hf:FOLDER, timm:NAME, torchvision:NAME?

Each library is an extra of the same name. What it cannot fetch or does not know is an error of ours, never a traceback.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping

from benchbox.models.libraries.made import LibraryNetwork
from benchbox.schema.model import ModelSource


def network_from_library(source: ModelSource, sizes: Mapping[str, tuple[int, ...]]) -> LibraryNetwork:
    """The network that a library knows by the name of the source.

    Args:
        source: its reference begins with the name of the library.
        sizes: that the user gave, by name: those of one number may be the library's own (``sequence``).

    Raises:
        EnvironmentLackError: the library is not installed or does not work here; what it needs cannot be fetched.
        UsageError: it does not know the name, or has no network for the task.
        ArtifactError: its code fails.
    """
    from benchbox.models.libraries import huggingface, timm, torchvision

    library, _, name = source.reference.partition(":")
    makers = {
        "hf": lambda: huggingface.network_from_hub(
            name, task=source.task, sizes={key: shape[0] for key, shape in sizes.items() if len(shape) == 1},
            own_weights=source.weights is not None,
        ),
        "timm": lambda: timm.network_from_timm(name, own_weights=source.weights is not None),
        "torchvision": lambda: torchvision.network_from_torchvision(name, own_weights=source.weights is not None),
    }  # fmt: skip
    with quiet():
        return makers[library]()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps the progress, warnings and logs of libraries from the user's terminal."""
    level = logging.root.manager.disable
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(level)
