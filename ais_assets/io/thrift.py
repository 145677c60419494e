"""Thrift's compact protocol, as far as Parquet's footers and page headers need it.

A structure is {field id: (type, value)}, a list (type of its items, items); integers are int, all else bytes.

https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
"""

from __future__ import annotations

from typing import Any, Final

TRUE: Final = 1
FALSE: Final = 2
I8: Final = 3
I16: Final = 4
I32: Final = 5
I64: Final = 6
DOUBLE: Final = 7
BINARY: Final = 8
LIST: Final = 9
STRUCT: Final = 12

Struct = dict[int, tuple[int, Any]]

_LONG_LIST = 15
"""A list of at least as many items has its length in a varint."""


def encoded(struct: Struct) -> bytes:
    """A structure as bytes. Raises ValueError for a type that Parquet's metadata do not have."""
    out = bytearray()
    _put_struct(struct, out)
    return bytes(out)


def decoded(data: bytes) -> Struct:
    """The structure at the beginning of `data`. Raises ValueError or IndexError when it is none."""
    return decoded_at(data, 0)[0]


def decoded_at(data: bytes | memoryview, at: int) -> tuple[Struct, int]:
    """The structure that begins at a byte of `data`, and where it ends. Raises as `decoded`."""
    reader = _Reader(data, at)
    return reader.struct(), reader.at


def varint(value: int) -> bytes:
    """A number from 0 on, seven bits a byte, the lowest first."""
    out = bytearray()
    _put_varint(value, out)
    return bytes(out)


def _put_struct(struct: Struct, out: bytearray) -> None:
    last = 0
    for number, (kind, value) in sorted(struct.items()):
        if 0 < number - last < 16:
            out.append((number - last) << 4 | kind)
        else:
            out.append(kind)
            _put_varint(_zigzag(number), out)
        _put_value(kind, value, out)
        last = number
    out.append(0)


def _put_value(kind: int, value: Any, out: bytearray) -> None:
    if kind in (I16, I32, I64):
        _put_varint(_zigzag(value), out)
    elif kind == BINARY:
        _put_varint(len(value), out)
        out += value
    elif kind == LIST:
        item_kind, items = value
        if len(items) < _LONG_LIST:
            out.append(len(items) << 4 | item_kind)
        else:
            out.append(_LONG_LIST << 4 | item_kind)
            _put_varint(len(items), out)
        for item in items:
            _put_value(item_kind, item, out)
    elif kind == STRUCT:
        _put_struct(value, out)
    elif kind in (I8, DOUBLE):
        out += value
    elif kind not in (TRUE, FALSE):
        raise ValueError(f"Parquet's metadata have no thrift type {kind}")


def _put_varint(value: int, out: bytearray) -> None:
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def _zigzag(value: int) -> int:
    return value << 1 if value >= 0 else (-value << 1) - 1


class _Reader:
    def __init__(self, data: bytes | memoryview, at: int) -> None:
        self._data = data
        self.at = at

    def struct(self) -> Struct:
        fields: Struct = {}
        number = 0
        while head := self._take(1)[0]:
            number = number + (head >> 4) if head >> 4 else self._signed()
            kind = head & 0x0F
            fields[number] = (kind, self._value(kind))
        return fields

    def _value(self, kind: int) -> Any:
        if kind in (I16, I32, I64):
            return self._signed()
        if kind == BINARY:
            return self._take(self._varint())
        if kind == LIST:
            head = self._take(1)[0]
            size = head >> 4 if head >> 4 < _LONG_LIST else self._varint()
            return head & 0x0F, [self._value(head & 0x0F) for _ in range(size)]
        if kind == STRUCT:
            return self.struct()
        if kind in (I8, DOUBLE):
            return self._take(1 if kind == I8 else 8)
        if kind in (TRUE, FALSE):
            return kind == TRUE
        raise ValueError(f"thrift type {kind} at byte {self.at} is none of Parquet's metadata")

    def _signed(self) -> int:
        value = self._varint()
        return value >> 1 if value % 2 == 0 else -(value >> 1) - 1

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._take(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    def _take(self, size: int) -> bytes:
        taken = bytes(self._data[self.at : self.at + size])
        if len(taken) < size:
            raise ValueError(f"ends at byte {len(self._data)}, inside a thrift structure")
        self.at += size
        return taken
