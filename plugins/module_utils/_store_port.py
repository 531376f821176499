# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What every store can do, and what its adapters share.

Names are paths with ``/``. Objects appear whole or not at all and are never changed in place. Times are those of the
store's clock.
"""

from __future__ import annotations

import abc
import hashlib
import re
import typing as t

from ._errors import CachingError, one_line

CHUNK = 1 << 20
_PART = re.compile(r"[A-Za-z0-9_@+=,.:-][A-Za-z0-9_@+=,.: -]*")
TEMPORARY = ".tmp-"


class Entry(t.NamedTuple):
    """An object in the store: ``size`` in bytes, ``age`` in seconds by the store's own clock."""

    name: str
    size: int
    age: float


class Writer(abc.ABC):
    """An object on its way into the store; leaving the ``with`` without an exception makes it appear, else nothing stays.

    ``size`` and ``sha256`` (hex) are those of what was written; the digest is there when the ``with`` was left.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.size = 0
        self.sha256 = ""
        self._digest = hashlib.sha256()

    def write(self, data: bytes | memoryview) -> None:
        self._digest.update(data)
        self.size += len(data) if isinstance(data, (bytes, bytearray)) else data.nbytes
        self._append(data)

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_rest: object) -> None:
        if kind is not None:
            self._abort()
            return
        self.sha256 = self._digest.hexdigest()
        try:
            self._finish()
        except BaseException:
            self._abort()
            raise

    @abc.abstractmethod
    def _append(self, data: bytes | memoryview) -> None: ...

    @abc.abstractmethod
    def _finish(self) -> None:
        """Make the object appear; an error where there is one of this name."""

    @abc.abstractmethod
    def _abort(self) -> None:
        """Leave nothing behind, and raise nothing."""


class Reader(abc.ABC):
    """An object on its way out of the store, in constant memory: chunks of at most 1 MiB, or ``read``. ``size``: of all of it.

    An object that ends before its size is an error, never a short answer.
    """

    def __init__(self, name: str, size: int) -> None:
        self.name = name
        self.size = size
        self._left = size

    def read(self, length: int = CHUNK) -> bytes:
        """The next bytes, at most ``length``; nothing at the end only."""
        wanted = min(length, self._left)
        if wanted <= 0:
            return b""
        data = self._take(wanted)
        if not data:
            raise CachingError(f"{self.name} in the store is cut: {self._left} of its {self.size} bytes did not come")
        self._left -= len(data)
        return data

    def __iter__(self) -> t.Iterator[bytes]:
        while data := self.read(CHUNK):
            yield data

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    @abc.abstractmethod
    def _take(self, length: int) -> bytes:
        """Up to ``length`` bytes; none where the object ends."""

    @abc.abstractmethod
    def close(self) -> None: ...


class Store(t.Protocol):
    """A store. ``get`` gives None where there is no object; ``put_if_absent`` False where there is one.

    ``write`` and ``read`` stream. ``leftovers`` are what failed writes left behind; ``discard`` removes one of them.
    """

    def get(self, name: str) -> bytes | None: ...
    def get_range(self, name: str, start: int, length: int) -> bytes | None: ...
    def put(self, name: str, content: bytes) -> None: ...
    def put_if_absent(self, name: str, content: bytes) -> bool: ...
    def write(self, name: str) -> Writer: ...
    def read(self, name: str) -> Reader: ...
    def entries(self, prefix: str) -> list[Entry]: ...
    def delete(self, name: str) -> None: ...
    def leftovers(self, prefix: str) -> list[Entry]: ...
    def discard(self, leftover: Entry) -> None: ...


def checked(name: str) -> list[str]:
    """The parts of an object's name; an error where it could lead elsewhere."""
    parts = name.split("/")
    if not all(_PART.fullmatch(part) and part not in (".", "..") and not part.startswith(TEMPORARY) for part in parts):
        raise CachingError(f"{one_line(repr(name), 80)} can't be the name of an object in the store")
    return parts


def exists(name: str) -> CachingError:
    return CachingError(f"{name} is in the store already; objects are never replaced")


def missing(name: str) -> CachingError:
    return CachingError(f"there is no {name} in the store")
