# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Certificates in files: a folder for each version, and one link that changes at once.

    PATH/current -> versions/0002          what programs are told to read: PATH/current/tls.crt and so on
    PATH/versions/0001, 0002               tls.crt (with its chain), tls.key, ca.crt, keystore.p12, truststore.p12, version.json
    PATH/requested                         tls.key and tls.csr, while a request waits
    PATH/activated                         number of the version that programs have read, once somebody said so

A version is made under another name and renamed when it is whole, before the link is turned. So what is there under a number
above that of the link was never served, and goes.
"""

from __future__ import annotations

import os
import re
import typing as t

from .._errors import CachingError
from . import cert_disk as disk
from .cert_place import KEY, KEYSTORE, NOTES, OURS, PRIVATE, REQUEST, Contents, Version, back_from, notes

_NUMBER = re.compile(r"[0-9]{4,9}")
_LINK = re.compile(r"versions/([0-9]{4,9})/?")
_SERVES = "; what served before serves on"
_INSTALLED = "; what serves is whole, and the next run does the rest"
CURRENT, VERSIONS, REQUESTED, ACTIVATED = "current", "versions", "requested", "activated"


class Files:
    def __init__(self, params: t.Mapping[str, t.Any]) -> None:
        self.path: str = params["path"].rstrip("/")
        if not os.path.isabs(params["path"]) or not self.path:
            raise CachingError(f"path: {params['path']} is not the absolute path of a folder")
        self.keep: int = params["keep_previous"]
        self.owner = disk.owner(params["owner"], params["group"])
        self.mode = disk.mode(params["mode"])
        self.names = OURS if params["keystore_password"] else OURS[:3]
        self.keystore: str | None = params["keystore_path"]
        if self.keystore and (not os.path.isabs(self.keystore) or self._inside(self.keystore)):
            raise CachingError(f"keystore_path: {self.keystore} must be an absolute path outside of {self.path}, where the link to the keystore goes")

    def _inside(self, path: str) -> bool:
        return os.path.normpath(path).startswith(self.path + "/")

    def _at(self, *parts: str) -> str:
        return os.path.join(self.path, *parts)

    def alone(self) -> t.ContextManager[None]:
        with disk.told("path"):
            disk.folders(self.path, 0o755)
        return disk.alone(self.path, "path")

    # ---- reading

    def read(self) -> Contents:
        with disk.told("path"):
            if not os.path.lexists(self.path):
                return Contents(drift=self._links(None))
            if not os.path.isdir(self.path):
                raise CachingError(f"path: {self.path} is no folder; remove it, or choose another place")
            serving = self._serving()
            numbers = {int(name): name for name in self._names(VERSIONS) if _NUMBER.fullmatch(name)}
            current = self._version(numbers, serving) if serving else None
            older = sorted((number for number in numbers if number < serving), reverse=True)
            asked = {name: content for name in (KEY, REQUEST) if (content := disk.read(self._at(REQUESTED, name))) is not None}
            left = self._left(numbers, serving, older[self.keep:])
            if current and asked and asked.get(KEY) == current.files.get(KEY):
                left.append(REQUESTED)
                asked = {}
            previous = tuple(self._version(numbers, number) for number in older[:self.keep])
            drift = self._drift([numbers[number] for number in (serving, *older[:self.keep]) if number in numbers]) + self._links(current)
            return Contents(current, previous, asked, tuple(left), drift, self._activated())

    def _activated(self) -> int:
        found = (disk.read(self._at(ACTIVATED)) or b"").strip()
        return int(found) if _NUMBER.fullmatch(found.decode("ascii", "replace")) else 0

    def _serving(self) -> int:
        """The number that the link leads to; 0 where there is none yet."""
        link = self._at(CURRENT)
        if not os.path.lexists(link):
            return 0
        found = _LINK.fullmatch(os.readlink(link)) if os.path.islink(link) else None
        if not found:
            raise CachingError(f"path: {link} is no link that this module made; remove it, or choose another folder")
        return int(found[1])

    def _names(self, folder: str) -> list[str]:
        try:
            return sorted(os.listdir(self._at(folder)))
        except FileNotFoundError:
            return []

    def _version(self, numbers: t.Mapping[int, str], number: int) -> Version:
        """Its files; those of a folder that is gone are none, and the policy tells it."""
        folder = self._at(VERSIONS, numbers.get(number, f"{number:04}"))
        names = [name for name in self._names(folder) if not name.startswith(".")]
        files = {name: content for name in names if (content := disk.read(os.path.join(folder, name))) is not None}
        return Version(number, files, back_from(files.pop(NOTES, b"")))

    def _left(self, numbers: t.Mapping[int, str], serving: int, expendable: t.Iterable[int]) -> list[str]:
        names = [f"{VERSIONS}/{name}" for number, name in sorted(numbers.items()) if number > serving or number in set(expendable)]
        names += [f"{VERSIONS}/{name}" for name in self._names(VERSIONS) if name.startswith(".")]
        return names + [name for name in self._names("") if name.startswith((".current", ".requested", ".activated"))]

    def _drift(self, folders: t.Iterable[str]) -> tuple[str, ...]:
        found = []
        for folder in folders:
            place = self._at(VERSIONS, folder)
            found.append(disk.differs(place, 0o755, (-1, -1)))
            found += [disk.differs(os.path.join(place, name), self._mode(name), self.owner) for name in os.listdir(place)]
        return tuple(text for text in found if text)

    def _mode(self, name: str) -> int:
        return self.mode if name in PRIVATE else 0o644

    def _links(self, current: Version | None) -> tuple[str, ...]:
        """The link at keystore_path, where one is wanted."""
        if not self.keystore or current is not None and KEYSTORE not in current.files:
            return ()
        with disk.told("keystore_path"):
            if os.path.islink(self.keystore):
                right = os.readlink(self.keystore) == self._at(CURRENT, KEYSTORE)
                return () if right else (f"{self.keystore} leads elsewhere",)
            if os.path.lexists(self.keystore):
                raise CachingError(f"keystore_path: {self.keystore} is a file that somebody else made; move it away, so that a link can take its place")
        return (f"{self.keystore} is not there yet",)

    # ---- writing

    def install(self, version: Version) -> None:
        with disk.told("path", _SERVES, self.path):
            self._remove_left()
            name = f"{version.number:04}"
            disk.folders(self._at(VERSIONS), 0o755)
            making = self._at(VERSIONS, ".making")
            try:
                self._fill(making, {**version.files, NOTES: notes(version)}, 0o755)
                os.rename(making, self._at(VERSIONS, name))
            except OSError:
                disk.remove(making)
                raise
            disk.sync(self._at(VERSIONS))
            disk.link(f"{VERSIONS}/{name}", self._at(CURRENT), self._at(".current.new"))
        self.tidy()

    def ask(self, files: dict[str, bytes]) -> None:
        with disk.told("path", _SERVES, self.path):
            self._remove_left()
            making = self._at(".requested.making")
            try:
                self._fill(making, files, 0o700)
                if os.path.lexists(self._at(REQUESTED)):
                    os.rename(self._at(REQUESTED), self._at(".requested.old"))
                os.rename(making, self._at(REQUESTED))
            except OSError:
                disk.remove(making)
                raise
            disk.sync(self.path)
            disk.remove(self._at(".requested.old"))

    def mark(self, number: int) -> None:
        with disk.told("path", "", self.path):
            making = self._at(".activated")
            disk.remove(making)
            disk.write(making, f"{number:04}\n".encode(), 0o644)
            os.replace(making, self._at(ACTIVATED))
            disk.sync(self.path)

    def tidy(self) -> None:
        with disk.told("path", _INSTALLED, self.path):
            found = self._remove_left()
            if found.drift and found.current:
                for version in (found.current, *found.previous):
                    place = self._at(VERSIONS, f"{version.number:04}")
                    for name in os.listdir(place):
                        disk.settle(os.path.join(place, name), self._mode(name), self.owner)
                    os.chmod(place, 0o755)
            if self.keystore and found.current and KEYSTORE in found.current.files and self._links(found.current):
                disk.folders(os.path.dirname(self.keystore), 0o755)
                disk.link(self._at(CURRENT, KEYSTORE), self.keystore, self.keystore + ".new")

    def _fill(self, folder: str, files: t.Mapping[str, bytes], mode: int) -> None:
        os.mkdir(folder, 0o700)
        for name, content in files.items():
            disk.write(os.path.join(folder, name), content, self._mode(name), self.owner)
        os.chmod(folder, mode)      # folders are of who runs this: else who owns the files could put others in their place
        disk.sync(folder)

    def _remove_left(self) -> Contents:
        """A version or a request that goes is none from the first moment on."""
        found = self.read()
        for name in found.untidy:
            folder, last = os.path.split(name)
            if not last.startswith("."):
                going = os.path.join(folder, f".{last}.going")
                disk.remove(self._at(going))
                os.rename(self._at(name), self._at(going))
                name = going
            disk.remove(self._at(name))
        return found

    def where(self, version: Version | None) -> dict[str, t.Any]:
        return {"paths": {name: self._at(CURRENT, name) for name in self.names}}
