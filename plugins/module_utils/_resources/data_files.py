# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The files of a node of Redis that is stopped: set aside, another dump in their place, and back again (H40 to H45).

What is set aside is renamed in its folder and never written to. A mark beside it, written before the first rename, says what there
was, so that a run that was killed anywhere is finished, or taken back, by the next one. The restored dump may have been put beside
its place while the node still ran, as ``<dump>.staged-<operation>``; it becomes the BASE of an
append-only file where the node has one: a folder that is made beside its place and renamed as a whole, so whatever starts the
node loads the wanted data or none of it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import stat
import typing as t

from .._errors import CachingError, one_line

_PLAIN = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_SERVERS = re.compile(r"redis|valkey|keydb")


class Names(t.NamedTuple):
    """What the node's settings say: its dump, and the folder and the first part of the name of its append-only files."""

    dump: str
    appends: bool
    folder: str
    prefix: str

    @property
    def base(self) -> str:
        return f"{self.prefix}.1.base.rdb"

    @property
    def manifest(self) -> str:
        return f"{self.prefix}.manifest"

    @property
    def all(self) -> list[str]:
        return [self.folder, self.dump]


class Data:
    """The data folder ``path`` of one node, in the operation of this name."""

    def __init__(self, path: str, names: Names, operation: str, look: bool) -> None:
        for option, value in (("operation", operation), ("dbfilename", names.dump), ("appenddirname", names.folder), ("appendfilename", names.prefix)):
            if not _PLAIN.fullmatch(value) or value in (".", ".."):
                raise CachingError(f"{option}: {one_line(repr(value), 60)} is no plain name of a file")
        if not os.path.isdir(path):
            raise CachingError(f"path: there is no folder {path} on the host where this module runs")
        self.path, self.names, self.operation, self.look = os.path.realpath(path), names, operation, look
        self.changed = False

    # ---- what there is

    def aside(self) -> list[dict[str, t.Any]]:
        """What lies aside for this operation."""
        found = [name for name in self.names.all if os.path.lexists(self._kept(name))]
        return [{"name": f"{name}.before-{self.operation}", "bytes": _size(self._kept(name))} for name in found]

    def free(self) -> int:
        seen = os.statvfs(self.path)
        return seen.f_bavail * seen.f_frsize

    def busy(self) -> list[int]:
        """Processes that work in this folder: a server is in it, or something has a file of it open."""
        mine = {(one.st_dev, one.st_ino) for one in self._files()}
        here = os.stat(self.path)
        found = []
        for number in (entry for entry in os.listdir("/proc") if entry.isdigit() and int(entry) != os.getpid()) if os.path.isdir("/proc") else ():
            with contextlib.suppress(OSError):   # it has ended, or is another user's
                if os.path.samestat(os.stat(f"/proc/{number}/cwd"), here) and _SERVERS.search(_command(number)):
                    found.append(int(number))
                    continue
                for entry in os.listdir(f"/proc/{number}/fd"):
                    with contextlib.suppress(OSError):
                        one = os.stat(f"/proc/{number}/fd/{entry}")
                        if (one.st_dev, one.st_ino) in mine:
                            found.append(int(number))
                            break
        return found

    def _files(self) -> t.Iterator[os.stat_result]:
        for folder in (self.path, self._place(self.names.folder)):
            with contextlib.suppress(OSError):
                for entry in os.scandir(folder):
                    if entry.is_file(follow_symlinks=False):
                        yield entry.stat()

    def _place(self, name: str) -> str:
        return os.path.join(self.path, name)

    def _kept(self, name: str) -> str:
        return self._place(f"{name}.before-{self.operation}")

    @property
    def _staged(self) -> str:
        """Where the dump waits while the node still runs."""
        return self._place(f"{self.names.dump}.staged-{self.operation}")

    def staged(self) -> int | None:
        """Bytes of the dump that waits there, if one does."""
        return os.path.getsize(self._staged) if os.path.isfile(self._staged) and not os.path.islink(self._staged) else None

    @property
    def _mark(self) -> str:
        return self._place(f".before-{self.operation}.json")

    def _marked(self) -> dict[str, t.Any] | None:
        try:
            with open(self._mark, encoding="utf-8") as file:
                found = json.load(file)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise CachingError(f"path: {self._mark} can't be read ({one_line(error, 80)})") from None
        if not isinstance(found, dict) or not isinstance(found.get("names"), list):
            raise CachingError(f"path: {self._mark} is not what was written")
        return found

    # ---- what is done

    def set_aside(self, room: int) -> None:
        """The node has no data now; what it had lies beside its place."""
        if (free := self.free()) + (self.staged() or 0) < room:
            raise CachingError(f"path: {self.path} has {free} bytes free, and {room} are needed")
        mark = self._marked()
        if mark is None or mark.get("back"):
            mark = {"names": mark["names"] if mark else [name for name in self.names.all if os.path.lexists(self._place(name))]}
            self._write(mark)
        for name in self.names.all:
            if name in mark["names"] and not os.path.lexists(self._kept(name)):
                if not os.path.lexists(self._place(name)):
                    raise CachingError(f"path: {self._place(name)} was there and is gone, and it does not lie aside")
                self._do(os.rename, self._place(name), self._kept(name))
            else:
                self._remove(self._place(name))     # of a node that was started meanwhile, or of this operation
        self._settle()

    def place(self, sha256: str | None) -> None:
        """The dump that was put in its place is what the node loads, whether it has an append-only file or not."""
        if self._marked() is None and not self.look:
            raise CachingError(f"path: nothing was set aside in {self.path} by the operation {self.operation}; that comes first")
        dump = self._place(self.names.dump)
        found = dump if self.staged() is None else self._staged
        if not os.path.isfile(found) or os.path.islink(found):
            if self.look:
                return
            raise CachingError(f"path: there is no {dump}; put it there first (redis_restore with mode file)")
        if sha256 and _digest(found) != sha256:
            raise CachingError(f"path: {found} is not the file that is wanted: its digest is another")
        if found != dump:
            self._do(os.rename, found, dump)
            if self.look:
                return
        self._owned(dump)
        if not self.names.appends:
            self._remove(self._place(self.names.folder))
        elif not self._is_base(dump):
            self._base(dump)
        self._settle()

    def _is_base(self, dump: str) -> bool:
        """Whether the append-only file is that dump and nothing else."""
        folder = self._place(self.names.folder)
        try:
            with open(os.path.join(folder, self.names.manifest), encoding="utf-8") as file:
                return (file.read() == self._text() and sorted(os.listdir(folder)) == sorted([self.names.base, self.names.manifest])
                        and os.path.samefile(os.path.join(folder, self.names.base), dump))
        except (OSError, ValueError):
            return False

    def _text(self) -> str:
        return f"file {self.names.base} seq 1 type b\n"

    def _base(self, dump: str) -> None:
        folder = self._place(self.names.folder)
        half = self._place(f".{self.names.folder}.placing-{self.operation}")
        self._remove(half)
        self._do(os.mkdir, half, 0o700)
        self._do(_linked, dump, os.path.join(half, self.names.base))    # no server writes to a BASE or to a dump: it replaces them
        self._do(_written, os.path.join(half, self.names.manifest), self._text())
        if not self.look:
            os.chmod(half, stat.S_IMODE(os.stat(self.path).st_mode) & 0o777)
            os.chmod(os.path.join(half, self.names.manifest), stat.S_IMODE(os.stat(dump).st_mode))
            for one in (half, os.path.join(half, self.names.manifest)):
                self._owned(one)
            _synced(half)
        self._remove(folder)
        self._do(os.rename, half, folder)

    def back(self) -> None:
        """What was set aside is in its place again, and what came instead of it is gone."""
        mark = self._marked()
        for left in self._left:
            self._remove(left)
        if mark is None:
            self._settle()
            return
        if not mark.get("back"):
            for name in set(self.names.all) - set(mark["names"]):
                self._remove(self._place(name))
            self._write({**mark, "back": True})
        for name in mark["names"]:
            if os.path.lexists(self._kept(name)):
                self._remove(self._place(name))
                self._do(os.rename, self._kept(name), self._place(name))
        self._remove(self._mark)
        self._settle()

    def drop(self) -> None:
        """What lies aside is deleted."""
        for place in [self._kept(name) for name in self.names.all] + self._left:
            self._remove(place)
        self._remove(self._mark)
        self._settle()

    # ---- how

    @property
    def _left(self) -> list[str]:
        """What runs that were killed may have left."""
        staged = os.path.basename(self._staged)
        names = (f".{self.names.folder}.placing-{self.operation}", f".{self.names.dump}.restoring", f".{staged}.restoring", staged)
        return [self._place(name) for name in names]

    def _do(self, act: t.Callable[..., t.Any], *given: t.Any) -> None:
        self.changed = True
        if not self.look:
            act(*given)

    def _remove(self, place: str) -> None:
        if os.path.lexists(place):
            self._do(shutil.rmtree if os.path.isdir(place) and not os.path.islink(place) else os.unlink, place)

    def _write(self, mark: dict[str, t.Any]) -> None:
        def written() -> None:
            _written(f"{self._mark}.half", json.dumps(mark))
            os.rename(f"{self._mark}.half", self._mark)
            _synced(self.path)

        self._do(written)

    def _owned(self, place: str) -> None:
        """It belongs to the owner of the folder."""
        theirs, mine = os.stat(self.path), os.stat(place)
        if (theirs.st_uid, theirs.st_gid) != (mine.st_uid, mine.st_gid):
            with contextlib.suppress(PermissionError):
                self._do(os.chown, place, theirs.st_uid, theirs.st_gid)

    def _settle(self) -> None:
        if self.changed and not self.look:
            _synced(self.path)


def _command(number: str) -> str:
    with open(f"/proc/{number}/comm", encoding="utf-8", errors="replace") as file:
        return file.read()


def _size(place: str) -> int:
    seen = os.lstat(place)
    if not stat.S_ISDIR(seen.st_mode):
        return seen.st_size
    return sum(entry.stat(follow_symlinks=False).st_size for entry in os.scandir(place))


def _linked(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:     # a file system without links
        shutil.copy2(source, target)
        with open(target, "rb") as file:
            os.fsync(file.fileno())
        seen = os.stat(source)
        with contextlib.suppress(PermissionError):
            os.chown(target, seen.st_uid, seen.st_gid)


def _written(place: str, text: str) -> None:
    with open(place, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _synced(folder: str) -> None:
    place = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(place)
    finally:
        os.close(place)


def _digest(place: str) -> str:
    with open(place, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
