"""What can standard output and standard error take?

A shell may have closed one of them (``>&-``), an encoding may lack letters that tables use, and the name of a file may
hold bytes that are no text. None of these is a reason to fail.
"""

from __future__ import annotations

import codecs
import io
import os
import sys

_ESCAPED = "benchbox.escaped"


def make_streams_usable() -> None:
    """Opens what is closed on nothing, and writes what cannot be encoded as JSON does: ``\\u00b5``."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            # As the lowest free descriptor it takes the closed one's place: no file of ours can become standard output.
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):  # standard error escapes by itself
        codecs.register_error(_ESCAPED, _escaped)
        sys.stdout.reconfigure(errors=_ESCAPED)


def _escaped(error: UnicodeError) -> tuple[str, int]:
    """What cannot be encoded, in the escapes of JSON, so that a document stays one."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    text = "".join(f"\\u{high:02x}{low:02x}" for high, low in zip(units[::2], units[1::2], strict=True))
    # Rules of tables keep their width; no document holds one.
    return text.replace("\\u2500", "-"), error.end
