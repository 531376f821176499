# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""How long the values of an RDB are: lengths, strings, and every type, skipped over. Pure functions on a buffer.

Each gives the place behind what it read; that may be behind the end of the buffer, and a byte that is looked for there raises
IndexError or struct.error. Lengths are unpacked, not sliced: a slice that is too short would be a wrong number.
"""

from __future__ import annotations

import struct
import typing as t

LARGEST = 512 << 20  # what a server takes as one argument, so what RESTORE can carry
Skip = t.Callable[[bytes, int], int]

_U32 = struct.Struct(">I").unpack_from
_U64 = struct.Struct(">Q").unpack_from
_I8, _I16, _I32 = (struct.Struct(form).unpack_from for form in ("<b", "<h", "<i"))

# types whose value is one string: string, zipmap, ziplists, intset, listpacks
ONE_STRING = frozenset((0, 9, 10, 11, 12, 13, 16, 17, 20))


class Bad(Exception):
    """The bytes can't be what they should be."""


def length(buffer: bytes, here: int) -> tuple[int, int]:
    """A length that stands at ``here``, and the place behind it."""
    first = buffer[here]
    if first < 64:
        return first, here + 1
    if first < 128:
        return (first & 63) << 8 | buffer[here + 1], here + 2
    if first == 0x80:
        return _U32(buffer, here + 1)[0], here + 5
    if first == 0x81:
        return _U64(buffer, here + 1)[0], here + 9
    raise Bad(f"byte {first:#04x} begins no length")


def string(buffer: bytes, here: int) -> int:
    """Behind a string of any form."""
    first = buffer[here]
    if first < 64:
        return here + 1 + first
    if first < 128:
        return here + 2 + ((first & 63) << 8 | buffer[here + 1])
    if first >= 0xC0:
        if first < 0xC3:
            return here + 1 + (1 << (first - 0xC0))
        if first == 0xC3:
            packed, here = length(buffer, here + 1)
            _plain, here = length(buffer, here)
            return here + _checked(packed)
        raise Bad(f"byte {first:#04x} begins no string")
    count, here = length(buffer, here)
    return here + _checked(count)


def text(buffer: bytes, here: int) -> tuple[bytes, int]:
    """A string itself: numbers and compressed strings are keys, too."""
    first = buffer[here]
    if first < 0xC0:
        count, here = length(buffer, here)
        return buffer[here : here + _checked(count)], here + count
    if first < 0xC3:
        number = (_I8, _I16, _I32)[first - 0xC0](buffer, here + 1)[0]
        return b"%d" % number, here + 1 + (1 << (first - 0xC0))
    if first != 0xC3:
        raise Bad(f"byte {first:#04x} begins no string")
    packed, here = length(buffer, here + 1)
    plain, here = length(buffer, here)
    end = here + _checked(packed)
    if end > len(buffer):
        raise IndexError
    return _unpacked(buffer[here:end], _checked(plain)), end


def _checked(count: int) -> int:
    if count > LARGEST:
        raise Bad(f"a string of {count} bytes, more than any server takes")
    return count


def _unpacked(packed: bytes, size: int) -> bytes:
    """LZF, for the few keys that are compressed."""
    result = bytearray()
    here, end = 0, len(packed)
    try:
        while here < end and len(result) <= size:
            control = packed[here]
            here += 1
            if control < 32:
                result += packed[here : here + control + 1]
                here += control + 1
                continue
            count = control >> 5
            if count == 7:
                count += packed[here]
                here += 1
            begin = len(result) - ((control & 31) << 8 | packed[here]) - 1
            here += 1
            if begin < 0:
                raise Bad("a compressed string refers to what is before its begin")
            count += 2
            part = bytes(result[begin : begin + count])
            result += (part * (count // len(part) + 1))[:count]
    except IndexError:
        raise Bad("a compressed string is cut") from None
    if here != end or len(result) != size:
        raise Bad(f"a compressed string has not the {size} bytes that it should have")
    return bytes(result)


# ---- the types that are more than one string


def _strings(each: int) -> Skip:
    """A count, then so many times ``each`` strings."""

    def skip(buffer: bytes, here: int) -> int:
        count, here = length(buffer, here)
        return _run(buffer, here, count * each)

    return skip


def _run(buffer: bytes, here: int, count: int) -> int:
    """Behind ``count`` strings in a row."""
    size = len(buffer)
    while count:
        if here >= size:
            raise IndexError
        first = buffer[here]
        here = here + 1 + first if first < 64 else string(buffer, here)
        count -= 1
    return here


def _zset(buffer: bytes, here: int) -> int:
    """Scores as text: one byte of length, of which 253 to 255 are no lengths but values."""
    count, here = length(buffer, here)
    for _member in range(count):
        here = string(buffer, here)
        size = buffer[here]
        here += 1 if size >= 253 else 1 + size
    return here


def _zset2(buffer: bytes, here: int) -> int:
    count, here = length(buffer, here)
    for _member in range(count):
        here = string(buffer, here) + 8
        buffer[here - 1]
    return here


def _module(buffer: bytes, here: int) -> int:
    """A module's value: its id, then parts that tell what they are, until one that says it is the end."""
    _module_id, here = length(buffer, here)
    while True:
        kind, here = length(buffer, here)
        if kind == 0:
            return here
        if kind in (1, 2):
            _number, here = length(buffer, here)
        elif kind in (3, 4):
            here += 4 if kind == 3 else 8
            buffer[here - 1]
        elif kind == 5:
            here = string(buffer, here)
        else:
            raise Bad(f"a module's value has a part of kind {kind}")


def _quicklist2(buffer: bytes, here: int) -> int:
    count, here = length(buffer, here)
    for _node in range(count):
        container, here = length(buffer, here)
        if container not in (1, 2):
            raise Bad(f"a list has a node of kind {container}")
        here = string(buffer, here)
    return here


def _stream(version: int) -> Skip:
    def skip(buffer: bytes, here: int) -> int:
        packs, here = length(buffer, here)
        here = _run(buffer, here, packs * 2)
        for _number in range(3 if version == 1 else 8):
            _value, here = length(buffer, here)
        groups, here = length(buffer, here)
        for _group in range(groups):
            here = string(buffer, here)
            for _number in range(2 if version == 1 else 3):
                _value, here = length(buffer, here)
            pending, here = length(buffer, here)
            for _entry in range(pending):
                _deliveries, here = length(buffer, here + 24)
            consumers, here = length(buffer, here)
            for _consumer in range(consumers):
                here = string(buffer, here) + (16 if version == 3 else 8)
                pending, here = length(buffer, here)
                here += 16 * pending
        return here

    return skip


def _valkey_hash(buffer: bytes, here: int) -> int:
    """Fields with an expiry of their own, eight bytes each."""
    count, here = length(buffer, here)
    for _field in range(count):
        here = string(buffer, string(buffer, here)) + 8
        buffer[here - 1]
    return here


def _redis_hash(buffer: bytes, here: int) -> int:
    """The least expiry, then fields, each after its own as a difference."""
    count, here = length(buffer, here + 8)
    for _field in range(count):
        _expiry, here = length(buffer, here)
        here = string(buffer, string(buffer, here))
    return here


def skippers(flavour: str, version: int) -> dict[int, Skip]:
    """By type. Which type 22 is meant is decided by who wrote the file; what is not here is not known."""
    found: dict[int, Skip] = {
        1: _strings(1), 2: _strings(1), 3: _zset, 4: _strings(2), 5: _zset2, 7: _module, 14: _strings(1), 15: _stream(1),
        18: _quicklist2, 19: _stream(2), 21: _stream(3),
    }
    if flavour == "valkey":
        found[22] = _valkey_hash
    elif version >= 12:
        found |= {24: _redis_hash, 25: lambda buffer, here: string(buffer, here + 8)}
    return found
