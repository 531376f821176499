# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""One node that a replay writes to: commands in ready RESP, what is not answered yet, and replies compared as blocks."""

from __future__ import annotations

import re
import socket
import typing as t
from collections import deque

_OK = b"+OK\r\n"
_PIECE = 1 << 16
_OKS = _OK * (_PIECE // len(_OK) + 2)
Part = t.Union[bytes, memoryview]


class Block:
    """Commands that were sent together. ``again``: some of them may have been done already."""

    def __init__(self, parts: list[Part], number: int, again: bool = False) -> None:
        self.parts, self.number, self.again = parts, number, again
        self.size = sum(len(part) for part in parts)
        self.answered = 0
        self._commands: list[bytes] = []

    def rest(self) -> list[bytes]:
        """The commands that are not answered."""
        self._commands = self._commands or commands(b"".join(self.parts))
        return self._commands[self.answered :]


class Primary:
    """One node: what is to be sent to it, what it has not answered, and its socket."""

    def __init__(self, address: str, plug: t.Callable[[str], socket.socket]) -> None:
        self.address = address
        self.out: list[Part] = []
        self.waiting = 0  # commands in out
        self.blocks: deque[Block] = deque()
        self.unanswered = self.bytes = 0
        self._plug = plug
        self._socket: socket.socket | None = None
        self._phase = 0  # how much of an +OK that is not whole was seen
        self._rest = b""  # or of another line

    @property
    def socket(self) -> socket.socket:
        if self._socket is None:
            self._socket = self._plug(self.address)
        return self._socket

    def send(self, block: Block) -> None:
        self.blocks.append(block)
        self.unanswered += block.number
        self.bytes += block.size
        for part in block.parts:
            self.socket.sendall(part)

    def receive(self) -> list[tuple[bytes, bytes, bool]]:
        """Read some replies. Those that are not OK come back, with their commands and whether these were sent before."""
        data = self.socket.recv(_PIECE)
        if not data:
            raise ConnectionError("it closed the connection")
        if not self._rest and data == _OKS[self._phase : self._phase + len(data)]:
            number, self._phase = divmod(self._phase + len(data), len(_OK))
            self._answered(number)
            return []
        *lines, rest = (self._rest + _OK[: self._phase] + data).split(b"\r\n")
        self._phase, self._rest = (len(rest), b"") if _OK.startswith(rest) else (0, rest)
        told = []
        for line in lines:
            if line != b"+OK" and self.blocks:
                block = self.blocks[0]
                told.append((line, block.rest()[0], block.again))
            self._answered(1)
        return told

    def _answered(self, number: int) -> None:
        self.unanswered -= number
        while number and self.blocks:
            block = self.blocks[0]
            left = block.number - block.answered
            if number < left:
                block.answered += number
                return
            self.blocks.popleft()
            self.bytes -= block.size
            number -= left

    def drop(self) -> list[bytes]:
        """Forget the connection; what it has not answered."""
        left = [command for block in self.blocks for command in block.rest()]
        self.close()
        self.blocks.clear()
        self.unanswered = self.bytes = self._phase = 0
        self._rest = b""
        return left

    def ask(self, *words: bytes) -> bytes:
        """One command and its answer, whatever its form, while nothing else is on its way."""
        self.socket.sendall(command(*words))
        data = b""
        while True:
            line, found, rest = data.partition(b"\r\n")
            if found and line[:1] != b"$":
                return line
            if found and len(rest) >= max(0, int(line[1:])) + 2 * (line != b"$-1"):
                return rest[:-2]
            more = self.socket.recv(_PIECE)
            if not more:
                raise ConnectionError("it closed the connection")
            data += more

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def command(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


_COUNT = re.compile(rb"[*$](\d+)\r\n")


def _words(data: bytes, here: int) -> tuple[list[tuple[int, int]], int]:
    """Where the words of the command at ``here`` are, and where it ends."""
    found = t.cast("re.Match[bytes]", _COUNT.match(data, here))
    here, places = found.end(), []
    for _word in range(int(found[1])):
        found = t.cast("re.Match[bytes]", _COUNT.match(data, here))
        here = found.end() + int(found[1]) + 2
        places.append((found.end(), here - 2))
    return places, here


def commands(data: bytes) -> list[bytes]:
    """Commands one by one; they are our own, so they are right."""
    result, here = [], 0
    while here < len(data):
        _places, end = _words(data, here)
        result.append(data[here:end])
        here = end
    return result


def arguments(data: bytes) -> list[bytes]:
    return [data[first:last] for first, last in _words(data, 0)[0]]
