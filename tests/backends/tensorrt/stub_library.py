"""How does an extension module load whose libraries are not there?

The bindings of TensorRT are a small wheel, its libraries are gigabytes. To look at what the bindings offer, nothing of
the libraries has to run: the loader wants files of the right names, and functions of the right names that it can find.
``stub_library`` writes such a file, an ELF shared object for x86-64 whose functions all return 0, without a compiler.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

_HEADER, _SEGMENT, _ENTRY, _SYMBOL = 64, 56, 16, 24
_LOAD, _DYNAMIC = 1, 2
_READ_WRITE, _READ_EXECUTE = 6, 5
_HASH, _STRTAB, _SYMTAB, _STRSZ, _SYMENT, _SONAME, _END = 4, 5, 6, 10, 11, 14, 0
_PAGE = 0x1000
_GLOBAL_FUNCTION, _SOME_SECTION = 0x12, 1
_RETURN_ZERO = b"\x31\xc0\xc3"  # xor eax, eax; ret


def stub_library(soname: str, functions: Sequence[str]) -> bytes:
    """The bytes of a shared object of that name with those functions."""
    strings = b"\0" + b"\0".join(name.encode() for name in (soname, *functions)) + b"\0"
    names = [strings.index(name.encode() + b"\0") for name in functions]
    dynamic_at = _HEADER + 3 * _SEGMENT
    dynamic_size = 7 * _ENTRY
    symbols_at = dynamic_at + dynamic_size
    hash_at = symbols_at + _SYMBOL * (1 + len(functions))
    count = 1 + len(functions)
    # One bucket: every symbol is in its chain, 1 -> 2 -> ... -> 0.
    chain = [0, *range(2, count), 0][:count] if functions else [0]
    table = struct.pack(f"<{3 + count}I", 1, count, 1 if functions else 0, *chain)
    strings_at = hash_at + len(table)
    size = strings_at + len(strings)
    assert size <= _PAGE, "more functions than a page of names holds"
    entries = (
        (_SONAME, 1),
        (_HASH, hash_at),
        (_STRTAB, strings_at),
        (_SYMTAB, symbols_at),
        (_STRSZ, len(strings)),
        (_SYMENT, _SYMBOL),
        (_END, 0),
    )
    dynamic = b"".join(struct.pack("<QQ", tag, value) for tag, value in entries)
    symbols = bytes(_SYMBOL) + b"".join(
        struct.pack("<IBBHQQ", name, _GLOBAL_FUNCTION, 0, _SOME_SECTION, _PAGE, len(_RETURN_ZERO)) for name in names
    )
    # 64 bit, little endian, shared object, x86-64; three program headers, no sections
    header = b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + struct.pack(
        "<HHIQQQIHHHHHH", 3, 62, 1, 0, _HEADER, 0, 0, _HEADER, _SEGMENT, 3, 0, 0, 0
    )
    # The loader writes addresses into the dynamic section: its segment is writable, that of the code is not.
    segments = (
        struct.pack("<IIQQQQQQ", _LOAD, _READ_WRITE, 0, 0, 0, size, size, _PAGE),
        struct.pack(
            "<IIQQQQQQ", _LOAD, _READ_EXECUTE, _PAGE, _PAGE, _PAGE, len(_RETURN_ZERO), len(_RETURN_ZERO), _PAGE
        ),
        struct.pack(
            "<IIQQQQQQ", _DYNAMIC, _READ_WRITE, dynamic_at, dynamic_at, dynamic_at, dynamic_size, dynamic_size, 8
        ),
    )
    content = header + b"".join(segments) + dynamic + symbols + table + strings
    return content.ljust(_PAGE, b"\0") + _RETURN_ZERO
