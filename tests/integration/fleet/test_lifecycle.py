# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole life of a second fleet, on addresses and in a cache folder of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fleet import paths

pytestmark = pytest.mark.slow
NETWORK = "127.0.8"     # another than that of the second fleets, which another worker may have at the same time


class Second:
    def __init__(self, cache: Path) -> None:
        self.cache = cache
        self.folder = cache / "fleet" / f"local-{NETWORK}"

    def start(self, command: str) -> subprocess.Popen[str]:
        environment = {**os.environ, "EXALT_CACHING_CACHE": str(self.cache), "EXALT_CACHING_NETWORK": NETWORK}
        return subprocess.Popen([sys.executable, "-m", "tests.fleet.local", command], cwd=paths.ROOT, env=environment,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)

    def run(self, command: str) -> tuple[int, str]:
        process = self.start(command)
        stdout, stderr = process.communicate(timeout=60)
        return process.returncode, stdout + stderr

    @property
    def pid(self) -> int:
        return int((self.folder / "supervisord.pid").read_text())


def test_every_fleet_is_stopped_and_none_that_never_ran_is_needed(tmp_path: Path) -> None:
    environment = {**os.environ, "EXALT_CACHING_CACHE": str(tmp_path)}
    done = subprocess.run([sys.executable, "-m", "tests.fleet.down"], cwd=paths.ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    platforms = ("compose", "kubernetes", "local", "systemd")
    assert (done.returncode, done.stdout) == (0, "".join(f"{platform}: is not running\n" for platform in platforms)), done.stderr
    assert not [found for found in tmp_path.rglob("*") if found.is_file()], "it builds nothing"


def listening() -> list[str]:
    """Ports of the second fleet's network that answer."""
    found = []
    for last in (11, 12, 13, 21, 22, 23, 24, 25, 26, 31):
        for port in (6379, 16379, 8403, 8404, 8443, 8333):
            with socket.socket() as probe:
                if not probe.connect_ex((f"{NETWORK}.{last}", port)):
                    found.append(f"{NETWORK}.{last}:{port}")
    return found


@pytest.fixture
def second(tmp_path: Path) -> Iterator[Second]:
    # Long enough that a socket inside would go beyond the limit of a unix socket's path.
    fleet = Second(tmp_path / ("long-" * 20) / "cache")
    try:
        yield fleet
    finally:
        fleet.run("down")


def test_from_nothing_to_nothing(second: Second) -> None:
    # started twice at the same time: one starts it, the other finds it running
    both = [second.start("up"), second.start("up")]
    said = sorted(process.communicate(timeout=60)[0].splitlines()[0].split(" in ")[0] for process in both)
    assert said == ["fleet: is running already", "fleet: started"]
    status, text = second.run("status")
    assert status == 0, text
    assert len(listening()) == 6 * 2 + 3 * 3 + 1
    note = Path((second.folder / "socket_folder").read_text())
    assert note.is_dir() and note.parent in (Path(os.environ.get("XDG_RUNTIME_DIR") or "/tmp"), Path("/tmp"))

    # the supervisor is killed: its programs are orphans, its pid is stale; a start repairs that
    os.kill(second.pid, signal.SIGKILL)
    time.sleep(0.2)
    assert listening()
    status, text = second.run("up")
    assert status == 0 and "removing what an earlier fleet left behind (12 processes)" in text
    assert second.run("status")[0] == 0

    # a start that is killed half-way leaves nothing that the next stop does not remove
    assert second.run("down") == (0, "fleet: stopped, nothing left\n")
    half = second.start("up")
    deadline = time.monotonic() + 30
    while not listening() and time.monotonic() < deadline:
        time.sleep(0.05)
    half.kill()
    half.communicate()
    assert second.run("down") == (0, "fleet: stopped, nothing left\n")
    assert listening() == [] and not note.exists() and list(second.cache.iterdir()) == []
    assert second.run("down") == (0, "fleet: is not running\n")
