# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The store: one small port for everything that is kept outside of the fleet (records, locks, backups), and its directory adapter.

Names are paths with ``/``; objects are written once and never changed in place. Times are those of the store's clock.
"""

from __future__ import annotations

import os
import re
import tempfile
import time
import typing as t
from urllib.parse import unquote, urlsplit

from ._errors import CachingError, one_line

_PART = re.compile(r"[A-Za-z0-9_@+=,.:-][A-Za-z0-9_@+=,.: -]*")


class Entry(t.NamedTuple):
    """An object in the store: ``size`` in bytes, ``age`` in seconds by the store's own clock."""

    name: str
    size: int
    age: float


class Store(t.Protocol):
    """What every store can do. ``get`` gives None where there is no object; ``put_if_absent`` False where there is one."""

    def put(self, name: str, content: bytes) -> None: ...
    def put_if_absent(self, name: str, content: bytes) -> bool: ...
    def get(self, name: str) -> bytes | None: ...
    def entries(self, prefix: str) -> list[Entry]: ...
    def delete(self, name: str) -> None: ...


def open_store(params: t.Mapping[str, t.Any]) -> Store:
    """The store behind the options of the fragment ``store``."""
    url = params.get("store_url") or ""
    if not url:
        raise CachingError("store_url: give a store, such as file:///var/lib/exalt-caching")
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme == "file" and parts.netloc in ("", "localhost") and len(parts.path) > 1 and "\0" not in unquote(parts.path):
        return Directory(unquote(parts.path))
    raise CachingError(f"store_url: {one_line(repr(url.rsplit('@', 1)[-1]), 80)} is not a store; use file:///directory")


class Directory:
    """A store in a directory. Every object appears whole or not at all: a temporary file, synced, then linked or renamed."""

    def __init__(self, root: str) -> None:
        self.root = root

    def put(self, name: str, content: bytes) -> None:
        self._place(name, content, replace=True)

    def put_if_absent(self, name: str, content: bytes) -> bool:
        return self._place(name, content, replace=False)

    def get(self, name: str) -> bytes | None:
        try:
            with open(self._path(name), "rb") as file:
                return file.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._refusal("read", error) from None

    def entries(self, prefix: str) -> list[Entry]:
        folder = self._path(prefix.strip("/")) if prefix.strip("/") else self.root
        found = []
        try:
            now = self._now(folder)
            for path, _folders, files in os.walk(folder):
                for file in files:
                    full = os.path.join(path, file)
                    try:
                        status = os.stat(full)
                    except FileNotFoundError:  # deleted while we look
                        continue
                    if not file.startswith(".tmp-"):
                        found.append(Entry(os.path.relpath(full, self.root).replace(os.sep, "/"), status.st_size, max(0.0, now - status.st_mtime)))
        except OSError as error:
            raise self._refusal("read", error) from None
        return sorted(found)

    def delete(self, name: str) -> None:
        try:
            os.unlink(self._path(name))
        except FileNotFoundError:
            return
        except OSError as error:
            raise self._refusal("delete in", error) from None

    def _now(self, folder: str) -> float:
        """The clock of the file system that keeps the store (another host's, on a network share)."""
        if not os.path.isdir(folder) or not os.access(folder, os.W_OK):
            return time.time()
        with tempfile.TemporaryFile(dir=folder) as probe:
            return os.fstat(probe.fileno()).st_mtime

    def _place(self, name: str, content: bytes, replace: bool) -> bool:
        """Whether the object is there now by this call; without ``replace`` another one stays as it is."""
        path = self._path(name)
        folder = os.path.dirname(path)
        temporary = ""
        try:
            os.makedirs(folder, mode=0o700, exist_ok=True)
            handle, temporary = tempfile.mkstemp(prefix=".tmp-", dir=folder)
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            if replace:
                os.replace(temporary, path)
            else:
                try:
                    os.link(temporary, path)
                except FileExistsError:
                    return False
            directory = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)
            return True
        except OSError as error:
            raise self._refusal("write to", error) from None
        finally:
            if temporary and os.path.exists(temporary):
                os.unlink(temporary)

    def _path(self, name: str) -> str:
        parts = name.split("/")
        if not all(_PART.fullmatch(part) and part not in (".", "..") and not part.startswith(".tmp-") for part in parts):
            raise CachingError(f"{one_line(repr(name), 80)} can't be the name of an object in the store")
        return os.path.join(self.root, *parts)

    def _refusal(self, doing: str, error: OSError) -> CachingError:
        return CachingError(f"can't {doing} the store {self.root}: {error.strerror or one_line(error)}")
