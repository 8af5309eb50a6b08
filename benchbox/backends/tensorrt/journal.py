"""What does the vendor say while it works, and what can be read from it?"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from benchbox.schema.engine import EngineMemory

Lines = list[tuple[str, str]]
"""Severity ("INFO") and text of each message, in order."""

_MEMORY = {
    "Total Activation Memory": "activation_bytes",
    "Max Scratch Memory": "scratch_bytes",
    "Total Weights Memory": "weight_bytes",
    "Total Device Persistent Memory": "device_persistent_bytes",
    "Total Host Persistent Memory": "host_persistent_bytes",
}
_DECLARED = re.compile(rf"({'|'.join(_MEMORY)}): (\d+) bytes")
_ERRORS = frozenset({"ERROR", "INTERNAL_ERROR"})
# On a machine without a driver every refusal drags these along; they are no reason for it.
_NO_DRIVER = re.compile(r"cudaError (35|100)\b|checkMacros\.cpp::catchCudaError")
_WHERE = re.compile(r"\s*In \w+ at /_src/[\w./]+:\d+\)?$")
_NODE = re.compile(r"^Parsing node: (?P<node>.+) \[(?P<operator>\w+)\]$")
_MOST = 5
_ALWAYS = frozenset({*_ERRORS, "WARNING"})
_INFO = "INFO"


def journal(api: Any, *, info: bool = True) -> tuple[Any, Lines]:
    """A logger for the vendor's objects, and the list that its messages are appended to.

    Builders say a line for every tactic that they try: of what is VERBOSE only the lines are kept that name the
    operator of a node. The logger must live as long as the objects that were given it.

    Args:
        api: the vendor's module.
        info: whether what is neither an error nor a warning is kept at all; a session has no use for it.
    """

    class Journal(api.ILogger):  # type: ignore[misc]
        """Keeps what somebody reads."""

        def __init__(self, lines: Lines) -> None:
            api.ILogger.__init__(self)
            self.lines = lines

        def log(self, severity: Any, message: str) -> None:
            """Called by the vendor."""
            name = severity.name
            if name in _ALWAYS or (info and (name == _INFO or _NODE.match(message))):
                self.lines.append((name, message))

    lines: Lines = []
    return Journal(lines), lines


def text_of(lines: Sequence[tuple[str, str]]) -> str:
    """The messages as a file, one a line with its severity before it."""
    return "".join(f"{severity:8} {message.rstrip()}\n" for severity, message in lines)


def errors_in(lines: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """What went wrong, each reason once, nodes followed by their operator: "'fc1' (Gemm)"."""
    operators = _operators(lines)
    logged = [message for severity, message in lines if severity in _ERRORS]
    reasons = [message for message in logged if not _NO_DRIVER.search(message)] or logged
    plain = dict.fromkeys(_WHERE.sub("", " ".join(message.split())) for message in reasons)
    return tuple(_with_operators(message, operators) for message in list(plain)[:_MOST])


def warnings_in(lines: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """The warnings, each once, in order."""
    return tuple(dict.fromkeys(message.strip() for severity, message in lines if severity == "WARNING"))


def memory_in(lines: Sequence[tuple[str, str]]) -> EngineMemory:
    """The memory that the builder announced, each figure where it did; the last one of each counts."""
    found: dict[str, int] = {}
    for _, message in lines:
        match = _DECLARED.match(message)
        if match:
            found[_MEMORY[match[1]]] = int(match[2])
    return EngineMemory(**found)


def _operators(lines: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Operator of each ONNX node, from what the parser said while reading."""
    matches = (_NODE.match(message) for _, message in lines)
    return {match["node"]: match["operator"] for match in matches if match}


def _with_operators(message: str, operators: dict[str, str]) -> str:
    def known(match: re.Match[str]) -> str:
        operator = operators.get(match[1])
        return f"{match[0]} ({operator})" if operator else match[0]

    return re.sub(r"'([^']+)'", known, message)
