# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which ports are taken and by whom, and which processes belong to the fleet."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

PROC = Path("/proc")


class FleetError(Exception):
    """A reason, in one line, why the fleet could not be started or stopped."""


def _processes() -> Iterator[Path]:
    return (entry for entry in PROC.iterdir() if entry.name.isdigit()) if PROC.is_dir() else iter(())


def command_of(pid: int) -> str:
    try:
        text = (PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
    except OSError:
        return ""
    return text


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z" if PROC.is_dir() else True
    except OSError:
        return False


def listener(host: str, port: int) -> str:
    """The process that listens there, as ` (process 42: command)`, or nothing if that can't be seen."""
    address = "".join(f"{int(part):02X}" for part in reversed(host.split(".")))
    wanted = {f"{address}:{port:04X}", f"00000000:{port:04X}"}
    with contextlib.suppress(OSError):
        rows = (line.split() for line in (PROC / "net/tcp").read_text().splitlines()[1:])
        links = {f"socket:[{row[9]}]" for row in rows if row[1] in wanted and row[3] == "0A"}
        for process in _processes():
            with contextlib.suppress(OSError):
                if any(os.readlink(file) in links for file in (process / "fd").iterdir()):
                    program, _space, arguments = command_of(int(process.name)).partition(" ")
                    return f" (process {process.name}: {f'{os.path.basename(program)} {arguments}'.strip()[:80]})"
    return ""


def require_free(addresses: Iterable[tuple[str, int]]) -> None:
    """Fail with the first address that can't be bound."""
    for host, port in addresses:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    raise FleetError(f"port {port} on {host} is in use{listener(host, port)}") from error
                if error.errno == errno.EADDRNOTAVAIL:
                    raise FleetError(f"{host} is no address of this machine (the whole of 127.0.0.0/8 is needed; "
                                     f"on macOS: sudo ifconfig lo0 alias {host})") from error
                raise FleetError(f"port {port} on {host} can't be used: {error.strerror}") from error


def of_fleet(folder: Path) -> list[int]:
    """Programs that run inside the fleet's folder: the supervisor, its nodes and instances, orphans too."""
    found = []
    for process in _processes():
        with contextlib.suppress(OSError):
            # A node's folder may have been removed under it; the kernel then adds " (deleted)" to the link.
            place = Path(os.readlink(process / "cwd").removesuffix(" (deleted)"))
            command = command_of(int(process.name))
            ours = any(name in command for name in ("valkey-server", "redis-server", "tests.fleet.", "supervisord", "/weed "))
            if ours and (place == folder or folder in place.parents):
                found.append(int(process.name))
    return found


def thaw(pids: Iterable[int]) -> None:
    """Let frozen processes go on, so that they can end by themselves."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def end(pids: Iterable[int], patience: float = 5.0) -> None:
    """Ask these processes to end, and insist after a while."""
    waiting = list(pids)
    thaw(waiting)
    for sign in (signal.SIGTERM, signal.SIGKILL):
        for pid in waiting:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, sign)
        deadline = time.monotonic() + patience
        while waiting and time.monotonic() < deadline:
            waiting = [pid for pid in waiting if alive(pid)]
            time.sleep(0.02 if waiting else 0)
        if not waiting:
            return
    raise FleetError(f"process {waiting[0]} does not end: {command_of(waiting[0])[:80]}")
