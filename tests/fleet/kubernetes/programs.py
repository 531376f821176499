# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The programs of the cluster: Kubernetes and CoreDNS in one, built from Go modules; the rest out of Debian packages.

Each is made once for its version and stays in the cache folder. Nothing is installed on the machine.
"""

from __future__ import annotations

import fcntl
import json
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.fleet import built, paths
from tests.fleet.images.archive import ImageError, digest, key_of
from tests.fleet.kubernetes.layout import COREDNS_VERSION, METRICS_SERVER_VERSION, VERSION
from tests.fleet.local.processes import FleetError

HERE = Path(__file__).parent
PACKAGES = ("etcd-server", "containerd", "runc", "containernetworking-plugins", "conntrack", "iptables", "iproute2")
# what update-alternatives would do
LINKS = dict.fromkeys(("iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore"), "usr/sbin/xtables-nft-multi")
SYMBOLS = "k8s.io/component-base/version"


@dataclass(frozen=True)
class Programs:
    """Where the programs are, and the environment in which they find each other."""

    kube: Path
    debian: Path

    @property
    def environment(self) -> dict[str, str]:
        return {**built.environment(self.debian), "HOME": "/nonexistent"}

    @property
    def cni(self) -> Path:
        return self.debian / "usr/lib/cni"


def folder() -> Path:
    return paths.cache() / "kubernetes"


def _module(work: Path) -> None:
    """go.mod for the components: outside its own tree Kubernetes takes its parts from the published modules of its version."""
    parts = f"v0.{VERSION.partition('.')[2]}"
    told = json.loads(built.go(work, "mod", "download", "-json", f"k8s.io/kubernetes@v{VERSION}"))
    upstream = Path(told["GoMod"]).read_text()
    staging = re.findall(r"^\t(k8s\.io/\S+) => ", upstream, re.M)
    required = re.findall(r"^\t(\S+) (v\S+)( // indirect)?$", upstream, re.M)
    language = re.search(r"^go (\S+)", upstream, re.M)
    lines = ["module trial/kubernetes", "", f"go {language.group(1) if language else '1.24.0'}", "", "require (", f"\tk8s.io/kubernetes v{VERSION}",
             f"\tsigs.k8s.io/metrics-server v{METRICS_SERVER_VERSION}", f"\tgithub.com/coredns/coredns v{COREDNS_VERSION}"]
    lines += [f"\t{name} {parts if version == 'v0.0.0' else version}{note}" for name, version, note in required]
    lines += [")", "", "replace (", *(f"\t{name} => {name} {parts}" for name in staging), ")", ""]
    (work / "go.mod").write_text("\n".join(lines))


def made(name: str, version: str, module: Callable[[Path], None], symbols: dict[str, str]) -> Path:
    """A program out of the folder of this name, built once for its version. `module` writes its go.mod."""
    source = HERE / name
    program = folder() / f"{name}-{version}-{key_of(digest(source / 'main.go'), symbols)}"
    if program.exists():
        return program
    print(f"fleet: building {name} {version} (once; some minutes)", file=sys.stderr, flush=True)
    for old in folder().glob(f"{name}-*"):
        old.unlink()
    work = folder() / "build" / name
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(source, work)
    module(work)
    built.go(work, "mod", "tidy")
    flags = " ".join(["-s", "-w", *(f"-X {SYMBOLS}.{key}={value}" for key, value in symbols.items())])
    built.go(work, "build", "-trimpath", "-gcflags=all=-dwarf=false", "-ldflags", flags, "-o", "program", ".")
    (work / "program").replace(program)
    shutil.rmtree(work)
    return program


def _kube() -> Path:
    major, minor, _patch = VERSION.split(".")
    return made("kube", f"{VERSION}-{COREDNS_VERSION}", _module, {"gitVersion": f"v{VERSION}", "gitMajor": major, "gitMinor": minor})


def programs() -> Programs:
    """All of them, made where they are missing; one build at a time."""
    folder().mkdir(parents=True, exist_ok=True)
    with (folder() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            return Programs(_kube(), built.unpacked(folder(), PACKAGES, LINKS))
        except ImageError as error:
            raise FleetError(str(error)) from error
