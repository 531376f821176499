# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The RDB of one shard as a file on this host (S122): beside its place, synced, read once more, then renamed (H45)."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import stat
import typing as t

from .. import _rdb
from .._errors import CachingError, one_line
from .._store import Store
from .restore_set import choose

_PIECE = 1 << 20


class File:
    """The file of ``slots`` at ``path``. The backup is read to its end once before anything is written."""

    def __init__(self, params: t.Mapping[str, t.Any], store: Store, warn: t.Callable[[str], None]) -> None:
        self.path, self.slots, self.warn = params["path"], params["slots"].strip(), warn
        unfit = [name for name in ("patterns", "flush") if params[name]] + ["on_conflict"] * (params["on_conflict"] != "fail")
        if unfit:
            raise CachingError(f"{', '.join(unfit)}: only for mode replay; a file replaces all that the shard holds")
        self.backup = choose(store, params, params["id"])
        found = [source for source in self.backup.sources if source.name == self.slots]
        if not found:
            known = ", ".join(source.name for source in self.backup.sources)
            raise CachingError(f"slots: the backup {self.backup.id} has no shard {one_line(self.slots, 40)}; it has {known}")
        self.source = found[0]
        self.changed = False
        self.plan: dict[str, t.Any] = {}
        self.diff: dict[str, t.Any] = {}

    def prepare(self) -> None:
        """The digest of the plain file, its structure, and whether it is there already."""
        folder = os.path.dirname(self.path) or "."
        if not os.path.isdir(folder):
            raise CachingError(f"path: there is no folder {folder} on the host where this module runs")
        if os.path.isdir(self.path):
            raise CachingError(f"path: {self.path} is a folder")
        self.digest, size, summary = self._read(None)
        before = _digest(self.path)
        self.changed = before != self.digest
        free = os.statvfs(folder)
        if self.changed and size > free.f_bavail * free.f_frsize:
            raise CachingError(f"path: {folder} has {free.f_bavail * free.f_frsize} bytes free, and the file has {size}; nothing was written")
        self.plan = {
            "backup": self.backup.id, "taken": self.backup.taken, "mode": "file", "key_count": summary.key_count, "bytes": size,
            "functions": summary.functions, "sources": [self.source.name], "into": [{"node": self.path}], "lost": 0, "resumes": False,
        }
        self.diff = {"before": {"sha256": before}, "after": {"sha256": self.digest}}

    def _read(self, into: t.BinaryIO | None) -> tuple[str, int, _rdb.Summary]:
        told, size = hashlib.sha256(), 0
        with self.source.open() as read:
            def passed_on(wanted: int) -> bytes:
                nonlocal size
                part = read(wanted)
                told.update(part)
                size += len(part)
                if into:
                    into.write(part)
                return part

            summary = _rdb.summary(passed_on, _PIECE)
        return told.hexdigest(), size, summary

    def act(self) -> dict[str, t.Any]:
        """Write it beside its place; it gets there whole or not at all."""
        folder, name = os.path.split(self.path)
        temporary = os.path.join(folder, f".{name}.restoring")   # the same each time: what a killed run left is written over
        try:
            with _alone(temporary, self.path) as file:
                try:
                    _like(file, self.path if os.path.exists(self.path) else folder or ".")
                    self._read(file)
                    file.flush()
                    os.fsync(file.fileno())
                    if _digest(temporary) != self.digest:
                        raise CachingError(f"path: what was written to {folder} is not what was read; {self.path} is as it was")
                    os.rename(temporary, self.path)
                except BaseException:
                    with contextlib.suppress(OSError):
                        os.unlink(temporary)
                    raise
            place = os.open(folder or ".", os.O_RDONLY)
            try:
                os.fsync(place)
            finally:
                os.close(place)
        except OSError as error:
            raise CachingError(f"path: {self.path} can't be written ({error.strerror}); it is as it was") from None
        return {"verified": True}


@contextlib.contextmanager
def _alone(temporary: str, path: str) -> t.Iterator[t.BinaryIO]:
    """The temporary file, empty, for this run only: a run that was killed holds it no more, one that works does."""
    file = os.fdopen(os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600), "r+b")
    with file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:   # who owns the folder may have linked another's file here
            raise CachingError(f"path: {temporary} is no file of a restore; remove it. {path} is as it was")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            mine = os.path.samestat(os.fstat(file.fileno()), os.stat(temporary))
        except (BlockingIOError, FileNotFoundError):
            mine = False
        if not mine:
            raise CachingError(f"path: another restore writes {path} at this moment; it was left alone")
        file.truncate(0)
        yield file


def _like(file: t.BinaryIO, other: str) -> None:
    """Owner and mode of the file that is replaced; a new one belongs to its folder's owner, who alone may read and write it."""
    status = os.stat(other)
    os.fchmod(file.fileno(), status.st_mode & 0o777 if stat.S_ISREG(status.st_mode) else 0o600)
    with contextlib.suppress(PermissionError):
        os.fchown(file.fileno(), status.st_uid, status.st_gid)


def _digest(path: str) -> str | None:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CachingError(f"path: {path} can't be read ({error.strerror})") from None
