# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The programs of the cluster: Kubernetes and CoreDNS built from Go modules, the rest out of Debian packages.

Each is made once for its version and stays in the cache folder. Nothing is installed on the machine.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.fleet import paths
from tests.fleet.images import debian
from tests.fleet.images.archive import ImageError, digest, key_of
from tests.fleet.kubernetes.layout import COREDNS_VERSION, METRICS_SERVER_VERSION, VERSION
from tests.fleet.local.processes import FleetError

HERE = Path(__file__).parent
PACKAGES = ("etcd-server", "containerd", "runc", "containernetworking-plugins", "conntrack", "iptables", "iproute2")
TOOLS = ("iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore")
OURS_NOT = re.compile(r"^(libc6|libgcc-s1|libc-bin|gcc-.*)_")     # the machine's own go with its loader
SYMBOLS = "k8s.io/component-base/version"


@dataclass(frozen=True)
class Programs:
    """Where the programs are, and the environment in which they find each other."""

    kube: Path
    dns: Path
    debian: Path

    @property
    def environment(self) -> dict[str, str]:
        libraries = self.debian / "usr/lib/x86_64-linux-gnu"
        path = [str(self.debian / part) for part in ("links", "usr/bin", "usr/sbin", "bin", "sbin")]
        return {
            "PATH": ":".join([*path, "/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]),
            "LD_LIBRARY_PATH": f"{libraries}:{self.debian / 'lib/x86_64-linux-gnu'}",
            "XTABLES_LIBDIR": str(libraries / "xtables"), "HOME": "/nonexistent",
        }

    @property
    def cni(self) -> Path:
        return self.debian / "usr/lib/cni"


def folder() -> Path:
    return paths.cache() / "kubernetes"


def go(work: Path, *arguments: str) -> str:
    environment = {**os.environ, "GOFLAGS": "-modcacherw -buildvcs=false", "GOGC": "400", "GOCACHE": str(paths.cache() / "go/build"),
                   "GOMODCACHE": str(paths.cache() / "go/mod"), "GOTOOLCHAIN": "local", "GO111MODULE": "on"}
    environment.setdefault("HOME", str(paths.cache()))
    with (work / "build.log").open("a") as log:
        done = subprocess.run(["nice", "-n", "15", "go", *arguments], cwd=work, env=environment, text=True, stdout=subprocess.PIPE,
                              stderr=log, check=False)
    if done.returncode:
        lines = (work / "build.log").read_text("utf-8", "replace").strip().splitlines()
        raise FleetError(f"go {arguments[0]} failed: {lines[-1] if lines else done.returncode} (all of it: {work / 'build.log'})")
    return done.stdout


def _kubernetes_module(work: Path) -> None:
    """go.mod for the components: outside its own tree Kubernetes takes its parts from the published modules of its version."""
    parts = f"v0.{VERSION.partition('.')[2]}"
    told = json.loads(go(work, "mod", "download", "-json", f"k8s.io/kubernetes@v{VERSION}"))
    upstream = Path(told["GoMod"]).read_text()
    staging = re.findall(r"^\t(k8s\.io/\S+) => ", upstream, re.M)
    required = re.findall(r"^\t(\S+) (v\S+)( // indirect)?$", upstream, re.M)
    language = re.search(r"^go (\S+)", upstream, re.M)
    lines = ["module trial/kubernetes", "", f"go {language.group(1) if language else '1.24.0'}", "", "require (", f"\tk8s.io/kubernetes v{VERSION}",
             f"\tsigs.k8s.io/metrics-server v{METRICS_SERVER_VERSION}"]
    lines += [f"\t{name} {parts if version == 'v0.0.0' else version}{note}" for name, version, note in required]
    lines += [")", "", "replace (", *(f"\t{name} => {name} {parts}" for name in staging), ")", ""]
    (work / "go.mod").write_text("\n".join(lines))


def _dns_module(work: Path) -> None:
    go(work, "mod", "init", "trial/dns")
    go(work, "get", f"github.com/coredns/coredns@v{COREDNS_VERSION}")


def built(name: str, source: Path, version: str, module: Callable[[Path], None], symbols: dict[str, str]) -> Path:
    program = folder() / f"{name}-{version}-{key_of(digest(source / 'main.go'), symbols)}"
    if program.exists():
        return program
    if not shutil.which("go"):
        raise FleetError("go is not on PATH: the cluster's programs are built from Go modules (https://go.dev/dl)")
    print(f"fleet: building {name} {version} (once; some minutes)", file=sys.stderr, flush=True)
    for old in folder().glob(f"{name}-*"):
        old.unlink()
    work = folder() / "build" / name
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(source, work)
    module(work)
    go(work, "mod", "tidy")
    flags = " ".join(["-s", "-w", *(f"-X {SYMBOLS}.{key}={value}" for key, value in symbols.items())])
    go(work, "build", "-trimpath", "-ldflags", flags, "-o", "program", ".")
    (work / "program").replace(program)
    shutil.rmtree(work)
    return program


def _debian() -> Path:
    target = folder() / f"debian-{key_of(PACKAGES, TOOLS)}"
    if target.exists():
        return target
    print("fleet: unpacking etcd, containerd and their tools", file=sys.stderr, flush=True)
    half = folder() / "debian.half"
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(parents=True)
    for package in debian.download(PACKAGES, folder() / "debs"):
        if not OURS_NOT.match(package.name):
            debian.run("dpkg-deb", "-x", str(package), str(half))
    (half / "links").mkdir()
    for tool in TOOLS:      # what update-alternatives would do
        (half / "links" / tool).symlink_to("../usr/sbin/xtables-nft-multi")
    half.replace(target)
    return target


def programs() -> Programs:
    """All of them, made where they are missing; one build at a time."""
    folder().mkdir(parents=True, exist_ok=True)
    major, minor, _patch = VERSION.split(".")
    symbols = {"gitVersion": f"v{VERSION}", "gitMajor": major, "gitMinor": minor}
    with (folder() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            return Programs(
                built("kube", HERE / "components", VERSION, _kubernetes_module, symbols),
                built("coredns", HERE / "dns", COREDNS_VERSION, _dns_module, {}),
                _debian(),
            )
        except ImageError as error:
            raise FleetError(str(error)) from error
