"""What is another Python, in a virtual environment or a container, like as a place to measure in?"""

from __future__ import annotations

import pickle
import shlex
import subprocess

from benchbox import __version__
from benchbox.errors import EnvironmentLackError
from benchbox.schema.environment import Environment

_ASK = (
    "import pickle, sys; from benchbox import __version__; from benchbox.machine.environment import capture; "
    "sys.stdout.buffer.write(pickle.dumps((__version__, capture())))"
)
PATIENCE_S = 120.0


def environment_of(interpreter: tuple[str, ...]) -> Environment:
    """The environment as a Python of its own sees it.

    Args:
        interpreter: its command: ("venv/bin/python",), or the words that start one in a container, which must see the
            project root and the temporary folder under the same paths.

    Raises:
        EnvironmentLackError: it does not start, or has no benchbox, or another version of it.
    """
    shown = shlex.join(interpreter)
    try:
        asked = subprocess.run(
            [*interpreter, "-P", "-c", _ASK],
            capture_output=True,
            timeout=PATIENCE_S,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EnvironmentLackError(
            "the other Python does not start",
            values=f"{shown}: {error}",
            remedy="name its executable: python=DIR/bin/python",
        ) from error
    if asked.returncode:
        words = asked.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
        raise EnvironmentLackError(
            "the other Python cannot measure",
            values=f"{shown}: {words[-1]}",
            remedy=f"install benchbox {__version__} there, with the runtime that is to be measured",
        )
    version, environment = pickle.loads(asked.stdout)
    if version != __version__:
        raise EnvironmentLackError(
            "the other Python has another version of benchbox",
            values=f"{shown} has {version}, this is {__version__}",
            remedy="install the same version in both: the runtimes may differ, the harness must not",
        )
    assert isinstance(environment, Environment)
    return environment
