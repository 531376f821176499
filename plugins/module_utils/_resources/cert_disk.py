# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Small steps on a disk that are done or not done: a file that is there whole, a link that changes at once, one run at a time."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import grp
import os
import pwd
import shutil
import stat
import typing as t

from .._errors import CachingError, one_line
from .._wait import Deadline

_PATIENCE = 60.0      # s for which another run may work in the same folder


@contextlib.contextmanager
def told(option: str, consequence: str = "", place: str = "") -> t.Iterator[None]:
    """An error of the system as one clear line. ``place`` is named where the system names none."""
    try:
        yield
    except OSError as error:
        named = error.filename if isinstance(error.filename, str) else place
        where = f"{named}: " if named else ""
        raise CachingError(f"{option}: {where}{error.strerror or one_line(error)}{consequence}") from None


@contextlib.contextmanager
def alone(folder: str, option: str) -> t.Iterator[None]:
    """The folder for this run only; the lock ends with the process that has it, however that ends."""
    with told(option):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        deadline = Deadline(_PATIENCE)
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                    raise CachingError(f"{option}: {folder} can't be locked ({error.strerror})") from None
            if deadline.over:
                raise CachingError(f"{option}: another run works in {folder} for longer than {_PATIENCE:.0f} s; nothing was done")
            deadline.pause(0.1)
        yield
    finally:
        os.close(handle)


def folders(path: str, mode: int) -> None:
    """The folder and those above it; only what is new gets the mode."""
    if os.path.isdir(path):
        return
    parent = os.path.dirname(path)
    if parent and parent != path:
        folders(parent, 0o755)
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, mode)
        os.chmod(path, mode)
        sync(parent or ".")


def write(path: str, content: bytes, mode: int, owner: tuple[int, int] = (-1, -1)) -> None:
    """A new file, whole and on the disk. Its mode opens up only once it has its owner."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        _settle(handle, mode, owner)
        file.flush()
        os.fsync(handle)


def _settle(handle: int, mode: int, owner: tuple[int, int]) -> None:
    if owner != (-1, -1):
        os.fchown(handle, *owner)
    os.fchmod(handle, mode)


def settle(path: str, mode: int, owner: tuple[int, int]) -> None:
    """Owner and mode of a file that is one: nobody gets those of another file by a link that he put in its place."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            raise CachingError(f"path: {path} is no file that this module made; remove it")
        _settle(handle, mode, owner)
    finally:
        os.close(handle)


def sync(folder: str) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def link(target: str, path: str, temporary: str) -> None:
    """``path`` leads to ``target`` from one moment to the next."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary)
    os.symlink(target, temporary)
    os.replace(temporary, path)
    sync(os.path.dirname(path))


def read(path: str) -> bytes | None:
    """A file's content, None where there is none."""
    try:
        with open(path, "rb") as file:
            return file.read(1 << 20)
    except FileNotFoundError:
        return None


def remove(path: str) -> None:
    """A file, or a folder of files."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def owner(user: str | None, group: str | None) -> tuple[int, int]:
    """Numbers of a user and a group; -1 leaves as it is."""
    def number(name: str | None, option: str, find: t.Callable[[str], int]) -> int:
        if name is None:
            return -1
        try:
            return int(name) if name.isdigit() else find(name)
        except KeyError:
            raise CachingError(f"{option}: {one_line(repr(name), 60)} does not exist on the host where this module runs") from None

    return number(user, "owner", lambda name: pwd.getpwnam(name).pw_uid), number(group, "group", lambda name: grp.getgrnam(name).gr_gid)


def differs(path: str, mode: int, wanted: tuple[int, int]) -> str:
    """How owner or mode of a file are not as declared."""
    status = os.lstat(path)
    if stat.S_ISLNK(status.st_mode):
        return f"{path} is a link"
    if stat.S_IMODE(status.st_mode) != mode:
        return f"{path} has mode {stat.S_IMODE(status.st_mode):04o}, declared is {mode:04o}"
    for what, have, want in (("owner", status.st_uid, wanted[0]), ("group", status.st_gid, wanted[1])):
        if want not in (-1, have):
            return f"{path} has the {what} {have}, declared is {want}"
    return ""


def mode(text: str) -> int:
    """The mode of private keys; others never read them, and the group never writes."""
    try:
        found = int(text, 8)
    except ValueError:
        found = -1
    if found < 0 or found & ~0o640 or not found & 0o400:
        raise CachingError(f'mode: {one_line(repr(text), 40)} is no mode of a private key; use "0600", "0640", "0400" or "0440", in quotes')
    return found
