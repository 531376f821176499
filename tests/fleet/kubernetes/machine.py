# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Start the cluster's programs by name, find whatever belongs to the fleet, and end it."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.fleet.kubernetes.layout import NETWORK_NAME, NODES, State
from tests.fleet.kubernetes.programs import Programs
from tests.fleet.local import processes
from tests.fleet.local.processes import FleetError

# Made where they are missing; removed where they are empty, the deepest first.
MACHINE_FOLDERS = (
    "/var/lib/cni/results", "/var/lib/cni", "/run/containerd/runc/k8s.io", "/run/containerd/runc", "/run/containerd/s", "/run/containerd",
    "/var/log/containers", "/run/kubernetes", "/var/lib/kubelet/device-plugins", "/var/lib/kubelet",
)


def start(state: State, programs: Programs, name: str, command: list[str]) -> int:
    """Start a program in a session of its own; what it says goes to its log."""
    state.logs.mkdir(exist_ok=True)
    with (state.logs / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=state.folder,
                                   env=programs.environment, start_new_session=True)
    state.run.mkdir(exist_ok=True)
    (state.run / f"{name}.pid").write_text(str(process.pid))
    return process.pid


def last_words(state: State, name: str) -> str:
    """The last line of a program's log that speaks of a failure, else the last one."""
    lines: list[str] = (state.logs / f"{name}.log").read_text("utf-8", "replace").strip().splitlines()[-80:]
    bad = [line for line in lines if line.startswith(("E", "F", "Error", "error", "panic", "fatal")) or "level=fatal" in line]
    return (bad or lines or ["nothing in its log"])[-1].strip()[:300]


def wait(state: State, name: str, what: str, reached: Callable[[], bool], patience: float = 60) -> None:
    """Wait until it is so; a program that has ended, or time that is over, is told with the last words of its log."""
    deadline = time.monotonic() + patience
    while not reached():
        pid = int((state.run / f"{name}.pid").read_text())
        ended = not processes.alive(pid)
        if ended or time.monotonic() > deadline:
            raise FleetError(f"{what}: {name} {'has ended' if ended else f'is not ready after {patience:.0f} s'}: {last_words(state, name)}")
        time.sleep(0.1)


def require_all(state: State) -> None:
    """Every program that was started still runs."""
    for file in sorted(state.run.glob("*.pid")):
        if not pid(state, file.stem):
            raise FleetError(f"{file.stem} has ended: {last_words(state, file.stem)}")


def _in_fleet(process: Path, folder: bytes) -> bool:
    """A program that names the fleet's folder, or one in a container whose root is in it."""
    with contextlib.suppress(OSError):
        if folder in (process / "cmdline").read_bytes():
            return True
        with (process / "mountinfo").open("rb") as mounts:
            return any(line.split()[4:5] == [b"/"] and folder in line for line in mounts)
    return False


def of_fleet(state: State) -> list[int]:
    folder = os.fsencode(f"{state.folder}/")
    ours = os.getpid()
    numbers = (entry for entry in Path("/proc").iterdir() if entry.name.isdigit() and int(entry.name) != ours)
    return [int(entry.name) for entry in numbers if _in_fleet(entry, folder)]


def pid(state: State, name: str) -> int:
    """The process of this name if it runs, else 0."""
    try:
        number = int((state.run / f"{name}.pid").read_text())
    except (OSError, ValueError):
        return 0
    return number if processes.alive(number) and str(state.folder) in processes.command_of(number) else 0


def mounts(state: State) -> Iterator[str]:
    """Mounts below the fleet's folder, the deepest first."""
    inside = f"{state.folder}/"
    lines = Path("/proc/self/mounts").read_text().splitlines()
    places = [line.split(" ")[1].encode().decode("unicode_escape") for line in lines]
    yield from reversed([place for place in places if place.startswith(inside)])


def stop_all(state: State, programs: Programs) -> None:
    """First what would start things again, then containers, then the rest; by process number only."""
    managing = [*(f"kubelet-{node.number}" for node in NODES), "controller-manager", "scheduler"]
    processes.end([number for name in managing if (number := pid(state, name))], patience=5)
    kill = [str(programs.debian / "usr/bin/ctr"), "-n", "k8s.io", "-a"]
    for node in NODES:
        socket = str(state.socket(node))
        if not pid(state, f"containerd-{node.number}"):
            continue
        with contextlib.suppress(subprocess.TimeoutExpired):
            told = subprocess.run([*kill, socket, "tasks", "ls", "-q"], env=programs.environment, capture_output=True, text=True,
                                  timeout=10, check=False).stdout.split()
            for task in told:
                subprocess.run([*kill, socket, "tasks", "rm", "-f", task], env=programs.environment, capture_output=True, timeout=10,
                               check=False)
    remaining = of_fleet(state)
    processes.end(remaining, patience=5)


def remove_mounts(state: State) -> None:
    for place in mounts(state):
        subprocess.run(["umount", "-l", place], capture_output=True, check=False)


def containers(state: State) -> set[str]:
    """The numbers of all containers and pods that the nodes know."""
    return {path.name for node in NODES for path in (state.node(node) / "containerd/io.containerd.grpc.v1.cri").glob("*/*")}


def shim_sockets(state: State) -> list[Path]:
    """Where the shims of our containers listen; other engines keep theirs in the same folder."""
    tasks = (path for node in NODES for path in (state.node(node) / "containerd-state").glob("*.task/*/*/address"))
    return [Path(path.read_text().strip().removeprefix("unix://")) for path in tasks if path.exists()]


def clean_machine(state: State, sockets: list[Path]) -> None:
    """What containerd, kubelets and network plugins keep outside the fleet's folder: only what is ours, and empty folders."""
    known = containers(state)
    for result in Path("/var/lib/cni/results").glob("*"):
        if result.name.startswith(f"{NETWORK_NAME}-") or known.intersection(result.name.split("-")):
            result.unlink(missing_ok=True)
    for link in Path("/var/log/containers").glob("*"):
        if link.is_symlink() and os.readlink(link).startswith(str(state.folder)):
            link.unlink()
    for socket in sockets:
        socket.unlink(missing_ok=True)
    plugins = Path("/var/lib/kubelet/device-plugins/kubelet.sock")
    if not (state.folder / "kubelet-was-here").exists():
        plugins.unlink(missing_ok=True)
    for folder in MACHINE_FOLDERS:
        with contextlib.suppress(OSError):
            os.rmdir(folder)
    deadline = time.monotonic() + 5
    while not _groups_gone(known) and time.monotonic() < deadline:      # the kernel takes a moment to empty them
        time.sleep(0.1)


def _groups_gone(known: set[str]) -> bool:
    """Remove the control groups of our containers, and the one above them where it is empty."""
    gone = True
    for root, folders, _files in os.walk("/sys/fs/cgroup", topdown=False):
        for name in known.intersection(folders) | {"k8s.io"}.intersection(folders):
            try:
                os.rmdir(os.path.join(root, name))
            except OSError:
                gone = gone and name not in known
    return gone


def remove_files(state: State) -> None:
    shutil.rmtree(state.folder, ignore_errors=True)
    if state.folder.exists():
        raise FleetError(f"{state.folder} can't be removed")
    with contextlib.suppress(OSError):
        state.folder.parent.rmdir()
