# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Start the fleet, stop it, and say how it is."""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import os
import shutil
import subprocess
import sys
import time
import typing as t
import xmlrpc.client
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from supervisor.xmlrpc import SupervisorTransport

from tests.fleet import paths
from tests.fleet.local import facts, processes
from tests.fleet.local.layout import (
    BUS_PORT, INSTANCES, MANAGEMENT_PORT, NODES, REDIS_PORT, SERVICE_PORT, STORE, TLS, TLS_PORT, Instance, State, state,
)
from tests.fleet.local.processes import FleetError


@contextlib.contextmanager
def locked() -> Iterator[None]:
    """One start or stop at a time. The lock is on the cache folder itself, so it leaves no file."""
    paths.cache().mkdir(parents=True, exist_ok=True)
    handle = os.open(paths.cache(), os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def control(fleet: State) -> xmlrpc.client.ServerProxy:
    return xmlrpc.client.ServerProxy("http://localhost", SupervisorTransport(None, None, f"unix://{fleet.socket}"))


def supervisor_pid(fleet: State) -> int:
    """Process of the running supervisor of this fleet, or 0."""
    try:
        pid = int(fleet.supervisor_pid.read_text())
    except (OSError, ValueError):
        return 0
    return pid if processes.alive(pid) and "supervisord" in processes.command_of(pid) else 0


def addresses() -> list[tuple[str, int]]:
    redis = [(node.host, port) for node in NODES for port in (REDIS_PORT, BUS_PORT)]
    redis += [(STORE.host, port) for port in STORE.ports]
    return redis + [(one.host, port) for one in INSTANCES for port in (SERVICE_PORT, MANAGEMENT_PORT, TLS_PORT)]


def healthy(instance: Instance) -> bool:
    connection = http.client.HTTPConnection(instance.host, MANAGEMENT_PORT, timeout=3)
    try:
        connection.request("GET", "/actuator/health")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def wait_for_services(fleet: State, patience: float = 15.0) -> None:
    deadline = time.monotonic() + patience
    waiting = list(INSTANCES)
    while waiting:
        waiting = [instance for instance in waiting if not healthy(instance)]
        if waiting and time.monotonic() > deadline:
            log = fleet.logs / f"{waiting[0].name}.log"
            lines = log.read_text("utf-8", "replace").split("\n") if log.exists() else []
            said = next((line for line in reversed(lines) if line.strip()), "nothing in its log")
            raise FleetError(f"{waiting[0].name} did not become healthy in {patience:.0f} s: {said.strip()[:200]}")
        time.sleep(0.05 if waiting else 0)


def wait_for_supervisor(fleet: State) -> None:
    """Until the supervisor too calls every program started (after its `startsecs`)."""
    while any("STARTING" in seen for _name, _address, seen in report()):
        time.sleep(0.05)


def remove(fleet: State) -> None:
    """End every process of the fleet and remove its files."""
    processes.thaw(processes.of_fleet(fleet.folder))
    pid = supervisor_pid(fleet)
    if pid:
        processes.end([pid], patience=20)       # it stops its programs first
    processes.end(processes.of_fleet(fleet.folder))
    if fleet.socket_note.exists():
        shutil.rmtree(fleet.socket.parent, ignore_errors=True)
    shutil.rmtree(fleet.folder, ignore_errors=True)
    if fleet.folder.exists():
        raise FleetError(f"{fleet.folder} can't be removed")
    with contextlib.suppress(OSError):
        fleet.folder.parent.rmdir()


def start(fleet: State) -> None:
    from tests.fleet.local import cluster, files, store      # slow to import, and only needed here

    processes.require_free(addresses())
    files.write_all(fleet)
    supervisord = [sys.executable, "-m", "supervisor.supervisord", "-c", str(fleet.supervisor_config)]
    environment = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "LC_ALL", "TMPDIR")}
    ran = subprocess.run(supervisord, capture_output=True, text=True, env=environment,
                         stdin=subprocess.DEVNULL, umask=0o077, check=False)
    if ran.returncode:
        raise FleetError(f"supervisord: {(ran.stderr or ran.stdout).strip() or ran.returncode}")
    with ThreadPoolExecutor() as pool:
        ready = pool.submit(store.start, fleet, lambda name: control(fleet).supervisor.startProcess(name, False))
        cluster.form(fleet.secret("redis_password"), options=fleet.redis_options)
        for instance in INSTANCES:
            control(fleet).supervisor.startProcess(instance.name, False)
        wait_for_services(fleet)
        ready.result()
    wait_for_supervisor(fleet)
    facts.write_all(fleet)      # last: where this file is, the fleet was complete once


def up() -> bool:
    """Start the fleet; False if it is running already."""
    fleet = state()
    with locked():
        if supervisor_pid(fleet) and fleet.facts.exists():
            if fleet.redis_tls != TLS:
                has, wanted = ("with", "without") if fleet.redis_tls else ("without", "with")
                raise FleetError(f"a fleet {has} TLS on Redis is running, and one {wanted} it is wanted: make fleet-down first")
            return False
        remains = processes.of_fleet(fleet.folder)
        if fleet.folder.exists() or remains:
            print(f"fleet: removing what an earlier fleet left behind ({len(remains)} processes)", file=sys.stderr)
            remove(fleet)
        try:
            start(fleet)
        except BaseException:
            remove(fleet)
            raise
        return True


def down() -> bool:
    """Stop the fleet and remove its state; False if there was nothing."""
    fleet = state()
    with locked():
        if not fleet.folder.exists() and not processes.of_fleet(fleet.folder):
            return False
        remove(fleet)
        return True


def wait_until_whole(fleet: State, patience: float = 30.0) -> None:
    """Wait until every node sees the whole cluster and every instance is healthy again, whatever was done to them."""
    from tests.fleet.local import cluster

    cluster.wait_until_whole(fleet.secret("redis_password"), patience, fleet.redis_options)
    wait_for_services(fleet, patience)


def report() -> list[tuple[str, str, str]]:
    """Name, address and state of each program."""
    fleet = state()
    if not supervisor_pid(fleet):
        return []
    try:
        told: t.Any = control(fleet).supervisor.getAllProcessInfo()
        seen = {row["name"]: row["statename"] for row in told}
    except (OSError, xmlrpc.client.Error, http.client.HTTPException) as error:
        raise FleetError(f"the supervisor does not answer on {fleet.socket}: {error}") from error
    rows = [(node.name, node.address, seen.get(node.name, "UNKNOWN")) for node in NODES]
    for instance in INSTANCES:
        health = "healthy" if healthy(instance) else "not healthy"
        rows.append((instance.name, instance.facts["url"], f"{seen.get(instance.name, 'UNKNOWN')}, {health}"))
    ports = (STORE.master_port, STORE.volume_port, STORE.port)
    rows += [(name, f"{STORE.host}:{port}", seen.get(name, "UNKNOWN")) for name, port in zip(STORE.programs, ports)]
    return rows
