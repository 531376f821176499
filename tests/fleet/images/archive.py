# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Layers and images as files: tar archives that `docker load` and `ctr images import` take, without an engine."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import typing as t
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

# What used to stand in the root stands in /usr; every loader looks for libraries in /usr/lib or /usr/lib64.
MERGED = {"bin": "usr/bin", "sbin": "usr/bin", "lib": "usr/lib", "lib64": "usr/lib", "usr/sbin": "usr/bin", "usr/lib64": "usr/lib"}
LINKS = {"bin": "usr/bin", "sbin": "usr/bin", "lib": "usr/lib", "lib64": "usr/lib", "usr/sbin": "bin", "usr/lib64": "lib"}


class ImageError(Exception):
    """A reason, in one line, why an image could not be made."""


def merged(path: str) -> str:
    """Where a path of an archive or of this machine stands in an image."""
    name = str(PurePosixPath(path)).strip("/")
    for old in sorted(MERGED, key=len, reverse=True):
        if name == old or name.startswith(old + "/"):
            return MERGED[old] + name[len(old):]
    return name


class Layer:
    """A tar file in the making. Every file belongs to root, has no time, and is there once: the first one stays."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._half = path.with_name(f"{path.name}.{os.getpid()}")
        self._tar = tarfile.open(self._half, "w", format=tarfile.GNU_FORMAT)
        self._seen: set[str] = set()

    def __enter__(self) -> Layer:
        return self

    def __exit__(self, failed: type[BaseException] | None, *_rest: object) -> None:
        self._tar.close()
        if failed:
            self._half.unlink()
        else:
            self._half.replace(self.path)

    def _add(self, name: str, kind: bytes, mode: int, *, link: str = "", content: bytes = b"", owner: int = 0) -> None:
        if not name or name in self._seen:
            return
        above = str(PurePosixPath(name).parent)
        if above != ".":
            self._add(above, tarfile.DIRTYPE, 0o755)
        self._seen.add(name)
        info = tarfile.TarInfo(name)
        info.type, info.mode, info.linkname, info.size, info.uid, info.gid = kind, mode, link, len(content), owner, owner
        self._tar.addfile(info, io.BytesIO(content))

    def folder(self, path: str, mode: int = 0o755, owner: int = 0) -> None:
        self._add(merged(path), tarfile.DIRTYPE, mode, owner=owner)

    def file(self, path: str, content: bytes | str, mode: int = 0o644, owner: int = 0) -> None:
        self._add(merged(path), tarfile.REGTYPE, mode, content=content.encode() if isinstance(content, str) else content, owner=owner)

    def link(self, path: str, target: str) -> None:
        self._add(merged(path), tarfile.SYMTYPE, 0o777, link=target)

    def roots(self) -> None:
        """The folders that a program expects, and the links of a merged /usr."""
        for name, target in LINKS.items():
            self._add(name, tarfile.SYMTYPE, 0o777, link=target)
        for name in ("usr/bin", "usr/lib", "etc", "proc", "sys", "dev", "run", "var/lib", "root"):
            self.folder(name)
        self.folder("tmp", 0o1777)

    def tree(self, source: Path, target: str, leave_out: Callable[[Path], bool] = lambda _path: False) -> None:
        """A folder of this machine, in the order of its names."""
        for path in sorted(source.iterdir()):
            if leave_out(path):
                continue
            place = f"{target}/{path.name}"
            if path.is_symlink() and not os.path.isabs(os.readlink(path)):
                self.link(place, os.readlink(path))
            elif path.is_dir():
                self.tree(path, place, leave_out)
            elif path.is_file():
                self.file(place, path.read_bytes(), 0o755 if os.access(path, os.X_OK) else 0o644)

    def archive(self, source: t.IO[bytes], leave_out: Callable[[str], bool]) -> None:
        """What is in another tar file, such as the data of a Debian package."""
        with tarfile.open(fileobj=source, mode="r|*") as other:
            for info in other:
                name = info.name.removeprefix("./").strip("/")
                if leave_out(name) or merged(name) in LINKS.values():
                    continue
                if info.isdir():
                    continue    # folders come with what is in them
                if info.issym():
                    self.link(name, info.linkname)
                elif info.isreg():
                    content = other.extractfile(info)
                    self.file(name, content.read() if content else b"", info.mode)
                else:
                    raise ImageError(f"{name} is neither a file nor a link")


@dataclass(frozen=True)
class Image:
    """An image: names, layers, and what is started in it."""

    name: str
    layers: tuple[Path, ...]
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str = "0"
    labels: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[int, ...] = ()
    folder: str = "/"


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def key_of(*parts: object) -> str:
    """A short name for what these parts decide."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def save(images: Iterable[Image], path: Path) -> None:
    """Write images into one archive; a layer that some share is in it once."""
    found = list(images)
    digests = {layer: digest(layer) for image in found for layer in image.layers}
    half = path.with_name(f"{path.name}.{os.getpid()}")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(half, "w", format=tarfile.GNU_FORMAT) as tar:
        def add(name: str, content: bytes) -> None:
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o644
            tar.addfile(info, io.BytesIO(content))

        for known, path_of in {known: layer for layer, known in digests.items()}.items():
            info = tarfile.TarInfo(f"{known}/layer.tar")
            info.size, info.mode = path_of.stat().st_size, 0o644
            with path_of.open("rb") as file:
                tar.addfile(info, file)
        manifest = []
        for image in found:
            config = json.dumps({
                "architecture": "amd64", "os": "linux", "created": "2026-01-01T00:00:00Z",
                "config": {
                    "Entrypoint": list(image.command), "Env": [f"{key}={value}" for key, value in image.environment.items()],
                    "User": image.user, "WorkingDir": image.folder, "Labels": dict(image.labels),
                    "ExposedPorts": {f"{port}/tcp": {} for port in image.ports},
                },
                "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digests[layer]}" for layer in image.layers]},
                "history": [{"created_by": "exalt.caching trial fleet"} for _layer in image.layers],
            }).encode()
            name = hashlib.sha256(config).hexdigest() + ".json"
            add(name, config)
            manifest.append({"Config": name, "RepoTags": [image.name],
                             "Layers": [f"{digests[layer]}/layer.tar" for layer in image.layers]})
        add("manifest.json", json.dumps(manifest).encode())
    half.replace(path)
