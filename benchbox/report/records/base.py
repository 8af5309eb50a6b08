"""What is a report format?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchbox.registry import Registry
from benchbox.schema.record import Record


@dataclass(frozen=True, kw_only=True)
class Format:
    """A way to write records as text, registered in ``FORMATS`` by its file in ``report/``."""

    name: str
    render: Callable[[Sequence[Record]], str]


FORMATS: Registry[Format] = Registry("format", "benchbox.report.records")
