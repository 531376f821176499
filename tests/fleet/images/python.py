# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Python that runs this, and packages of its environment, as layers: the same versions as in the tests."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

from packaging.markers import Marker
from packaging.requirements import Requirement

from tests.fleet.images.archive import ImageError, Layer

HOME = "opt/python"
SITE = "opt/site"
VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"
NOT_NEEDED = {
    "__pycache__", "test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3", "pydoc_data",
    "site-packages", "dist-packages", "_tkinter", "turtle.py", "idle_test",
}


def leave_out(path: Path) -> bool:
    return path.name in NOT_NEEDED or path.name.startswith(("config-", "_tkinter", "_test")) or path.suffix in (".a", ".pyi")


def compiled(folder: Path) -> None:
    """Byte code that is valid whatever the time of its source, as a file in an image has none."""
    subprocess.run([sys.executable, "-m", "compileall", "-q", "-j", "2", "--invalidation-mode", "unchecked-hash", "-s", str(folder),
                    str(folder)], capture_output=True, check=False)


def libraries(programs: Iterable[Path]) -> dict[str, Path]:
    """What the loader of this machine finds for these programs, by name."""
    found: dict[str, Path] = {}
    for program in programs:
        told = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=False).stdout
        for name, path in re.findall(r"^\s+(?:(\S+) => )?(/\S+) \(0x", told, re.M):
            found.setdefault(os.path.basename(name or path), Path(path))
    return found


def interpreter(layer: Layer, work: Path) -> None:
    """The interpreter and its library in /opt/python, with the shared libraries of this machine."""
    program = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    standard = Path(sysconfig.get_path("stdlib"))
    if not program.is_file() or not standard.is_dir():
        raise ImageError(f"{sys.executable}: its program or its library can't be found")
    copy = work / "lib"
    shutil.copytree(standard, copy, ignore=lambda folder, names: [name for name in names if leave_out(Path(folder, name))])
    compiled(copy)
    layer.file(f"{HOME}/bin/{VERSION}", program.read_bytes(), 0o755)
    for name in ("python3", "python"):
        layer.link(f"{HOME}/bin/{name}", VERSION)
        layer.link(f"usr/bin/{name}", f"/{HOME}/bin/{VERSION}")
    layer.tree(copy, f"{HOME}/lib/{VERSION}")
    binaries = [program, *copy.rglob("*.so")]
    for name, path in libraries(binaries).items():
        layer.file(f"usr/lib/{name}", path.read_bytes(), 0o755)


def distributions(names: Iterable[str]) -> list[importlib.metadata.Distribution]:
    """These packages and all that they need, as they are installed here."""
    found: dict[str, importlib.metadata.Distribution] = {}
    waiting = [Requirement(name) for name in names]
    while waiting:
        wanted = waiting.pop()
        key = re.sub(r"[-_.]+", "-", wanted.name).lower()
        if key not in found:
            try:
                found[key] = importlib.metadata.distribution(wanted.name)
            except importlib.metadata.PackageNotFoundError as error:
                raise ImageError(f"the package {wanted.name} is not installed: make setup") from error
            needs = [Requirement(text) for text in found[key].requires or ()]
            waiting += [need for need in needs if need.marker is None or _applies(need.marker, wanted)]
    return [found[key] for key in sorted(found)]


def _applies(marker: Marker, wanted: Requirement) -> bool:
    return any(marker.evaluate({"extra": extra}) for extra in {"", *wanted.extras})


def packages(names: Iterable[str], layer: Layer, work: Path) -> None:
    """Packages in /opt/site. Libraries that they link to are those of the interpreter's layer, or their own."""
    copy = work / "site"
    for distribution in distributions(names):
        for file in distribution.files or ():
            if ".." in file.parts or "__pycache__" in file.parts or file.suffix in (".pyi", ".pyc") or file.parts[0] == "bin":
                continue
            target = copy / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(str(distribution.locate_file(file)), target)
    compiled(copy)
    layer.tree(copy, SITE)
    inside = {path.name for path in copy.rglob("*.so*")}
    for name, path in libraries(copy.rglob("*.so")).items():
        if name not in inside:
            layer.file(f"usr/lib/{name}", path.read_bytes(), 0o755)


def described(names: Iterable[str]) -> list[str]:
    """Names and versions: what a layer of packages depends on."""
    return [f"{one.metadata['Name']}=={one.version}" for one in distributions(names)]
