# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Keys of an RDB into a live cluster of any shape: each by RESTORE, in ready RESP, to the node that owns its slot.

One thread, and a blocking socket for each node: replies are compared as blocks, and looked at one by one only where they are
not all OK. The payload's checksum starts from the type's state and folds the version in by two look-ups.
"""

from __future__ import annotations

import re
import struct
import time
import typing as t
from binascii import crc_hqx
from collections import Counter

from . import _rdb, _topology
from ._errors import CachingError
from ._replay_nodes import Owners
from ._replay_wire import Primary, arguments

_BIG = 1 << 20  # a value that goes by itself, not copied into a block
_DAY = 86400
_NO_EXPIRY = b"\r\n$1\r\n0"
_PACK = struct.Struct("<HQ").pack  # version and checksum, behind each payload


class Checksums:
    """What a payload's checksum is made of: the state after each type's byte, and the table of one byte."""

    def __init__(self) -> None:
        self.after = [_rdb.crc64(bytes([kind])) for kind in range(256)]
        self.folded = [_rdb.crc64(b"\0", state) for state in self.after]

    def footer(self, payload: t.Sequence[bytes], version: int) -> bytes:
        """Version and checksum behind a payload, as DUMP writes them."""
        state = 0
        for part in payload:
            state = _rdb.crc64(part, state)
        told = version.to_bytes(2, "little")
        return told + _rdb.crc64(told, state).to_bytes(8, "little")


class Matcher:
    """Keys by patterns as Redis means them (``*``, ``?``, ``[a-c]``, ``[^a]``, ``\\``); none: all keys."""

    def __init__(self, patterns: t.Sequence[str]) -> None:
        self.match = re.compile(b"|".join(_regex(pattern.encode()) for pattern in patterns), re.DOTALL).fullmatch if patterns else None


def _regex(pattern: bytes) -> bytes:
    result, here = b"", 0
    while here < len(pattern):
        letter = pattern[here : here + 1]
        here += 1
        if letter == b"*":
            result += b".*"
        elif letter == b"?":
            result += b"."
        elif letter == b"[":
            part, here = _class(pattern, here)
            result += part
        else:
            if letter == b"\\" and here < len(pattern):
                letter = pattern[here : here + 1]
                here += 1
            result += re.escape(letter)
    return b"(?:" + result + b")"


def _class(pattern: bytes, here: int) -> tuple[bytes, int]:
    """A class of letters; one that is not closed goes to the end, and an empty one matches nothing (as in Redis)."""
    negated = pattern[here : here + 1] == b"^"
    here += negated
    letters: set[int] = set()
    while here < len(pattern) and pattern[here : here + 1] != b"]":
        if pattern[here : here + 1] == b"\\" and here + 1 < len(pattern):
            here += 1
            letters.add(pattern[here])
        elif pattern[here + 1 : here + 2] == b"-" and here + 2 < len(pattern):
            low, high = sorted((pattern[here], pattern[here + 2]))
            letters.update(range(low, high + 1))
            here += 2
        else:
            letters.add(pattern[here])
        here += 1
    wanted = sorted(set(range(256)) - letters if negated else letters)
    return (b"[" + b"".join(re.escape(bytes([one])) for one in wanted) + b"]" if wanted else b"(?!)"), here + 1


class Replay:
    """One pass of records into the cluster. ``only``: just keys of these slots (what a failover may have lost)."""

    def __init__(
        self, owners: Owners, conflict: str = "fail", patterns: t.Sequence[str] = (), only: t.Collection[int] = (), ahead: float = 0.0
    ) -> None:
        self.owners = owners
        self._matches = Matcher(patterns).match
        self._only = frozenset(only)
        self._ahead = ahead  # the servers' clock before this host's, in seconds
        self._option = b"\r\n$7\r\nREPLACE" if conflict == "replace" else b""
        self._sums = Checksums()
        self._heads: dict[int, bytes] = {}
        self._middles: dict[int, dict[int, bytes]] = {}
        self._soon: Counter[int] = Counter()
        self._horizon = int((time.time() + ahead + _DAY) * 1000)
        self.sent = self.bytes = self.gone = self.left_out = self.skipped = 0

    def feed(self, batch: t.Sequence[_rdb.Record], version: int) -> None:
        """Send a batch of records that come from a file of this version."""
        owner, matches, only, option = self.owners.owner, self._matches, self._only, self._option
        heads, middles, soon, horizon = self._heads, self._middles, self._soon, self._horizon
        calc, after, folded = _rdb.crc64, self._sums.after, self._sums.folded
        plain, timed = 4 + bool(option), 5 + bool(option)
        plain_end, timed_end = option + b"\r\n", b"\r\n$6\r\nABSTTL" + option + b"\r\n"
        now = int((time.time() + self._ahead) * 1000)
        sent = carried = 0
        for kind, key, when, idle, frequency, value in batch:
            place = _topology.slot(key) if b"{" in key else crc_hqx(key, 0) & 16383
            if matches and not matches(key) or only and place not in only:
                self.left_out += 1
                continue
            if when is None:
                words, expiry, end = plain, _NO_EXPIRY, plain_end
            elif when <= now:
                self.gone += 1
                continue
            else:
                if when < horizon:
                    soon[when // 1000] += 1
                told = b"%d" % when
                words, expiry, end = timed, b"\r\n$%d\r\n%b" % (len(told), told), timed_end
            if idle is not None or frequency is not None:
                words += 2
                name, number = (b"IDLETIME", b"%d" % idle) if idle is not None else (b"FREQ", b"%d" % t.cast("int", frequency))
                end = b"\r\n$%d\r\n%b\r\n$%d\r\n%b" % (len(name), name, len(number), number) + end
            size, length = len(value), len(key)
            head = heads.get(length * 16 + words)
            if head is None:
                head = heads[length * 16 + words] = b"*%d\r\n$7\r\nRESTORE\r\n$%d\r\n" % (words, length)
            middle = middles[kind].get(size) if kind in middles else None
            if middle is None:
                middle = b"\r\n$%d\r\n%c" % (size + 11, kind)
                if size < 4096:
                    middles.setdefault(kind, {})[size] = middle
            state = calc(value, after[kind])
            mixed = (state ^ version) & 0xFFFF
            state = folded[mixed & 255] ^ after[mixed >> 8] ^ (state >> 16)
            primary = owner[place]
            if size < _BIG:
                primary.out += (head, key, expiry, middle, value, _PACK(version, state), end)
                primary.waiting += 1
            else:
                self.owners.push(primary, (head, key, expiry, middle), value, (_PACK(version, state), end))
            sent += 1
            carried += size
        self.sent += sent
        self.bytes += carried
        self.owners.flush()

    def functions(self, libraries: t.Sequence[bytes], version: int, conflict: str) -> int:
        """Functions on every primary; how many are there now that were not. The same one again is no conflict."""
        made = 0
        for library in libraries:
            payload = library + self._sums.footer([library], version)
            told = self.owners.everywhere(b"FUNCTION", b"RESTORE", payload, b"REPLACE" if conflict == "replace" else b"APPEND")
            for primary, answer in told:
                if not answer.startswith(b"-"):
                    made = made + 1 if primary is told[0][0] else made
                elif b"already exists" not in answer:
                    raise CachingError(f"{primary.address} does not take a function: {answer[1:].decode('utf-8', 'replace')[:200]}")
                elif conflict == "fail" and not self._known(primary, library):
                    raise CachingError(f"a function of the backup conflicts with one at {primary.address}: {answer[5:].decode('utf-8', 'replace')[:200]}")
        return made

    def _known(self, primary: Primary, library: bytes) -> bool:
        """Whether this very function is there."""
        answer = primary.ask(b"FUNCTION", b"DUMP")
        return library[1:] in answer

    def skip(self, command: bytes) -> None:
        """A key that is left as it was."""
        self.skipped += 1
        second = int(arguments(command)[2]) // 1000
        if second in self._soon:
            self._soon[second] -= 1

    def finish(self) -> None:
        """Wait until every key is answered for, whatever has to be sent again."""
        self.owners.settle()

    def expired(self) -> int:
        """Keys of this pass whose time was over at the last full second, whether they were sent or not."""
        return self.gone + self._over(int(time.time() + self._ahead))

    def passing(self) -> int:
        """Keys that were sent and whose time may have been over when they arrived."""
        return self._over(int(time.time() + self._ahead) + 1)

    def _over(self, second: int) -> int:
        return sum(number for when, number in self._soon.items() if when < second)
