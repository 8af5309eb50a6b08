"""On which machine and with which software was a number taken?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Environment:
    """Everything that may move a number, as text, in two parts.

    ``hash`` is over ``hardware`` and ``software`` only: equal hashes mean that two numbers may be
    compared. ``observed`` holds what was seen at the time but does not decide comparability
    (load, free memory, commit, container).
    """

    hash: str
    hardware: Mapping[str, str]
    software: Mapping[str, str]
    observed: Mapping[str, str] = field(default_factory=dict)
