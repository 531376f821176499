# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Docker Engine of the fleet's own: it shares neither containers, images, sockets, bridges nor rules with another one.

It makes no rule for packet filters. Its networks are internal; what is addressed to a container that is not there, or comes from a
container for somebody else, ends at a route and a routing rule of this machine.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
import typing as t
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.fleet import paths
from tests.fleet.docker.programs import Programs
from tests.fleet.local import processes
from tests.fleet.local.processes import FleetError

NAMESPACE = Path(__file__).parent / "namespace.sh"
FOREVER = 86400
RULES = 900     # before the rule for the main table


@dataclass(frozen=True)
class Engine:
    """The engine of one fleet; `given` is the address of one that is there already and stays."""

    folder: Path
    bridge: str             # name of the bridge, at most 15 letters
    network: str            # what all its networks are part of
    programs: Programs
    given: str = ""

    @property
    def address(self) -> str:
        return self.given or f"unix://{self.folder / 'docker.sock'}"

    @property
    def environment(self) -> dict[str, str]:
        return {**self.programs.environment, "DOCKER_HOST": self.address}

    @property
    def client(self) -> Path:
        """A docker command that finds this engine and Compose, for people and for modules."""
        return self.folder / "docker"

    @property
    def group(self) -> str:
        return f"exalt-{self.bridge}"

    # ---- commands

    def run(self, *command: str, patience: float = 120, check: bool = True, **options: t.Any) -> str:
        try:
            done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=patience, check=False, **options)
        except subprocess.TimeoutExpired as error:
            raise FleetError(f"{' '.join(command[:3])} did not end in {patience:.0f} s") from error
        if check and done.returncode:
            said = (done.stderr or done.stdout).strip().splitlines()
            raise FleetError(f"{' '.join(command[:3])}: {said[-1] if said else done.returncode}")
        return done.stdout

    def docker(self, *command: str, patience: float = 120, check: bool = True) -> str:
        return self.run("docker", *command, patience=patience, check=check)

    def load(self, archives: Iterable[Path]) -> None:
        for archive in archives:
            self.docker("load", "--quiet", "--input", str(archive), patience=300)

    # ---- up

    def answers(self) -> bool:
        return bool(self.docker("version", "--format", "{{.Server.Version}}", patience=10, check=False).strip())

    def write_client(self) -> None:
        names = ("DOCKER_CONFIG", "DOCKER_HOST", "LD_LIBRARY_PATH", "PATH")
        kept = "\n".join(f'export {name}="{self.environment[name]}"' for name in names)
        paths.write(self.client, f'#!/bin/sh\n{kept}\nexec docker "$@"\n')
        self.client.chmod(0o700)

    def up(self, patience: float = 40) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.write_client()
        if self.given:
            if not self.answers():
                raise FleetError(f"no Docker Engine answers at DOCKER_HOST={self.given}")
            return
        if os.geteuid():
            raise FleetError("a Docker Engine is started by root only; or name a running one in DOCKER_HOST")
        self._fence()
        options = [
            "--host", self.address, "--data-root", f"{self.folder}/data", "--exec-root", f"{self.folder}/exec",
            "--pidfile", f"{self.folder}/inner.pid", "--bridge", "none", "--iptables=false", "--ip6tables=false", "--ip-masq=false",
            "--ip-forward=false", "--userland-proxy=false", "--cgroup-parent", f"/{self.group}", "--oom-score-adjust", "0",
            "--log-level", "warn", "--group", "0",
        ]
        command = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", str(NAMESPACE), "start", *options]
        with self.log.open("wb") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder, start_new_session=True,
                                       env={**self.programs.environment, "TMPDIR": str(self.folder)})
        (self.folder / "engine.pid").write_text(str(process.pid))
        deadline = time.monotonic() + patience
        while not self.answers():
            if process.poll() is not None or time.monotonic() > deadline:
                raise FleetError(f"the Docker Engine does not start: {self.last_words()}")
            time.sleep(0.1)

    def _fence(self) -> None:
        taken = self.run("ip", "-4", "route", "show", "root", self.network).strip()
        if taken:
            raise FleetError(f"the network {self.network} of the trial fleet is in use on this machine: {taken.splitlines()[0].strip()}")
        self.run("ip", "route", "add", "unreachable", self.network, "metric", "4096")
        self.run("ip", "rule", "add", "pref", str(RULES), "iif", self.bridge, "unreachable")

    @property
    def log(self) -> Path:
        return self.folder / "dockerd.log"

    def last_words(self) -> str:
        lines = self.log.read_text("utf-8", "replace").strip().splitlines() if self.log.exists() else []
        return lines[-1][:300] if lines else "nothing in its log"

    # ---- down

    def pid(self) -> int:
        """The process that holds the namespaces, or 0."""
        try:
            number = int((self.folder / "engine.pid").read_text())
        except (OSError, ValueError):
            return 0
        return number if processes.alive(number) and str(self.folder) in processes.command_of(number) else 0

    def orphans(self) -> list[int]:
        """Whatever else names the engine's folder; after the namespaces have ended there should be nothing."""
        ours, place = os.getpid(), os.fsencode(f"{self.folder}/")
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != ours:
                with contextlib.suppress(OSError):
                    if place in (entry / "cmdline").read_bytes():
                        found.append(int(entry.name))
        return found

    def down(self) -> None:
        """End the engine with all of its containers, and remove what the kernel still knows of it."""
        if self.given:
            return
        number = self.pid()
        if number:
            for child in list(processes_below(number)):     # the first process of the namespace; all others end with it
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
            processes.end([number])
        processes.end(self.orphans())
        with contextlib.suppress(FleetError):   # programs may have been removed from the cache
            for command in (("rule", "del", "pref", str(RULES), "iif", self.bridge), ("route", "del", "unreachable", self.network),
                            ("link", "del", self.bridge)):
                self.run("ip", *command, check=False)
            self.groups("remove")

    def groups(self, verb: str) -> list[str]:
        return self.run("unshare", "--mount", "sh", str(NAMESPACE), verb, self.group).split()

    def leftovers(self) -> list[str]:
        """What should not be there after `down`: processes, mounts, network devices, routes, rules and control groups."""
        found = [f"process {number}: {processes.command_of(number)[:80]}" for number in self.orphans()]
        found += [f"mount {place}" for place in mounts_below(self.folder)]
        for what, command in (("network device", ("link", "show", self.bridge)), ("route", ("route", "show", "root", self.network)),
                              ("rule", ("rule", "show", "pref", str(RULES)))):
            seen = self.run("ip", *command, check=False).strip()
            found += [f"{what}: {line}" for line in seen.splitlines() if what != "rule" or self.bridge in line]
        return found + [f"control group {place}" for place in self.groups("groups")]


def processes_below(parent: int) -> Iterator[int]:
    """Direct children of a process."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == parent:
                    yield int(entry.name)


def mounts_below(folder: Path) -> list[str]:
    lines = Path("/proc/self/mounts").read_text().splitlines()
    places = [line.split(" ")[1].encode().decode("unicode_escape") for line in lines]
    return [place for place in places if place.startswith(f"{folder}/")]


def remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        raise FleetError(f"{folder} can't be removed")
    with contextlib.suppress(OSError):
        folder.parent.rmdir()
