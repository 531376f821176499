# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""RDB files as a stream: every key with its expiry and its value as it stands, skipped over and not decoded.

A record that the buffer does not hold whole is started again once more was read: whatever asks for a byte behind the end
raises IndexError or struct.error. So memory is one piece of the stream, or the largest single value.
"""

from __future__ import annotations

import struct
import traceback
import typing as t

from ._errors import CachingError, one_line
from ._rdb_types import LARGEST, ONE_STRING, Bad, length, skippers, string, text

try:
    import anycrc

    ANYCRC_ERROR = None
    CRC64 = anycrc.CRC(width=64, poly=0xAD93D23594C935A9, init=0, refin=True, refout=True, xorout=0)
    crc64: t.Callable[..., int] = CRC64.calc
except ImportError:
    ANYCRC_ERROR = traceback.format_exc()

# type, key, expiry (ms since 1970), idle (s), frequency, value as in the file; the view holds until the next batch
Record = tuple[int, bytes, "int | None", "int | None", "int | None", memoryview]
Read = t.Callable[[int], bytes]

# the versions that are known; Valkey has left 12 to 79 to others
_REDIS, _VALKEY, _FOREIGN = range(6, 14), range(80, 90), range(12, 80)
_EOF, _SELECTDB, _EXPIRETIME, _EXPIRETIME_MS, _RESIZEDB, _AUX, _FREQ, _IDLE = 255, 254, 253, 252, 251, 250, 249, 248
_MODULE_AUX, _FUNCTION2, _SLOT_INFO = 247, 245, 244
_FIRST_OPCODE = 243
_MODULE = 7
_MILLISECONDS = struct.Struct("<q").unpack_from
_SECONDS = struct.Struct("<i").unpack_from
_TRAILER = struct.Struct("<Q").unpack_from


class RdbError(CachingError):
    """What is wrong with the file, and where. ``offset`` counts from its begin."""

    def __init__(self, reason: str, offset: int) -> None:
        super().__init__(f"the RDB can't be read at byte {offset}: {reason}")
        self.reason = reason
        self.offset = offset


class Reader:
    """An RDB that ``read`` gives in pieces (of any size; empty at the end). ``batches`` has to be read to its end once."""

    def __init__(self, read: Read, piece: int = 1 << 20, largest: int = LARGEST) -> None:
        self._read = read
        self._largest = largest
        self._piece = piece
        self._buffer = b""
        self._before = 0  # bytes of the stream before the buffer
        self._crc = 0
        self._ended = False
        self.aux: dict[str, str] = {}
        self.functions: list[bytes] = []  # each with its opcode, as FUNCTION RESTORE takes them
        self.key_count = 0
        self.expiring = 0
        self.checksum: bool | None = None  # whether the file has one; known at the end
        self._begin()
        self._skip = skippers(self.flavour, self.version)

    def _begin(self) -> None:
        """The magic: who wrote the file, and its version."""
        self._more(0, 9)
        head = self._buffer[:9]
        if len(head) < 9:
            raise RdbError("it ends here, within its first nine bytes", len(head))
        self.flavour = "redis" if head.startswith(b"REDIS") else "valkey" if head.startswith(b"VALKEY") else ""
        digits = head[5:] if self.flavour == "redis" else head[6:]
        if not self.flavour or not digits.isdigit():
            raise RdbError(f"it begins with {one_line(repr(head), 40)}, not with REDIS or VALKEY and a version", 0)
        self.version = int(digits)
        if self.version not in (_REDIS if self.flavour == "redis" else _VALKEY):
            raise RdbError(f"version {self.version} of {self.flavour} is not known here", 0)
        self._start = 9

    def _more(self, start: int, least: int = 0) -> None:
        """Keep the buffer from ``start`` on and read as much again as is pending: a value of any size is read in few steps."""
        pending = len(self._buffer) - start
        if start:
            self._crc = crc64(memoryview(self._buffer)[:start], self._crc)
            self._before += start
        wanted = max(self._piece, pending, least - pending)
        parts = [self._buffer[start:]]
        while wanted > 0 and not self._ended:
            part = self._read(wanted)
            self._ended = not part
            parts.append(part)
            wanted -= len(part)
        if not any(parts[1:]):
            raise RdbError(f"it ends here, in the middle of a record ({pending} bytes of it are there)", self._before + pending)
        self._buffer = b"".join(parts)

    def batches(self) -> t.Iterator[list[Record]]:
        """All keys, as many at a time as one piece holds. The values are views that hold until the next batch is asked for."""
        position = self._start
        while True:
            batch, position, whole = self._batch(position)
            self.key_count += len(batch)
            if batch:
                yield batch
                batch.clear()
            if whole:
                self._end(position)
                return
            self._more(position)
            position = 0

    def _batch(self, position: int) -> tuple[list[Record], int, bool]:
        """Records until the buffer ends within one, or the file does: where that is, and whether it is the end."""
        buffer, skip = self._buffer, self._skip
        view, size = memoryview(buffer), len(buffer)
        batch: list[Record] = []
        add, one, expiring = batch.append, ONE_STRING, 0
        begin = here = position
        try:
            while True:
                begin = here
                kind = buffer[here]
                when = idle = frequency = None
                while kind >= _FIRST_OPCODE:
                    if kind == _EXPIRETIME_MS:
                        when = _MILLISECONDS(buffer, here + 1)[0]
                        here += 9
                    elif kind == _FREQ:
                        frequency = buffer[here + 1]
                        here += 2
                    elif kind == _IDLE:
                        idle, here = length(buffer, here + 1)
                    elif kind == _EXPIRETIME:
                        when = _SECONDS(buffer, here + 1)[0] * 1000
                        here += 5
                    elif begin != here:
                        raise Bad(f"opcode {kind} stands between an expiry and its key")
                    elif kind == _EOF:
                        self.expiring += expiring
                        return batch, here + 1, True
                    else:
                        begin = here = self._opcode(kind, here + 1)
                    kind = buffer[here]
                here += 1
                count = buffer[here]
                if count < 64:
                    first = here + 1
                    here = first + count
                    key = buffer[first:here]
                elif count < 128:
                    first = here + 2
                    here = first + ((count & 63) << 8 | buffer[here + 1])
                    key = buffer[first:here]
                else:
                    key, here = text(buffer, here)
                first = here
                if kind in one:
                    count = buffer[here]
                    if count < 64:
                        here += 1 + count
                    elif count < 128:
                        here += 2 + ((count & 63) << 8 | buffer[here + 1])
                    else:
                        here = string(buffer, here)
                else:
                    here = skip[kind](buffer, here)
                if here > size:
                    raise IndexError
                if when is not None:
                    expiring += 1
                add((kind, key, when, idle, frequency, view[first:here]))
        except (IndexError, struct.error):
            if size - begin > self._largest + self._piece:
                raise RdbError(f"a record of more than {self._largest} bytes, which no RESTORE takes", self._before + begin) from None
            self.expiring += expiring
            return batch, begin, False
        except KeyError:
            raise RdbError(f"type {kind} is not known in version {self.version} of {self.flavour}", self._before + begin) from None
        except Bad as bad:
            raise RdbError(str(bad), self._before + begin) from None

    def _opcode(self, kind: int, here: int) -> int:
        """What stands between keys; where it ends."""
        buffer = self._buffer
        if kind == _AUX:
            name, here = text(buffer, here)
            value, here = text(buffer, here)
            buffer[here - 1]  # both are whole
            if name != b"slot-info" and len(name) + len(value) < 4096 and len(self.aux) < 100:
                self.aux[name.decode("utf-8", "replace")] = value.decode("utf-8", "replace")
        elif kind == _SELECTDB:
            number, here = length(buffer, here)
            if number:
                raise Bad(f"it has keys of database {number}, and a cluster has database 0 only")
        elif kind in (_RESIZEDB, _SLOT_INFO):
            for _part in range(2 if kind == _RESIZEDB else 3):
                _number, here = length(buffer, here)
        elif kind == _FUNCTION2:
            start, here = here - 1, string(buffer, here)
            buffer[here - 1]
            self.functions.append(buffer[start:here])
        elif kind == _MODULE_AUX:
            here = self._skip[_MODULE](buffer, here)
        else:
            raise Bad(f"opcode {kind} is not known in version {self.version} of {self.flavour}")
        return here

    def _end(self, position: int) -> None:
        """The trailer: the checksum, then nothing."""
        crc = crc64(memoryview(self._buffer)[:position], self._crc)
        self._crc = crc
        self._before += position
        rest = self._buffer[position:]
        while len(rest) < 9 and not self._ended:
            part = self._read(9 - len(rest))
            self._ended = not part
            rest += part
        if len(rest) != 8:
            told = f"{len(rest)} of 8 bytes of its checksum are there" if len(rest) < 8 else "bytes follow its end"
            raise RdbError(told, self._before + min(len(rest), 8))
        stored = _TRAILER(rest, 0)[0]
        self.checksum = stored != 0
        if stored and stored != crc:
            raise RdbError(f"its checksum is {crc:016x}, and {stored:016x} is written at its end", self._before)


class Summary(t.NamedTuple):
    """What an RDB holds, after reading all of it."""

    key_count: int
    expiring: int
    functions: int
    flavour: str
    version: int
    checksum: bool
    aux: dict[str, str]


def summary(read: Read, piece: int = 1 << 20) -> Summary:
    """Read an RDB to its end: its structure and its checksum are right, else :class:`RdbError`."""
    reader = Reader(read, piece, largest=1 << 40)
    for _batch in reader.batches():
        pass
    return Summary(
        reader.key_count, reader.expiring, len(reader.functions), reader.flavour, reader.version, bool(reader.checksum), reader.aux
    )
