# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Start the hosts, form the Redis Cluster, stop everything, and say how it is."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import typing as t
import urllib.request
from pathlib import Path

from tests.fleet import redis_nodes
from tests.fleet.docker import engine as engines
from tests.fleet.docker.engine import Engine
from tests.fleet.docker.programs import programs
from tests.fleet.images.archive import ImageError
from tests.fleet.local.lifecycle import locked
from tests.fleet.local.processes import FleetError
from tests.fleet.systemd import files, host_image
from tests.fleet.systemd.layout import (
    BALANCER, BRIDGE, HOSTS, NETWORK, NETWORK_WHOLE, REDIS_HOSTS, REDIS_NODES, SERVICE_HOSTS, Host, State, state,
)

NAME = "exalt-hosts"      # the network, and what the names of containers begin with
RUN = (
    "--cap-add", "SYS_ADMIN", "--cap-add", "NET_ADMIN", "--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined",
    "--volume", "/sys/fs/cgroup:/sys/fs/cgroup:rw", "--tmpfs", "/run", "--tmpfs", "/run/lock", "--tmpfs", "/tmp",
    "--stop-signal", "SIGRTMIN+3", "--memory", "768m",
)


def engine_of(fleet: State) -> Engine:
    given = os.environ.get("DOCKER_HOST", "")
    if fleet.facts.exists():
        address = json.loads(fleet.facts.read_text())["docker_host"]
        given = "" if address == f"unix://{fleet.engine / 'docker.sock'}" else address
    return Engine(fleet.engine, BRIDGE, NETWORK_WHOLE, programs(compose=False), given)


def container(host: Host) -> str:
    return f"{NAME}-{host.name}"


def create(engine: Engine, host: Host, content: bytes) -> None:
    engine.docker("create", "--name", container(host), "--hostname", host.name, "--network", NAME, "--ip", host.address, *RUN, host_image.NAME)
    copied = subprocess.run(["docker", "cp", "-", f"{container(host)}:/"], env=engine.environment, input=content, capture_output=True,
                            timeout=60, check=False)
    if copied.returncode:
        raise FleetError(f"docker cp to {host.name}: {copied.stderr.decode().strip()}")


def wait(what: str, reached: t.Callable[[], object], patience: float, words: t.Callable[[], str]) -> None:
    deadline = time.monotonic() + patience
    while not reached():
        if time.monotonic() > deadline:
            raise FleetError(f"{what} in {patience:.0f} s: {words()}")
        time.sleep(0.1)


def ssh_answers(host: Host) -> bool:
    try:
        with socket.create_connection((host.address, 22), timeout=1) as connection:
            return connection.recv(4).startswith(b"SSH")
    except OSError:
        return False


def healthy(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{address}:8404/actuator/health", timeout=3) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def journal(engine: Engine, host: Host, unit: str) -> str:
    said = engine.docker("exec", container(host), "journalctl", "--no-pager", "--lines", "2", "--output", "cat", "--unit", unit, check=False)
    return (said.strip() or engine.docker("logs", "--tail", "2", container(host), check=False).strip() or "nothing in its journal")[-300:]


def start(fleet: State, engine: Engine, image: Path) -> None:
    contents = files.write_all(fleet)
    engine.up()
    engine.load([image])
    engine.docker("network", "create", "--internal", "--subnet", f"{NETWORK}.0/24", "--opt", f"com.docker.network.bridge.name={BRIDGE}", NAME)
    for host in HOSTS:
        create(engine, host, contents[host.name])
    engine.docker("start", *(container(host) for host in HOSTS))
    for host in HOSTS:
        wait(f"{host.name} does not answer by SSH", lambda host=host: ssh_answers(host), 40, lambda host=host: journal(engine, host, "ssh"))
    inside = ("sh", "-c", '. /etc/redis/environment; REDISCLI_AUTH=$REDIS_PASSWORD exec redis-cli "$@"', "redis-cli")
    redis_nodes.form(REDIS_NODES, fleet.secret("redis_password"),
                     lambda arguments: engine.docker("exec", container(REDIS_HOSTS[0]), *inside, *arguments))
    for host in (*SERVICE_HOSTS, BALANCER):
        unit = "haproxy" if host == BALANCER else "caching-service"
        wait(f"{unit} on {host.name} is not healthy", lambda host=host: healthy(host.address), 40,
             lambda host=host, unit=unit: journal(engine, host, unit))
    files.describe(fleet, engine)       # last: where these files are, the fleet was complete once


def remove(fleet: State, engine: Engine) -> None:
    if engine.given:
        engine.docker("rm", "--force", "--volumes", *(container(host) for host in HOSTS), check=False)
        engine.docker("network", "rm", NAME, check=False)
    else:
        engine.down()
    engines.remove(fleet.folder)


def build() -> Path:
    """What has to be made once; only this needs the network."""
    try:
        programs(compose=False)
        return host_image.build()
    except ImageError as error:
        raise FleetError(str(error)) from error


def up() -> bool:
    """Start the fleet; False if it is running already."""
    fleet = state()
    if not shutil.which("ssh"):
        raise FleetError("ssh is not on PATH: this fleet is reached by SSH")
    image = build()
    with locked():
        engine = engine_of(fleet)
        if fleet.facts.exists() and engine.answers():
            return False
        if fleet.folder.exists():
            print("fleet: removing what an earlier fleet left behind", file=sys.stderr)
            remove(fleet, engine)
            engine = engine_of(fleet)
        try:
            start(fleet, engine, image)
        except BaseException:
            if not os.environ.get("EXALT_FLEET_KEEP"):
                remove(fleet, engine)
            raise
        return True


def down() -> bool:
    """Stop the fleet and remove every trace; False if there was nothing."""
    fleet = state()
    with locked():
        if not fleet.folder.exists():
            return False
        remove(fleet, engine_of(fleet))
        return True


def report() -> list[tuple[str, str, str]]:
    """Name, address and state of each host's units."""
    fleet = state()
    if not fleet.facts.exists():
        return []
    engine = engine_of(fleet)
    rows = []
    for host in HOSTS:
        for unit in files.UNITS[host.kind] or ("haproxy.service",):
            seen = engine.docker("exec", container(host), "systemctl", "is-active", unit, check=False).strip()
            rows.append((f"{host.name} {unit.removesuffix('.service')}", host.address, seen or "unknown"))
    return rows
