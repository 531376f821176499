# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The image of a host: Debian with systemd as process 1, and above it the programs that the fleet's images have too."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.fleet import built, paths
from tests.fleet.images import build as images
from tests.fleet.images.archive import Image, Layer, digest, key_of, save
from tests.fleet.images.catalogue import APPLICATION_USER, REDIS_USER
from tests.fleet.local.processes import FleetError

HERE = Path(__file__).parent
NAME = "exalt/trial-host:1"
SUITE = "bookworm"
PACKAGES = ("systemd,systemd-sysv,dbus,python3,openssh-server,haproxy,procps,iproute2,sudo,logrotate,ca-certificates")
PROGRAM_LAYERS = ("redis", "python", "service-packages", "runner-packages", "application")
OPERATOR = "operator"       # who logs in; everything else goes by sudo
OPERATOR_USER = 1001
MODULES_PYTHON = "/usr/local/bin/python-for-modules"
USERS = {"redis": REDIS_USER, "caching-service": APPLICATION_USER, OPERATOR: OPERATOR_USER}
# They want what a container has not: consoles, time, devices, a kernel's log.
MASKED = (
    "getty.target", "console-getty.service", "systemd-logind.service", "systemd-udevd.service", "systemd-timesyncd.service",
    "systemd-journald-audit.socket", "apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer",
    "fstrim.timer", "dev-hugepages.mount", "sys-kernel-debug.mount", "sys-kernel-tracing.mount", "sys-fs-fuse-connections.mount",
    "systemd-resolved.service", "user@.service", "modprobe@.service",
)


def folder() -> Path:
    return paths.cache() / "systemd"


def _bootstrap(archive: Path) -> None:
    """Debian's own installer for a folder, out of its package."""
    print("fleet: making the file system of a host (once; about a minute)", file=sys.stderr, flush=True)
    tools = built.unpacked(folder() / "tools", ("debootstrap", "debian-archive-keyring"), {})
    half = archive.with_name(f"{archive.name}.half")
    environment = {**os.environ, "DEBOOTSTRAP_DIR": str(tools / "usr/share/debootstrap"), "LC_ALL": "C",
                   "PATH": f"{tools / 'usr/sbin'}:{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}
    keyring = tools / "usr/share/keyrings/debian-archive-keyring.gpg"
    command = ["unshare", "--mount", "nice", "-n", "15", "sh", str(HERE / "bootstrap.sh"), str(folder() / "work"), SUITE, PACKAGES, str(half)]
    log = folder() / "bootstrap.log"
    with log.open("w") as out:
        done = subprocess.run(command, env={**environment, "DEBOOTSTRAP_KEYRING": str(keyring)}, stdout=out, stderr=out,
                              stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        said = log.read_text("utf-8", "replace").strip().splitlines()
        raise FleetError(f"debootstrap failed: {said[-1] if said else done.returncode} (all of it: {log})")
    shutil.rmtree(folder() / "work" / "files", ignore_errors=True)
    half.replace(archive)


def _settings(layer: Layer) -> None:
    """Users, units and who may log in. Keys and what differs between hosts is put in when a host is started."""
    for path in sorted((HERE / "content").rglob("*")):
        if path.is_file():
            place = path.relative_to(HERE / "content").as_posix()
            layer.file(place, path.read_bytes(), 0o440 if "sudoers.d" in place else 0o755 if path.suffix == ".sh" else 0o644)
    layer.file("etc/sysusers.d/fleet.conf", "".join(f"u {name} {number} - /home/{name} /bin/sh\n" for name, number in USERS.items()))
    # for modules that need libraries: the Python of the images with those of the runner
    layer.file(MODULES_PYTHON.removeprefix("/"), '#!/bin/sh\nPYTHONHOME=/opt/python PYTHONPATH=/opt/site exec /opt/python/bin/python3 "$@"\n', 0o755)
    for unit in MASKED:
        layer.link(f"etc/systemd/system/{unit}", "/dev/null")
    layer.folder("etc/caching-service")
    layer.folder("etc/redis")


def _made(name: str, key: str, make: Callable[[Path], None]) -> Path:
    path = folder() / f"{name}-{key}.tar"
    if not path.exists():
        for old in folder().glob(f"{name}-*.tar"):
            old.unlink()
        make(path)
    return path


def _settings_layer(path: Path) -> None:
    with Layer(path) as layer:
        _settings(layer)


def build() -> Path:
    """The archive for `docker load`, made where it is missing; one build at a time."""
    images.build()
    folder().mkdir(parents=True, exist_ok=True)
    with (folder() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        root = _made("rootfs", key_of(SUITE, PACKAGES, digest(HERE / "bootstrap.sh")), _bootstrap)
        content = [digest(path) for path in sorted((HERE / "content").rglob("*")) if path.is_file()]
        settings = _made("settings", key_of(content, digest(Path(__file__))), _settings_layer)
        programs = [next((images.folder() / "layers").glob(f"{name}-*.tar")) for name in PROGRAM_LAYERS]
        layers = (root, *programs, settings)
        image = Image(NAME, layers, ("/lib/systemd/systemd",), {"container": "docker"})
        return _made("host", key_of([str(path) for path in layers], digest(Path(__file__))), lambda path: save([image], path))
