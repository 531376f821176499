# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs out of Debian packages, with the libraries that they need: downloaded and unpacked, never installed."""

from __future__ import annotations

import io
import re
import subprocess
from pathlib import Path

from tests.fleet.images.archive import ImageError, Layer

QUIET = ("--no-recommends", "--no-suggests", "--no-conflicts", "--no-breaks", "--no-replaces", "--no-enhances")
LEFT_OUT = re.compile(r"^(usr/share|etc|var|lib/systemd|usr/lib/systemd|usr/lib/x86_64-linux-gnu/(gconv|perl))(/|$)")


def run(*command: str, folder: Path | None = None) -> bytes:
    try:
        return subprocess.run(command, cwd=folder, capture_output=True, check=True).stdout
    except FileNotFoundError as error:
        raise ImageError(f"{command[0]} is not on this machine: images are made from Debian packages") from error
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode("utf-8", "replace").strip().splitlines()
        raise ImageError(f"{' '.join(command[:2])}: {said[-1] if said else error.returncode}") from error


def closure(wanted: tuple[str, ...]) -> list[str]:
    """These packages and the libraries that they need, however deep."""
    found, new = set(wanted), list(wanted)
    while new:
        told = run("apt-cache", "depends", *QUIET, *new).decode()
        named = re.findall(r"^ *\|?(?:Pre)?Depends: ((?:lib|lua)[a-z0-9.+-]+)$", told, re.M)
        new = sorted(set(named) - found)
        found.update(new)
    return sorted(found)


def download(wanted: tuple[str, ...], folder: Path) -> list[Path]:
    """The packages as files; what is there already is not fetched again."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        names = closure(wanted)
    except ImageError:      # no index yet
        run("apt-get", "update", "--quiet")
        names = closure(wanted)
    missing = [name for name in names if not any(folder.glob(f"{name}_*.deb"))]
    if missing:
        run("apt-get", "download", "--quiet", *missing, folder=folder)
    return [next(folder.glob(f"{name}_*.deb")) for name in names]


def unpack(layer: Layer, packages: list[Path]) -> None:
    for package in packages:
        layer.archive(io.BytesIO(run("dpkg-deb", "--fsys-tarfile", str(package))), lambda name: bool(LEFT_OUT.match(name)))


def version(package: Path) -> str:
    """The upstream part of a package's version: 7.0.15 of redis-server_5%3a7.0.15-1~deb12u10_amd64.deb."""
    return re.sub(r"^.*%3a", "", package.name.split("_")[1]).split("-")[0]
