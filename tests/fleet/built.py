# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs of a trial fleet in the cache folder: built from Go modules or taken out of Debian packages, never installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.fleet import paths
from tests.fleet.images import debian
from tests.fleet.images.archive import key_of
from tests.fleet.local.processes import FleetError

OURS_NOT = re.compile(r"^(libc6|libgcc-s1|libc-bin|gcc-.*)_")     # the machine's own go with its loader


def go(work: Path, *arguments: str) -> str:
    """Run go with its caches in the cache folder, and without taking the machine away from others."""
    if not shutil.which("go"):
        raise FleetError("go is not on PATH: this fleet's programs are built from Go modules (https://go.dev/dl)")
    environment = {**os.environ, "GOFLAGS": "-modcacherw -buildvcs=false", "GOGC": "400", "GOCACHE": str(paths.cache() / "go/build"),
                   "GOMODCACHE": str(paths.cache() / "go/mod"), "GOTOOLCHAIN": "local", "GO111MODULE": "on"}
    environment.setdefault("HOME", str(paths.cache()))
    with (work / "build.log").open("a") as log:
        done = subprocess.run(["nice", "-n", "15", "go", *arguments], cwd=work, env=environment, text=True,
                              stdout=subprocess.PIPE, stderr=log, check=False)
    if done.returncode:
        lines = (work / "build.log").read_text("utf-8", "replace").strip().splitlines()
        raise FleetError(f"go {arguments[0]} failed: {lines[-1] if lines else done.returncode} (all of it: {work / 'build.log'})")
    return done.stdout


def unpacked(folder: Path, packages: tuple[str, ...], links: Mapping[str, str]) -> Path:
    """Debian packages and the libraries that they need, unpacked below `folder`; `links` are names to add in `links/`."""
    target = folder / f"debian-{key_of(packages, links)}"
    if target.exists():
        return target
    print(f"fleet: unpacking {', '.join(packages)}", file=sys.stderr, flush=True)
    half = folder / "debian.half"
    for old in (half, *folder.glob("debian-*")):
        shutil.rmtree(old, ignore_errors=True)
    half.mkdir(parents=True)
    for package in debian.download(packages, folder / "debs"):
        if not OURS_NOT.match(package.name):
            debian.run("dpkg-deb", "-x", str(package), str(half))
    (half / "links").mkdir()
    for name, place in links.items():
        (half / "links" / name).symlink_to(f"../{place}")
    half.replace(target)
    return target


def environment(debian_folder: Path, first: Iterable[Path] = ()) -> dict[str, str]:
    """The environment in which unpacked programs find each other and their libraries."""
    libraries = debian_folder / "usr/lib/x86_64-linux-gnu"
    path = [*first, *(debian_folder / part for part in ("links", "usr/bin", "usr/sbin", "bin", "sbin"))]
    return {
        "PATH": ":".join([*map(str, path), "/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]),
        "LD_LIBRARY_PATH": f"{libraries}:{debian_folder / 'lib/x86_64-linux-gnu'}",
        "XTABLES_LIBDIR": str(libraries / "xtables"),
    }
