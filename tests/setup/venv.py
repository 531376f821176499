# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build .venv: packages from PyPI, other collections out of the `ansible` wheel, and this collection as a link.

The stamp is removed first and written last, so a run that was killed is repaired by the next one.
"""
from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

COLLECTIONS = (
    "ansible/posix", "community/crypto", "community/docker", "community/general",
    "community/library_inventory_filtering_v1", "kubernetes/core",
)
ANSIBLE = "14.5.0" if sys.version_info >= (3, 12) else "12.3.0"     # matches the ansible-core of requirements.txt
NO_VENV = 3
CACHE = Path(os.environ["EXALT_CACHING_CACHE"])


class SetupError(Exception):
    """A reason that stops the set-up; one line for the user."""


def pip(venv: Path, lock: int, *args: str) -> None:
    """Run pip. It inherits the lock, so that a pip whose parent was killed is waited for by the next run."""
    log = CACHE / "logs" / "setup.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    env = {**os.environ, "PIP_CACHE_DIR": str(CACHE / "pip"), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    with log.open("wb") as out:
        status = subprocess.run([venv / "bin/python", "-m", "pip", *args], stdout=out, stderr=subprocess.STDOUT,
                                env=env, pass_fds=[lock], check=False).returncode
    if status:
        said = log.read_text("utf-8", "replace")
        reason = next((line for line in said.splitlines() if line.startswith("ERROR:")), f"pip ended with {status}")
        if "(from versions: none)" in said or "NewConnectionError" in said or "NameResolutionError" in said:
            reason = "the package index cannot be reached (no network?)"
        raise SetupError(f"pip {args[0]} failed: {reason} (all of it: {log})")


def make_venv(venv: Path) -> None:
    shutil.rmtree(venv, ignore_errors=True)
    made = subprocess.run([sys.executable, "-m", "venv", str(venv)], capture_output=True, text=True, check=False)
    check = [venv / "bin/python", "-c", "import ssl, pip"]
    if made.returncode or subprocess.run(check, capture_output=True, check=False).returncode:
        shutil.rmtree(venv, ignore_errors=True)
        print(f"setup: {sys.executable} cannot make a virtual environment", file=sys.stderr)
        sys.exit(NO_VENV)


def ansible_wheel(venv: Path, lock: int) -> Path:
    wheels = CACHE / "wheels"
    wheel = wheels / f"ansible-{ANSIBLE}-py3-none-any.whl"
    if not (wheel.exists() and zipfile.is_zipfile(wheel)):
        wheel.unlink(missing_ok=True)
        print("setup: downloading the collections (50 MB)", flush=True)
        pip(venv, lock, "download", "--quiet", "--no-deps", "--no-cache-dir", "-d", str(wheels), f"ansible=={ANSIBLE}")
    return wheel


def extract_collections(wheel: Path, target: Path) -> None:
    prefixes = tuple(f"ansible_collections/{name}/" for name in COLLECTIONS)
    skip = tuple(f"{prefix}{folder}/" for prefix in prefixes for folder in ("tests", "docs", "changelogs"))
    for name in COLLECTIONS:
        shutil.rmtree(target / "ansible_collections" / name, ignore_errors=True)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target, [name for name in archive.namelist()
                                    if name.startswith(prefixes) and not name.startswith(skip)])


def link_collection(root: Path, target: Path) -> None:
    link = target / "ansible_collections" / "exalt" / "caching"
    link.parent.mkdir(parents=True, exist_ok=True)
    if link.is_symlink():
        link.unlink()
    link.symlink_to(root)


def compiled(venv: Path, site: Path) -> None:
    """Byte code of everything, on all cores, which pip does on one. Where PYTHONDONTWRITEBYTECODE is set nothing else ever writes it,
    and each start of Ansible compiles itself anew, the Kubernetes client for two seconds more."""
    command = [venv / "bin/python", "-m", "compileall", "-q", "-j", "0", "-x", "ansible_collections/exalt/", site]
    subprocess.run(command, capture_output=True, check=False)


def main(root: Path, stamp: Path, wanted: str) -> None:
    started = time.monotonic()
    venv = root / ".venv"
    with (CACHE / "setup.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if stamp.exists() and stamp.read_text().strip() == wanted:
            return
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        site = venv / "lib" / version / "site-packages"
        usable = stamp.exists() and site.is_dir() and (venv / "bin/python").exists() and str(root) in stamp.read_text()
        stamp.unlink(missing_ok=True)
        if not usable:
            make_venv(venv)
        print("setup: installing packages", flush=True)
        pip(venv, lock.fileno(), "install", "--no-compile", "--progress-bar", "off", "-r", str(root / "tests/requirements.txt"))
        extract_collections(ansible_wheel(venv, lock.fileno()), site)
        link_collection(root, site)
        compiled(venv, site)
        stamp.write_text(wanted + "\n")
    print(f"setup: ready in {time.monotonic() - started:.0f} s", flush=True)


if __name__ == "__main__":
    try:
        os.umask(0o022)
        main(Path(sys.argv[1]), Path(sys.argv[1]) / sys.argv[2], sys.argv[3])
    except (SetupError, OSError, zipfile.BadZipFile) as error:
        print(f"setup: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
