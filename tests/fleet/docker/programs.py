# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Docker Engine out of Debian packages and Compose v2 built from Go modules, each once for its version."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.fleet import built, paths
from tests.fleet.images.archive import ImageError
from tests.fleet.local.processes import FleetError

HERE = Path(__file__).parent
COMPOSE = "v2.40.3"
MODULE = "github.com/docker/compose/v2"
PACKAGES = ("docker.io", "containerd", "runc", "iptables", "iproute2", "tini")
# what update-alternatives would do, and the engine's own name for tini
LINKS = {**dict.fromkeys(("iptables", "iptables-save", "iptables-restore", "ip6tables"), "usr/sbin/xtables-nft-multi"),
         "docker-init": "usr/bin/tini-static"}


@dataclass(frozen=True)
class Programs:
    """Where the programs are."""

    debian: Path
    config: Path        # of the docker client: it holds Compose as a plugin

    @property
    def environment(self) -> dict[str, str]:
        return {**built.environment(self.debian), "DOCKER_CONFIG": str(self.config), "HOME": "/nonexistent"}


def folder() -> Path:
    return paths.cache() / "docker"


def _compose() -> Path:
    """Its go.mod has an exclude, so `go install` refuses it: a module of our own takes over what it requires."""
    program = folder() / f"docker-compose-{COMPOSE}"
    if program.exists():
        return program
    print(f"fleet: building Docker Compose {COMPOSE} (once; some minutes)", file=sys.stderr, flush=True)
    work = folder() / "build"
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(HERE / "compose", work)
    told = json.loads(built.go(work, "mod", "download", "-json", f"{MODULE}@{COMPOSE}"))
    upstream = re.sub(r"^module .*", "module trial/compose", Path(told["GoMod"]).read_text(), count=1, flags=re.M)
    (work / "go.mod").write_text(f"{upstream}\nrequire {MODULE} {COMPOSE}\n")
    built.go(work, "mod", "tidy")
    flags = f"-s -w -X {MODULE}/internal.Version={COMPOSE}"
    built.go(work, "build", "-trimpath", "-gcflags=all=-dwarf=false", "-ldflags", flags, "-o", "program", f"{MODULE}/cmd")
    (work / "program").replace(program)
    shutil.rmtree(work)
    return program


def _config(compose: Path | None) -> Path:
    plugins = folder() / "config" / "cli-plugins"
    plugins.mkdir(parents=True, exist_ok=True)
    link = plugins / "docker-compose"
    if compose and (not link.is_symlink() or os.readlink(link) != str(compose)):
        link.unlink(missing_ok=True)
        link.symlink_to(compose)
    return plugins.parent


def programs(*, compose: bool) -> Programs:
    """The engine, and Compose where it is wanted; made where they are missing, one build at a time."""
    folder().mkdir(parents=True, exist_ok=True)
    with (folder() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            return Programs(built.unpacked(folder(), PACKAGES, LINKS), _config(_compose() if compose else None))
        except ImageError as error:
            raise FleetError(str(error)) from error
