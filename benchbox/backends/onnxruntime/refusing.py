"""Why does ONNX Runtime not load a file, and what helps?"""

from __future__ import annotations

import re
from pathlib import Path

from benchbox.errors import ArtifactError
from benchbox.graph.structure import repeated_names

_PREFIX = re.compile(r"^\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : ")
_TWICE = "two nodes with same node name"
_NO_KERNEL = ("Could not find an implementation", "No Op registered for", "is not a registered function/op")
# Each node's place before its name: every name is there once then.
_RENAMING = (
    "import onnx; m = onnx.load({path!r}); "
    "[setattr(n, 'name', f'{{i}}_{{n.name}}') for i, n in enumerate(m.graph.node)]; onnx.save(m, 'renamed.onnx')"
)


def not_loaded(path: Path | None, error: Exception) -> ArtifactError:
    """The error for a file that a session could not be made of.

    Args:
        path: of the file.
        error: what the runtime raised.
    """
    text = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
    # The path is said already, and may be that of a temporary copy.
    text = _PREFIX.sub("", text).removeprefix(f"Load model from {path} failed:")
    what = f"ONNX Runtime cannot load {path}"
    if _TWICE in text and path is not None and (repeated := repeated_names(path)):
        name, places = next(iter(repeated.items()))
        more = f"; {len(repeated) - 1} more names are shared" if len(repeated) > 1 else ""
        command = f'python -c "{_RENAMING.format(path=str(path))}"'
        return ArtifactError(
            f"{what}: several of its nodes have one name",
            values=f"nodes {', '.join(map(str, places))} are all called '{name}'{more}",
            remedy=f"give each a name of its own and measure renamed.onnx: {command}; or try --backend openvino",
        )
    if any(word in text for word in _NO_KERNEL):
        return ArtifactError(
            what, values=text, remedy="try another --backend, or export the network without this operator or this type"
        )
    return ArtifactError(what, values=text, remedy="check the file with onnx.checker, or export it again")
