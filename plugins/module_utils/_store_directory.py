# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""A store in a directory. Every object appears whole or not at all: a temporary file, synced, then linked or renamed."""

from __future__ import annotations

import os
import tempfile
import time
import typing as t

from ._errors import CachingError, one_line
from ._store_port import TEMPORARY, Entry, Reader, Writer, checked, exists, missing


class Directory:
    """The store below ``root``."""

    def __init__(self, root: str) -> None:
        self.root = root

    def put(self, name: str, content: bytes) -> None:
        with _FileWriter(self, name, replace=True) as writer:
            writer.write(content)

    def put_if_absent(self, name: str, content: bytes) -> bool:
        writer = _FileWriter(self, name)
        try:
            with writer:
                writer.write(content)
        except _Exists:
            return False
        return True

    def write(self, name: str) -> Writer:
        return _FileWriter(self, name)

    def get(self, name: str) -> bytes | None:
        return self._read(name, 0, -1)

    def get_range(self, name: str, start: int, length: int) -> bytes | None:
        return self._read(name, start, length)

    def read(self, name: str) -> Reader:
        return _FileReader(self, name)

    def entries(self, prefix: str) -> list[Entry]:
        return [entry for entry in self._files(prefix) if not os.path.basename(entry.name).startswith(TEMPORARY)]

    def delete(self, name: str) -> None:
        self._remove(self.path(name))

    def leftovers(self, prefix: str) -> list[Entry]:
        return [entry for entry in self._files(prefix) if os.path.basename(entry.name).startswith(TEMPORARY)]

    def discard(self, leftover: Entry) -> None:
        folder, _slash, file = leftover.name.rpartition("/")
        if not file.startswith(TEMPORARY):
            raise CachingError(f"{one_line(repr(leftover.name), 80)} is no leftover")
        self._remove(os.path.join(self.path(folder) if folder else self.root, file))

    def path(self, name: str) -> str:
        return os.path.join(self.root, *checked(name))

    def refusal(self, doing: str, error: OSError) -> CachingError:
        return CachingError(f"can't {doing} the store {self.root}: {error.strerror or one_line(error)}")

    def _read(self, name: str, start: int, length: int) -> bytes | None:
        try:
            with open(self.path(name), "rb") as file:
                file.seek(start)
                return file.read(length)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self.refusal("read", error) from None

    def _remove(self, path: str) -> None:
        try:
            os.unlink(path)
        except FileNotFoundError:
            return
        except OSError as error:
            raise self.refusal("delete in", error) from None

    def _files(self, prefix: str) -> list[Entry]:
        folder = self.path(prefix.strip("/")) if prefix.strip("/") else self.root
        found = []
        try:
            now = self._now(folder)
            for path, _folders, files in os.walk(folder, onerror=_raise):
                for file in files:
                    full = os.path.join(path, file)
                    try:
                        status = os.stat(full)
                    except FileNotFoundError:  # deleted while we look
                        continue
                    name = os.path.relpath(full, self.root).replace(os.sep, "/")
                    found.append(Entry(name, status.st_size, max(0.0, now - status.st_mtime)))
        except OSError as error:
            raise self.refusal("read", error) from None
        return sorted(found)

    def _now(self, folder: str) -> float:
        """The clock of the file system that keeps the store (another host's, on a network share)."""
        if not os.path.isdir(folder) or not os.access(folder, os.W_OK):
            return time.time()
        with tempfile.TemporaryFile(dir=folder) as probe:
            return os.fstat(probe.fileno()).st_mtime


class _Exists(CachingError):
    """There is an object of this name."""


class _FileWriter(Writer):
    """A temporary file beside the object, made with the first bytes; ``replace``: another object of this name goes."""

    def __init__(self, store: Directory, name: str, replace: bool = False) -> None:
        super().__init__(name)
        self._store = store
        self._path = store.path(name)
        self._replace = replace
        self._temporary = ""
        self._file: t.BinaryIO | None = None

    def _append(self, data: bytes | memoryview) -> None:
        try:
            self._opened().write(data)
        except OSError as error:
            raise self._store.refusal("write to", error) from None

    def _finish(self) -> None:
        try:
            file = self._opened()
            file.flush()
            os.fsync(file.fileno())
            file.close()
            if self._replace:
                os.replace(self._temporary, self._path)
            else:
                try:
                    os.link(self._temporary, self._path)
                except FileExistsError:
                    raise _Exists(exists(self.name).message) from None
                os.unlink(self._temporary)
            directory = os.open(os.path.dirname(self._path), os.O_RDONLY)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)
        except OSError as error:
            raise self._store.refusal("write to", error) from None

    def _abort(self) -> None:
        try:
            if self._file:
                self._file.close()
        except OSError:  # the last bytes did not fit; they are not wanted
            pass
        try:
            if self._temporary:
                os.unlink(self._temporary)
        except OSError:  # gone, or a leftover
            pass

    def _opened(self) -> t.BinaryIO:
        if self._file is None:
            folder = os.path.dirname(self._path)
            os.makedirs(folder, mode=0o700, exist_ok=True)
            handle, self._temporary = tempfile.mkstemp(prefix=TEMPORARY, dir=folder)
            self._file = os.fdopen(handle, "wb")
        return self._file


class _FileReader(Reader):
    def __init__(self, store: Directory, name: str) -> None:
        self._store = store
        try:
            self._file = open(store.path(name), "rb")
        except FileNotFoundError:
            raise missing(name) from None
        except OSError as error:
            raise store.refusal("read", error) from None
        super().__init__(name, os.fstat(self._file.fileno()).st_size)

    def _take(self, length: int) -> bytes:
        try:
            return self._file.read(length)
        except OSError as error:
            raise self._store.refusal("read", error) from None

    def close(self) -> None:
        self._file.close()


def _raise(error: OSError) -> None:
    """A folder that can't be read is not an empty one."""
    if not isinstance(error, FileNotFoundError):
        raise error
