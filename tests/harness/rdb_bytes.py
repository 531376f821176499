# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""RDB files put together by hand: every type and opcode, as rdb.c writes them."""

from __future__ import annotations

import struct

import anycrc

CRC = anycrc.CRC(width=64, poly=0xAD93D23594C935A9, init=0, refin=True, refout=True, xorout=0)


def number(value: int, form: int | None = None) -> bytes:
    """A length, in the shortest form or the one asked for (6, 14, 32 or 64 bits)."""
    form = form or (6 if value < 64 else 14 if value < 16384 else 32 if value < 2**32 else 64)
    if form == 6:
        return bytes([value])
    if form == 14:
        return bytes([0x40 | value >> 8, value & 255])
    return (b"\x80" + struct.pack(">I", value)) if form == 32 else (b"\x81" + struct.pack(">Q", value))


def text(value: bytes, form: int | None = None) -> bytes:
    return number(len(value), form) + value


def integer(value: int, bits: int) -> bytes:
    return bytes([{8: 0xC0, 16: 0xC1, 32: 0xC2}[bits]]) + struct.pack({8: "<b", 16: "<h", 32: "<i"}[bits], value)


def lzf(packed: bytes, plain: int) -> bytes:
    return b"\xc3" + number(len(packed)) + number(plain) + packed


A_HUNDRED = lzf(b"\x00a" + bytes([7 << 5, 90, 0]), 100)     # one letter, then 99 times what is one before


def stream(version: int) -> bytes:
    entry, eight = b"i" * 16, b"t" * 8
    found = number(1) + text(entry) + text(b"listpack") + number(2) + number(1) + number(1)
    found += (number(1) + number(0) + number(0) + number(0) + number(2)) if version > 1 else b""
    group = text(b"group") + number(1) + number(1) + (number(1) if version > 1 else b"")
    group += number(1) + entry + eight + number(3)
    group += number(1) + text(b"consumer") + eight + (eight if version > 2 else b"") + number(1) + entry
    return found + number(1) + group


# type → value; what each is skipped to must be its whole length
VALUES: dict[int, bytes] = {
    0: text(b"value"), 1: number(2) + text(b"a") + integer(-7, 8), 2: number(2) + integer(70000, 32) + text(b"x" * 70),
    3: number(3) + text(b"a") + b"\x03" + b"1.5" + text(b"b") + b"\xfe" + text(b"c") + b"\xfd",
    4: number(2) + text(b"f") + text(b"v") + text(b"g" * 100) + A_HUNDRED, 5: number(2) + (text(b"m") + b"d" * 8) * 2,
    7: number(2**50, 64) + number(1) + number(9) + number(3) + b"ffff" + number(4) + b"d" * 8 + number(5) + text(b"s") + number(2) + number(300) + number(0),
    9: text(b"zipmap"), 10: text(b"ziplist"), 11: text(b"intset"), 12: text(b"z" * 64), 13: text(b"z" * 300, 32), 14: number(2) + text(b"one") + A_HUNDRED,
    15: stream(1), 16: text(b"listpack"), 17: integer(300, 16), 18: number(2) + number(1) + text(b"plain") + number(2) + text(b"packed"),
    19: stream(2), 20: text(b"listpack", 32), 21: stream(3),
}
VALKEY_HASH = number(2) + text(b"f") + text(b"v") + b"e" * 8 + text(b"g") + A_HUNDRED + b"\xff" * 8
REDIS_HASH = b"m" * 8 + number(2) + number(0) + text(b"f") + text(b"v") + number(5000) + text(b"g") + text(b"w")
REDIS_HASH_PACKED = b"m" * 8 + text(b"listpack")


def file(*parts: bytes, magic: bytes = b"REDIS0010", checksum: bool = True) -> bytes:
    body = magic + b"".join(parts) + b"\xff"
    return body + struct.pack("<Q", CRC.calc(body) if checksum else 0)


def aux(name: bytes, value: bytes) -> bytes:
    return b"\xfa" + text(name) + text(value)


def record(kind: int, key: bytes, value: bytes, expiry: int | None = None, idle: int | None = None, frequency: int | None = None) -> bytes:
    found = b"" if expiry is None else b"\xfc" + struct.pack("<q", expiry)
    found += b"" if idle is None else b"\xf8" + number(idle)
    found += b"" if frequency is None else b"\xf9" + bytes([frequency])
    return found + bytes([kind]) + text(key) + value


def sample() -> bytes:
    """Every type and opcode that a version 10 may hold."""
    function = b"\xf5" + text(b"#!lua name=lib\n" + b"x" * 80)
    keys = [record(kind, b"key:%d" % kind, value, expiry=10**12 + kind if kind % 3 == 0 else None, idle=kind if kind % 4 == 1 else None,
                   frequency=kind if kind % 4 == 2 else None) for kind, value in VALUES.items()]
    numbers = b"\x00" + integer(-12345, 16) + text(b"1") + b"\x00" + A_HUNDRED + text(b"2") + b"\xfd" + struct.pack("<i", 2**30) + record(0, b"s", text(b"3"))
    header = aux(b"redis-ver", b"7.0.15") + aux(b"redis-bits", b"64") + b"\xf7" + number(2**51, 64) + number(2) + number(1) + number(0)
    return file(header, function, b"\xfe\x00", b"\xfb" + number(23) + number(8), b"\xf4" + number(1) + number(2) + number(3), *keys, numbers)
