# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The replication stream of one node: its snapshot as it comes, checked to the last byte, with what is known of it on the way.

The node is asked as a replica would ask. What it answers has one of two forms: ``$EOF:`` and a mark of 40 bytes, which then ends
the data (a node that sends without a file; it may wait for ``repl-diskless-sync-delay`` first), or ``$`` and a length (it has
written a file first, and begins at once). Only the mark, or the full length, means that it is complete; a close before it is none.
"""

from __future__ import annotations

import socket
import struct
import time
import traceback
import typing as t

from ._errors import CachingError, one_line
from ._rdb_types import Bad, length, skippers, string

try:
    import anycrc

    ANYCRC_ERROR = None
    crc64: t.Callable[..., int] = anycrc.CRC(width=64, poly=0xAD93D23594C935A9, init=0, refin=True, refout=True, xorout=0).calc
except ImportError:
    ANYCRC_ERROR = traceback.format_exc()
    crc64 = t.cast("t.Callable[..., int]", None)  # never called: whoever needs it looks at ANYCRC_ERROR first

_PIECE = 1 << 18
_MARK, _TRAILER = 40, 8
_LINE = 4096
_LONGEST_HEAD = 64 << 20
SILENCE = 30.0  # a node says something each second: bare line ends, until the data comes
LONGEST_WAIT = 3600.0  # for the data to begin: a node without diskless replication writes its file first
_EOF, _SELECTDB, _RESIZEDB, _AUX, _MODULE_AUX, _FUNCTION2, _MODULE = 255, 254, 251, 250, 247, 245, 7


class Refused(CachingError):
    """The node does not give its data to this user, or never will."""


class Broken(CachingError):
    """The stream did not come to its end, or is not what it should be. Another attempt may succeed."""


class Stream:
    """One snapshot over ``wire``, a connected and authenticated socket.

    First :meth:`prepare`, :meth:`begin` and :meth:`await_data`, then :meth:`pieces` to the end.

    ``marked``: ask for the form with the end mark. ``valkey``: the node's own version where it is a Valkey; one that is not told
    which version reads its data writes it in the form of an older one, and fails in the middle where that can't hold the data.
    """

    def __init__(self, wire: socket.socket, node: str, user: str | None, valkey: str | None, marked: bool, silence: float = SILENCE) -> None:
        self._wire = wire
        self.node = node
        self._user = user or "default"
        self._valkey = valkey
        self._marked = marked
        self._rest = b""
        self._mark: bytes | None = None
        self._left = 0
        self._head: _Head | None = None
        self.replication_id, self.offset = "", -1
        self.begun = 0.0  # when the node said that its snapshot is made now
        self.size = self.crc = self.trailer = 0
        self._silence = silence
        wire.settimeout(silence)

    # ---- asking

    def prepare(self) -> None:
        """Say what is understood here. Each answer is read before the next question: a node refuses PSYNC with answers pending."""
        if self._marked:
            self._told("REPLCONF", "capa", "eof")
        self._told("REPLCONF", "rdb-only", "1", needed=False)  # before 7.0 it is not known; then commands follow, which nobody reads
        if self._valkey:
            self._told("REPLCONF", "version", self._valkey)

    def begin(self) -> None:
        """Ask for the snapshot, and wait until it is being made."""
        self._send("PSYNC", "?", "-1")
        words = self._line(time.monotonic() + LONGEST_WAIT).split()
        if len(words) != 3 or words[0] != "+FULLRESYNC" or not words[2].isdigit():
            raise self._refused("PSYNC", " ".join(words))
        self.begun = time.time()
        self.replication_id, self.offset = words[1], int(words[2])

    def await_data(self) -> None:
        """Wait for the head of the data: its end mark, or its length."""
        line = self._line(time.monotonic() + LONGEST_WAIT)
        if line.startswith("$EOF:") and len(line) == 5 + _MARK:
            self._mark = line[5:].encode("latin-1")
        elif line.startswith("$") and line[1:].isdigit():
            self._left = int(line[1:])
        else:
            raise Broken(f"{self.node} answered PSYNC with {one_line(repr(line), 80)} where the data should begin")

    def _told(self, *words: str, needed: bool = True) -> None:
        self._send(*words)
        answer = self._line(time.monotonic() + self._silence)
        if answer != "+OK" and (needed or "NOPERM" in answer):
            raise self._refused(" ".join(words[:2]), answer)

    def _send(self, *words: str) -> None:
        try:
            self._wire.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word.encode()) for word in words))
        except OSError as error:
            raise Broken(f"{self.node} can't be asked for its data: {error.strerror or one_line(error)}") from None

    def _line(self, deadline: float) -> str:
        """The next line that is not empty: empty ones say that the node is still at it."""
        while True:
            line, end, rest = self._rest.partition(b"\n")
            if end:
                self._rest = rest
                if line.strip(b"\r"):
                    return line.rstrip(b"\r").decode("latin-1")
            elif len(line) > _LINE:
                raise Broken(f"{self.node} sends what is no answer: {one_line(repr(line[:40]), 60)}")
            elif time.monotonic() > deadline:
                raise Broken(f"{self.node} did not begin to send its data in {LONGEST_WAIT:.0f} s")
            else:
                self._rest += self._receive(_LINE)

    def _receive(self, most: int) -> bytes:
        try:
            data = self._wire.recv(most)
        except TimeoutError:
            raise Broken(f"{self.node} has sent nothing for {self._silence:.0f} s") from None
        except OSError as error:
            raise Broken(f"the connection to {self.node} broke: {error.strerror or one_line(error)}") from None
        if not data:
            raise Broken(f"{self.node} closed the connection before its data was complete")
        return data

    def _refused(self, asked: str, answer: str) -> CachingError:
        told = one_line(answer.lstrip("-"), 120)
        if "NOPERM" in answer or "no permissions" in answer:
            return Refused(f"{self.node}: the user {self._user} may not replicate. Grant it with: ACL SETUSER {self._user} +psync +replconf")
        if "unknown command" in answer.lower():
            return Refused(f"{self.node} does not know {asked} (renamed or disabled?): its data can't be read by replication")
        return Broken(f"{self.node} refuses {asked}: {told}")

    # ---- the data

    def pieces(self, limit: int = 0) -> t.Iterator[memoryview]:
        """The snapshot, at most ``limit`` bytes a second (0: as fast as it comes). Ends only where it is complete and its checksum right."""
        head = self._head = _Head(self.node)
        step = min(_PIECE, max(4096, limit // 8)) if limit else _PIECE
        hold = _TRAILER + 1 + (_MARK if self._mark else 0)  # so much may be trailer and mark, and is kept until more follows
        start, kept, complete = time.monotonic(), b"", False
        while not complete:
            data = kept + self._take(step)
            if self._mark is not None:
                complete = data.endswith(self._mark)  # 40 random bytes: they stand nowhere else
                end = len(data) - _MARK if complete else max(0, len(data) - hold)
            else:
                complete = self._left == 0
                end = len(data) if complete else max(0, len(data) - hold)
            view = memoryview(data)
            body = view[: max(0, end - _TRAILER)] if complete else view[:end]
            head.see(body)
            self.crc = crc64(body, self.crc)
            self.size += end
            if complete:
                self._check(body, bytes(view[len(body) : end]))
            if end:
                yield view[:end]
            kept = data[end:]
            if limit:
                ahead = self.size / limit - (time.monotonic() - start)
                if ahead > 0:
                    time.sleep(min(ahead, 1.0))

    def _take(self, most: int) -> bytes:
        if self._mark is None:
            most = min(most, self._left)
            if not most:
                return b""
        if self._rest:
            data, self._rest = self._rest[:most], self._rest[most:]
        else:
            data = self._receive(most)
        if self._mark is None:
            self._left -= len(data)
        return data

    def _check(self, body: memoryview, trailer: bytes) -> None:
        """The last bytes: the opcode that ends an RDB, and its CRC-64 (zero where the node's ``rdbchecksum`` is off)."""
        if len(trailer) != _TRAILER or not len(body) or body[-1] != _EOF:
            raise Broken(f"the data of {self.node} does not end as an RDB does")
        self.trailer = struct.unpack("<Q", trailer)[0]
        if self.trailer and self.trailer != self.crc:
            raise Broken(f"the data of {self.node} was damaged on its way: its checksum is {self.crc:016x}, and {self.trailer:016x} was sent")
        if self.found.key_count < 0:
            raise Broken(f"the data of {self.node} does not say how many keys it has")

    @property
    def found(self) -> _Head:
        """What the head of the data says."""
        if self._head is None:
            raise Broken(f"the data of {self.node} has not begun")
        return self._head

    def close(self) -> None:
        """End it, also from another thread."""
        try:
            self._wire.shutdown(socket.SHUT_RDWR)
        except OSError:  # it is closed already
            pass
        self._wire.close()


class _Head:
    """The first bytes of an RDB, until it says how many keys it has.

    The numbers of RESIZEDB are those of the two hash tables at the moment of the snapshot. The process that writes it is a fork, in
    which nothing changes any more, and it writes every entry, expired ones too. So they are exact, and not only a hint, as long as
    there is one database only: that of a cluster. Whether there are others was looked at before.
    """

    def __init__(self, node: str) -> None:
        self._node = node
        self._buffer = b""
        self._next = 0
        self.flavour, self.version = "", 0
        self.key_count = self.expiring = -1

    def see(self, data: memoryview) -> None:
        if self.key_count >= 0 or self._next < 0:
            return
        self._buffer += data
        if len(self._buffer) < max(9, self._next):
            if not (data and data[-1] == _EOF):
                return
        try:
            self._read(self._buffer)
        except (IndexError, struct.error):
            if len(self._buffer) > _LONGEST_HEAD:
                raise Broken(f"the data of {self._node} has more than {_LONGEST_HEAD >> 20} MB before its keys") from None
            self._next = 2 * len(self._buffer) if len(self._buffer) > _PIECE else 0
        except (Bad, KeyError):
            raise Broken(f"the data of {self._node} can't be read as an RDB") from None
        if self.key_count >= 0:
            self._buffer, self._next = b"", -1

    def _read(self, buffer: bytes) -> None:
        start = 5 if buffer.startswith(b"REDIS") else 6
        digits = buffer[start:9]
        if not buffer.startswith((b"REDIS", b"VALKEY")) or not digits.isdigit():
            raise Broken(f"the data of {self._node} begins with {one_line(repr(buffer[:9]), 40)}, which is no RDB")
        self.flavour, self.version = ("redis" if start == 5 else "valkey"), int(digits)
        here = 9
        while True:
            kind = buffer[here]
            here += 1
            if kind == _AUX:
                here = string(buffer, string(buffer, here))
            elif kind == _FUNCTION2:
                here = string(buffer, here)
            elif kind == _MODULE_AUX:
                here = skippers(self.flavour, self.version)[_MODULE](buffer, here)
            elif kind == _SELECTDB:
                _number, here = length(buffer, here)
            elif kind == _RESIZEDB:
                keys, here = length(buffer, here)
                self.expiring, _here = length(buffer, here)
                self.key_count = keys  # last: it says that both are known
                return
            elif kind == _EOF:
                self.key_count = self.expiring = 0
                return
            else:
                raise Bad("a key before their number")
