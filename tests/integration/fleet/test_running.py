# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The local fleet while it runs: complete, private, and safe to start again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from tests.fleet import paths
from tests.fleet.local import lifecycle, processes
from tests.fleet.local.layout import NETWORK, SECRETS
from tests.harness.targets import Fleet


def run(command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "tests.fleet.local", command], cwd=paths.ROOT, text=True,
                          capture_output=True, env={**os.environ, **environment}, timeout=60, check=False)


def test_every_program_runs(fleet: Fleet) -> None:
    status = run("status")
    assert status.returncode == 0 and status.stdout.count("RUNNING") == 12 and status.stdout.count(", healthy") == 3


def test_starting_again_changes_nothing(fleet: Fleet) -> None:
    before = fleet.supervisorctl("pid")
    again = run("up")
    assert again.returncode == 0 and "is running already" in again.stdout
    assert fleet.supervisorctl("pid") == before


def test_a_second_fleet_is_told_which_port_is_in_use(fleet: Fleet, tmp_path: Path) -> None:
    other = run("up", EXALT_CACHING_CACHE=str(tmp_path / "cache"))
    assert other.returncode == 1
    (line,) = other.stderr.splitlines()
    assert line.startswith(f"fleet: port 6379 on {NETWORK}.21 is in use (process ") and "valkey-server" in line
    assert not (tmp_path / "cache" / "fleet").exists()


def test_what_is_secret_is_private(fleet: Fleet) -> None:
    assert fleet.state.folder.stat().st_mode & 0o077 == 0
    secrets = [(fleet.state.secrets / name).read_text() for name in os.listdir(fleet.state.secrets)]
    assert len(set(secrets)) == len(secrets) == len(SECRETS)
    certificates = fleet.state.folder / "tls"       # as cert_rotate keeps them: everybody may read all but the keys, and the folder above is closed
    assert certificates.stat().st_mode & 0o077 == 0 and all(key.stat().st_mode & 0o077 == 0 for key in certificates.rglob("tls.key"))
    for file in fleet.state.folder.rglob("*"):
        if file.is_relative_to(certificates):
            continue
        if file.is_file() and file.suffix != ".vif":    # those have modes of their own, in a closed folder
            assert file.stat().st_mode & 0o077 == 0, file
        if file.is_dir():
            assert file.stat().st_mode & 0o077 == 0, file
    logs = "".join(log.read_text("utf-8", "replace") for log in fleet.state.logs.iterdir())
    commands = "".join(processes.command_of(pid) for pid in processes.of_fleet(fleet.state.folder))
    assert commands.count("valkey-server") == 6 and not any(secret in logs + commands for secret in secrets)


def test_the_users_may_do_what_their_names_say(fleet: Fleet) -> None:
    observer, service = fleet.redis("observer"), fleet.redis("caching-service")
    service.set("test-users:1", "x", ex=5)
    assert observer.get("test-users:1") == "x"
    with pytest.raises(redis.exceptions.NoPermissionError):
        observer.set("test-users:1", "y")
    with pytest.raises(redis.exceptions.NoPermissionError):
        service.flushall()
    service.delete("test-users:1")
    observer.close()
    service.close()


def test_a_killed_node_comes_back_with_its_data(fleet: Fleet) -> None:
    client = fleet.redis()
    names = [f"test-kill:{number}" for number in range(50)]
    for name in names:
        client.set(name, name)
    pid = int(fleet.supervisorctl("pid", "redis-2"))
    os.kill(pid, 9)
    lifecycle.wait_until_whole(fleet.state)
    fresh = fleet.redis()
    assert [fresh.get(name) for name in names] == names
    for name in names:
        fresh.delete(name)
    client.close()
    fresh.close()
