# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Start the cluster and the fleet in it, stop both, and say how they are."""

from __future__ import annotations

import concurrent.futures
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.fleet import paths
from tests.fleet.images import catalogue
from tests.fleet.images.archive import ImageError
from tests.fleet.images.build import Built, build
from tests.fleet.kubernetes import certificates, configuration, facts, given, machine, network, objects
from tests.fleet.kubernetes.layout import NODES, State, state
from tests.fleet.kubernetes.programs import Programs, programs
from tests.fleet.local import lifecycle as local
from tests.fleet.local.processes import FleetError

CONTROLLERS = Path("/sys/fs/cgroup/memory/cgroup.procs"), Path("/sys/fs/cgroup/cgroup.controllers")
DEBUG = bool(os.environ.get("EXALT_FLEET_TIMES"))


@contextmanager
def step(name: str) -> Iterator[None]:
    """With EXALT_FLEET_TIMES, says how long a part of the start took."""
    started = time.monotonic()
    yield
    if DEBUG:
        print(f"fleet: {name} {time.monotonic() - started:.1f} s", file=sys.stderr, flush=True)


def require_machine() -> None:
    if sys.platform != "linux" or os.geteuid():
        raise FleetError("the fleet on Kubernetes needs Linux and root (containers, networks); or set KUBECONFIG to use a cluster")
    if not any(path.exists() for path in CONTROLLERS):
        raise FleetError("/sys/fs/cgroup shows no memory controller here, so containers can't be limited")


def import_images(state: State, programs: Programs, built: Built) -> None:
    """Into every node at once; containerd keeps what it has."""
    def one(node_number: int) -> None:
        socket = str(state.socket(NODES[node_number]))
        for archive in built.archives:
            command = [str(programs.debian / "usr/bin/ctr"), "-a", socket, "-n", "k8s.io", "images", "import", str(archive)]
            done = subprocess.run(command, env=programs.environment, capture_output=True, text=True, check=False)
            if done.returncode:
                raise FleetError(f"{archive.name} can't be imported: {(done.stderr or done.stdout).strip()[-300:]}")

    with concurrent.futures.ThreadPoolExecutor(len(NODES)) as pool:
        list(pool.map(one, range(len(NODES))))


def start_cluster(state: State, programs: Programs, built: Built) -> None:
    certificates.write_all(state)
    configuration.write_all(state, programs)
    network.up(state, programs)
    commands = dict(configuration.control(state, programs))
    for name in ("etcd", "apiserver"):
        machine.start(state, programs, name, commands.pop(name))
    for node in NODES:
        machine.start(state, programs, f"containerd-{node.number}", configuration.runtime(state, node, programs))
    for node in NODES:
        machine.wait(state, f"containerd-{node.number}", f"the container runtime of {node.name}", state.socket(node).is_socket)
    with step("images imported in"):
        import_images(state, programs, built)
    api = objects.connect(state.kubeconfig())
    with step("API server after another"):
        machine.wait(state, "apiserver", "the API server", lambda: objects.ready(api))
    for name, command in commands.items():
        machine.start(state, programs, name, command)
    for node in NODES:
        machine.start(state, programs, f"kubelet-{node.number}", configuration.agent(state, node, programs))
    with step("nodes ready after another"):
        machine.wait(state, "kubelet-0", "the nodes", lambda: objects.nodes_ready(api))


def runner(state: State) -> subprocess.Popen[str]:
    """The playbook that a user would run for it; the rest of the fleet starts meanwhile."""
    command = [str(Path(sys.executable).parent / "ansible-playbook"), "exalt.caching.runner", "-i", str(state.inventory)]
    return subprocess.Popen(command, cwd=paths.ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True)


def start_fleet(state: State, built: Built, outside: bool = False) -> None:
    api = objects.connect(state.kubeconfig())
    facts.write_inventory(state)
    service = f"{catalogue.SERVICE}:{catalogue.SERVICE_VERSIONS[0]}"
    redis = next(name for name in built.names["redis"] if name.startswith(f"{catalogue.REDIS}:"))
    ours = given.manifests(state, service, redis) if outside else [
        *objects.metrics(), *objects.volumes(state), *objects.manifests(state, service, redis)]
    objects.apply(api, ours)
    with runner(state) as playing:
        try:
            with step("Redis Cluster formed in"):
                given.form_redis(api) if outside else objects.form_redis(api, state.secret("redis_password"))
            with step("service ready after another"):
                objects.wait_for_pods(api, "caching-service", 3)
            with step("runner ready after another"):
                said = playing.communicate(timeout=180)[0]
        except BaseException:
            playing.kill()
            raise
    if playing.returncode:
        reasons = [line for line in said.splitlines() if "[ERROR]" in line] or [f"ended with {playing.returncode}"]
        raise FleetError(f"playbook runner: {reasons[-1][:500]}")


def remove(state: State) -> None:
    if (state.folder / "given").exists():
        return given.remove(state)
    found = programs()
    try:
        machine.require_all(state)
    except FleetError as error:
        print(f"fleet: before it was stopped {error}", file=sys.stderr, flush=True)
    sockets = machine.shim_sockets(state)
    machine.stop_all(state, found)
    machine.remove_mounts(state)
    subprocess.run([found.kube, "proxy", "--cleanup"], env=found.environment, capture_output=True, check=False)
    network.down(state, found)
    machine.clean_machine(state, sockets)
    machine.remove_files(state)
    return None


def running(fleet: State) -> bool:
    return bool(fleet.facts.exists() and ((fleet.folder / "given").exists() or machine.pid(fleet, "apiserver")))


def up_in_given(fleet: State, path: Path) -> bool:
    """The fleet in the cluster of KUBECONFIG."""
    built = build()
    with local.locked():
        if running(fleet):
            return False
        if fleet.folder.exists() or machine.of_fleet(fleet):
            remove(fleet)
        fleet.folder.mkdir(parents=True, mode=0o700)
        try:
            certificates.write_all(fleet)
            given.adopt(fleet, path)
            start_fleet(fleet, built, outside=True)
            facts.write_facts(fleet)
        except BaseException:
            machine.remove_files(fleet) if not (fleet.folder / "given").exists() else remove(fleet)
            raise
        return True


def up() -> bool:
    """Start the cluster and the fleet; False if they are there already."""
    fleet = state()
    path = given.kubeconfig(fleet)
    if path:
        return up_in_given(fleet, path)
    require_machine()
    with step("programs and images in"):
        try:
            found, built = programs(), build()
        except ImageError as error:
            raise FleetError(str(error)) from error
    with local.locked():
        if running(fleet):
            return False
        if fleet.folder.exists() or machine.of_fleet(fleet):
            print("fleet: removing what an earlier fleet left behind", file=sys.stderr)
            remove(fleet)
        fleet.folder.mkdir(parents=True, mode=0o700)
        if Path("/var/lib/kubelet").exists():
            (fleet.folder / "kubelet-was-here").touch()
        try:
            start_cluster(fleet, found, built)
            start_fleet(fleet, built)
            machine.require_all(fleet)
            facts.write_facts(fleet)      # last: where this file is, the fleet was complete once
        except BaseException:
            if not os.environ.get("EXALT_FLEET_KEEP"):
                remove(fleet)
            raise
        return True


def down() -> bool:
    """Stop both and remove every trace; False if there was nothing."""
    fleet = state()
    with local.locked():
        if not fleet.folder.exists() and not machine.of_fleet(fleet):
            return False
        remove(fleet)
        return True


def report() -> list[tuple[str, str, str]]:
    """Name, address and state of each pod."""
    fleet = state()
    if not running(fleet):
        return []
    api = objects.connect(fleet.kubeconfig())
    found = [pod for app in ("caching-service", "redis-cluster", "caching-runner") for pod in objects.pods(api, app)]
    return [(pod.metadata.name, f"{pod.status.pod_ip} on {pod.spec.node_name}", "ready" if objects.is_ready(pod) else objects.state_of(pod))
            for pod in found]
