# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests on real platforms: they run only for the platforms that PLATFORMS names."""

from __future__ import annotations

import os
import typing as t
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path

import pytest

from tests.harness.matrix import HOMES, opened
from tests.harness.operations import asked_for

if t.TYPE_CHECKING:
    from tests.harness.hosts import HostsFleet
    from tests.harness.kubernetes import Cluster
    from tests.harness.matrix import Platform
    from tests.harness.matrix_kubernetes import KubernetesFleet


# What is not asked for is not even read: its libraries take a second to load.
NEEDS = {
    **dict.fromkeys(("kubernetes", "kubernetes_deploy", "kubernetes_failures", "kubernetes_rights", "kubernetes_certificates", "cert_manager"),
                    ("kubernetes",)),
    **dict.fromkeys(("hosts", "redeploy"), ("compose", "systemd")), **dict.fromkeys(("matrix", "molecule", "certificates", "update"), tuple(HOMES)),
}
collect_ignore = [f"test_{name}.py" for name, platforms in NEEDS.items() if not any(map(asked_for, platforms))]


# Long trials, file by file; the table of platforms (test_matrix.py) and what is short are what each run shows.
CAMPAIGNS = ("cert_manager", "certificates", "redeploy", "kubernetes_deploy", "kubernetes_failures", "kubernetes_rights", "molecule", "update")


LONG = ("test_playbooks_of_", "test_an_update_", "test_check_mode_of_site_", "test_check_mode_of_backups")
# Rows of the table that are long everywhere; a run without platforms shows them on the local fleet
LONGEST = ("test_the_cluster_is_restored_from_files", "test_the_service_is_recovered", "test_a_version_", "test_redis_restarts_", "test_memory_of_redis",
           "test_check_mode_of_an_update", "test_stop_flushes_first_")


def mark(items: list[pytest.Item]) -> None:
    """What of these is a campaign."""
    for item in [one for one in items if one.path.parent == HERE]:
        # what needs nothing of a platform but its modules is shown by the runner of Kubernetes, and so is, in each run, what takes longest
        elsewhere = item.name.startswith(LONG) and "kubernetes" not in item.name
        if elsewhere or item.name.startswith(LONGEST) or item.path.stem.removeprefix("test_") in CAMPAIGNS:
            item.add_marker("campaign")


@pytest.fixture(scope="package")
def cluster() -> Iterator[Cluster]:
    """The trial fleet on Kubernetes. Where it was asked for, a fleet that can't run is a failure."""
    from tests.fleet.kubernetes import lifecycle
    from tests.harness.kubernetes import Cluster, machine_state
    from tests.harness.witnesses import Audit, witness

    before = machine_state()
    started = lifecycle.up()
    try:
        during = machine_state()
        made = Cluster()
        with witness(Audit(made.state.audit)) if made.state.audit.exists() else nullcontext():
            yield made
    finally:
        if started:
            lifecycle.down()
    if started and "KUBECONFIG" not in os.environ:
        assert during != before, "the fleet is seen on the machine while it runs"
        left = {kind: more for kind, lines in machine_state().items() if (more := [line for line in lines if line not in before[kind]])}
        assert not left, "it leaves no device, route, rule, mount, process or folder; what others take away meanwhile is theirs"


def _hosts(platform: str) -> Iterator[HostsFleet]:
    """A trial fleet on Compose or on hosts with systemd; after it nothing is left of it."""
    from tests.fleet.compose import lifecycle as compose
    from tests.fleet.systemd import lifecycle as systemd
    from tests.harness.hosts import ComposeFleet, SystemdFleet
    from tests.harness.witnesses import of_hosts, witness

    lifecycle, kind = (compose, ComposeFleet) if platform == "compose" else (systemd, SystemdFleet)
    started = lifecycle.up()
    fleet = kind()
    try:
        with witness(of_hosts(fleet)):
            yield fleet
    finally:
        if started:
            lifecycle.down()
    if started and not fleet.engine.given:
        assert fleet.engine.leftovers() == []


class Alone:
    """One fleet of hosts at a time: another one starts when that one has ended, as each takes its share of the machine while it runs."""

    def __init__(self) -> None:
        self.platform = ""
        self.stack = ExitStack()

    def fleet(self, platform: str) -> HostsFleet:
        if platform != self.platform:
            self.platform = ""
            self.stack.close()
            self.running = self.stack.enter_context(contextmanager(_hosts)(platform))
            self.platform = platform
        return self.running


@pytest.fixture(scope="package")
def alone() -> Iterator[Alone]:
    made = Alone()
    with made.stack:
        yield made


@pytest.fixture(scope="module")
def compose_fleet(alone: Alone) -> HostsFleet:
    return alone.fleet("compose")


@pytest.fixture(scope="module")
def systemd_fleet(alone: Alone) -> HostsFleet:
    return alone.fleet("systemd")


@pytest.fixture(scope="module", params=["compose", "systemd"])
def hosts(request: pytest.FixtureRequest) -> HostsFleet:
    """The trial fleets on Compose and on hosts with systemd, as somebody else has made them."""
    if not asked_for(request.param):
        pytest.skip(f"needs PLATFORMS={request.param}")
    return t.cast("HostsFleet", request.getfixturevalue(f"{request.param}_fleet"))


@pytest.fixture(scope="package")
def deployed(cluster: Cluster) -> Iterator[KubernetesFleet]:
    """A namespace beside the guide's, for the fleet that playbooks make; the table of operations comes first, and makes it."""
    from tests.harness.matrix_kubernetes import KubernetesFleet

    fleet = KubernetesFleet(cluster, "caching-deployed")
    yield fleet
    if "EXALT_FLEET_KEEP" not in os.environ:
        fleet.remove()


@pytest.fixture(scope="module")
def running(deployed: KubernetesFleet) -> KubernetesFleet:
    """That fleet, made where no test has made it yet."""
    if not deployed.members():
        made = deployed.play("deploy")
        assert made.rc == 0, made.stdout
    return deployed


@pytest.fixture(scope="module", params=list(HOMES))
def platform(request: pytest.FixtureRequest) -> Iterator[Platform]:
    """A fleet for the table of platform × operation."""
    if not asked_for(request.param):
        pytest.skip(f"needs PLATFORMS={request.param}")
    with opened(request.param, request) as fleet:
        yield fleet


HERE = Path(__file__).parent
ORDER = ("test_hosts.py", "test_matrix.py")


def platform_of(item: pytest.Item) -> int:
    """Its place in the order of platforms: whatever is of one follows each other."""
    return next((place for place, name in enumerate(HOMES) if name in item.nodeid.removeprefix("tests/integration/platforms/")), 0)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Platform by platform; on each what is tried on fleets of somebody else, then the table, which begins with no fleet; the others go on with that."""
    mark(items)
    places = [place for place, item in enumerate(items) if item.path.parent == HERE]
    ours = sorted((items[place] for place in places), key=lambda item: (platform_of(item), (*ORDER, item.path.name).index(item.path.name)))
    for place, item in zip(places, ours):
        items[place] = item
