"""How is the structure of an ONNX file read without its weights?

An ONNX file is one protobuf message, and a weight's data is a field of it, so the usual reader loads hundreds of
megabytes to learn a few hundred shapes. This one walks the wire format of the mapped file (protobuf encoding,
https://protobuf.dev/programming-guides/encoding; field numbers from onnx.proto3), copies everything but the data of
large tensors, and never touches the pages that hold it. Where the data of a tensor is left out, its length is checked
against the tensor's dimensions, so that a damaged file does not pass.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from pathlib import Path

from benchbox.errors import ArtifactError

# Data up to this size may be a shape or axes, which shape inference needs; larger ones are weights.
KEPT_BYTES = 8192
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_MAX_DEPTH = 64
# Message kind -> field number -> kind of the message in that field.
_CHILDREN: dict[str, dict[int, str]] = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
_DIMS, _DATA_TYPE, _RAW_DATA = 1, 2, 9
_TYPED_DATA = frozenset({4, 5, 7, 10, 11})  # float, int32, int64, double, uint64
# Bits per element by TensorProto.DataType; strings have no fixed size.
STRING = 8
BITS = {
    **dict.fromkeys((2, 3, 9, 17, 18, 19, 20, 24), 8),
    **dict.fromkeys((4, 5, 10, 16), 16),
    **dict.fromkeys((1, 6, 12), 32),
    **dict.fromkeys((7, 11, 13, 14), 64),
    15: 128,
    **dict.fromkeys((21, 22, 23), 4),
    **dict.fromkeys((25, 26), 2),
    **dict.fromkeys((27, 28), 6),
}


def structure_bytes(path: Path) -> bytes:
    """The bytes of an ONNX file without the data of its large tensors.

    Raises:
        ArtifactError: the file is empty, truncated or no protobuf message, or a tensor's data has not the size that
            its dimensions say.
    """
    if path.stat().st_size == 0:
        raise ArtifactError(f"{path} is empty", remedy="export the network again")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        fragments: list[bytes] = []
        try:
            _Skimmer(data).copy(0, len(data), "model", fragments, 0)
        except _DamageError as damage:
            raise ArtifactError(
                f"{path} is not an ONNX file",
                values=f"{damage} of {len(data)} bytes",
                remedy="it may be truncated or of another format",
            ) from damage
    return b"".join(fragments)


class _DamageError(Exception):
    """What is wrong, and at which byte."""


@dataclass(frozen=True)
class _Skimmer:
    data: mmap.mmap

    def copy(self, start: int, end: int, kind: str, into: list[bytes], depth: int) -> int:
        """Appends the message's bytes without large data and returns how many they are."""
        if depth > _MAX_DEPTH:
            raise _DamageError(f"messages are nested deeper than {_MAX_DEPTH} at byte {start}")
        children = _CHILDREN[kind]
        size = 0
        copied = position = start
        while position < end:
            field_start = position
            key, position = self.varint(position, end)
            wire = key & 7
            if wire != _LENGTH:
                position = self.skip(position, end, wire)
                continue
            length, position = self.varint(position, end)
            stop = self.within(position, length, end)
            child = children.get(key >> 3)
            if child is not None and length > KEPT_BYTES:
                into.append(self.data[copied:field_start])
                size += field_start - copied
                size += self.nested(key, position, stop, child, into, depth)
                copied = stop
            position = stop
        into.append(self.data[copied:end])
        return size + end - copied

    def nested(self, key: int, start: int, stop: int, kind: str, into: list[bytes], depth: int) -> int:
        """Appends a large child with a new length before it."""
        body: list[bytes] = []
        size = self.tensor(start, stop, body) if kind == "tensor" else self.copy(start, stop, kind, body, depth + 1)
        head = _varint_bytes(key) + _varint_bytes(size)
        into.append(head)
        into.extend(body)
        return len(head) + size

    def tensor(self, start: int, end: int, into: list[bytes]) -> int:
        """Appends a tensor's fields but for its data."""
        size = 0
        elements, bits, raw = 1, 0, -1
        position = start
        while position < end:
            field_start = position
            key, position = self.varint(position, end)
            field, wire = key >> 3, key & 7
            if wire == _LENGTH:
                length, position = self.varint(position, end)
                stop = self.within(position, length, end)
                if field == _DIMS:  # packed
                    while position < stop:
                        dim, position = self.varint(position, stop)
                        elements *= dim
                raw = length if field == _RAW_DATA else raw
                position = stop
                if field in _TYPED_DATA or field == _RAW_DATA:
                    continue
            elif field in (_DIMS, _DATA_TYPE) and wire == _VARINT:
                value, position = self.varint(position, end)
                if field == _DIMS:
                    elements *= value
                else:
                    bits = BITS.get(value, 0)
            else:
                position = self.skip(position, end, wire)
                if field in _TYPED_DATA:  # not packed: one field per element
                    continue
            into.append(self.data[field_start:position])
            size += position - field_start
        if raw >= 0 and bits and raw != (elements * bits + 7) // 8:
            raise _DamageError(
                f"a tensor of {elements} elements of {bits} bits has {raw} bytes of data at byte {start}"
            )
        return size

    def varint(self, position: int, end: int) -> tuple[int, int]:
        """A number and the position behind it."""
        result = shift = 0
        while position < end:
            byte = self.data[position]
            position += 1
            result |= (byte & 0x7F) << shift
            if byte < 0x80:
                return result, position
            shift += 7
            if shift > 63:
                raise _DamageError(f"a number has no end at byte {position}")
        raise _DamageError(f"the file ends inside a number at byte {position}")

    def skip(self, position: int, end: int, wire: int) -> int:
        """The position behind a field that is not of a length of its own."""
        if wire == _VARINT:
            return self.varint(position, end)[1]
        if wire in (_FIXED32, _FIXED64):
            return self.within(position, 4 if wire == _FIXED32 else 8, end)
        raise _DamageError(f"there is no wire type {wire}, found at byte {position}")

    def within(self, position: int, length: int, end: int) -> int:
        """The end of a field; raises where it lies behind the end of its message."""
        if position + length > end:
            raise _DamageError(f"a field ends at byte {position + length}")
        return position + length


def _varint_bytes(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
