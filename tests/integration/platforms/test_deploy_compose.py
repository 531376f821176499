# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Playbook deploy on a real Docker Engine: a project of somebody else's, nothing at all, nothing to do, one change, a broken image."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.fleet.compose.layout import BRIDGE, COMPOSE_FILE, NETWORK, REDIS_NODES, REDIS_SERVICES
from tests.fleet.compose.lifecycle import compose
from tests.fleet.redis_nodes import lacking
from tests.harness.hosts import HostsFleet

CRASH = "the schema of the configuration is newer than this version"


def declared(hosts: HostsFleet) -> dict[str, object]:
    version = next(line.partition("=")[2] for line in (hosts.state.folder / "redis-version").read_text().splitlines())
    return {
        "caching_image": "exalt/caching-service", "caching_version": "2.4.0", "caching_redis_image": "exalt/redis",
        "caching_redis_version": version, "caching_open_files": 4096, "caching_redis_settings": {"cluster-node-timeout": 2000},
        "caching_compose_network": {
            "internal": True, "driver_opts": {"com.docker.network.bridge.name": BRIDGE},
            "ipam": {"config": [{"subnet": f"{NETWORK}.0/24", "ip_range": f"{NETWORK}.128/25"}]}},
        "caching_resources": {"limits": {"memory": "512Mi"}}, "caching_redis_resources": {"limits": {"memory": "256Mi"}},
        "caching_environment": {"CACHING_DATABASE": "/var/lib/caching-service/database.sqlite", "CACHING_DRAIN": "0.2"},
    }


def digests(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def wanted(hosts: HostsFleet) -> dict[str, object]:
    if hosts.platform != "compose":
        pytest.skip("of Compose alone")
    known = dict(line.split("=", 1) for line in (hosts.state.project / ".env").read_text().splitlines())
    (hosts.state.folder / "redis-version").write_text(f"REDIS_VERSION={known['REDIS_VERSION']}\n")
    return declared(hosts)


@pytest.mark.hazard("H13")
def test_what_somebody_else_wrote_is_shown_and_stays(hosts: HostsFleet, wanted: dict[str, object]) -> None:
    files, before = digests(hosts.state.project), hosts.members()
    refused = hosts.play("deploy", **wanted)
    assert refused.rc != 0 and "docker-compose.prod.yml, redis.conf were not made by exalt.caching: caching_adopt=true" in refused.stdout
    assert f"{COMPOSE_FILE}: + # Managed by exalt.caching" in refused.stdout, "what differs is shown"
    assert hosts.state.secret("redis_password") not in refused.stdout
    assert digests(hosts.state.project) == files and hosts.members() == before


def test_from_nothing_to_formed_and_healthy(hosts: HostsFleet, wanted: dict[str, object]) -> None:
    compose(hosts.engine, hosts.state, "down", "--volumes", "--timeout", "5")
    for path in hosts.state.project.rglob("*"):
        if path.is_file():
            path.unlink()
    check = hosts.play("deploy", check=True, **wanted)
    assert check.rc == 0 and check.changed > 0, check.stdout
    assert digests(hosts.state.project) == {} and hosts.members() == {}, "check mode wrote"
    first = hosts.play("deploy", **wanted)
    assert first.rc == 0, first.stdout
    password = hosts.state.secret("redis_password")
    assert [lacking(node, password, len(REDIS_NODES)) for node in REDIS_NODES] == [""] * 6
    assert len(hosts.service()) == 3 and all(one.running for one in hosts.members().values())
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in hosts.state.project.iterdir() if path.is_file()}
    assert (modes["redis.conf"], modes["caching-service.env"]) == ("0o640", "0o600")
    assert password not in (hosts.state.project / COMPOSE_FILE).read_text()
    before = hosts.members()
    second = hosts.play("deploy", **wanted)
    assert second.rc == 0 and second.changed == 0, second.stdout
    assert hosts.members() == before


def test_a_changed_declaration_changes_only_that(hosts: HostsFleet, wanted: dict[str, object]) -> None:
    before = hosts.members()
    changed = {**wanted, "caching_environment": {**wanted["caching_environment"], "EXALT_NOTE": "changed"}}     # type: ignore[dict-item]
    done = hosts.play("deploy", **changed)
    assert done.rc == 0, done.stdout
    after = hosts.members()
    assert all(before[name] == after[name] for name in before if any(service in name for service in REDIS_SERVICES)), "Redis was touched"
    assert {after[name].process for name in hosts.service()}.isdisjoint({before[name].process for name in before})
    back = hosts.play("deploy", **wanted)
    assert back.rc == 0, back.stdout


def test_a_broken_image_ends_with_its_words_and_the_others_go_on(hosts: HostsFleet, wanted: dict[str, object]) -> None:
    before = hosts.members()
    failed = hosts.play("deploy", **{**wanted, "caching_version": "2.5.0-crash-loop", "caching_platform_timeout": "PT15S"})
    assert failed.rc != 0 and CRASH in failed.stdout, failed.stdout
    after = hosts.members()
    assert sum(before.get(name) == one for name, one in after.items() if "service" in name) == 2, "two of three go on as before"
    assert hosts.play("deploy", **wanted).rc == 0


@pytest.mark.hazard("H21")
def test_the_configuration_is_merged_and_a_second_run_changes_nothing(hosts: HostsFleet, wanted: dict[str, object]) -> None:
    file = hosts.state.project / "config" / "application.yml"
    before = hosts.members()
    given = {"caching_configuration": {"cache": {"redis": {"pool": {"maxTotal": 77}}, "name": "trial"}}}
    done = hosts.play("configure", **given)
    assert done.rc == 0 and "maxTotal: 77" in file.read_text() and "name: trial" in file.read_text(), done.stdout
    again = hosts.play("configure", **given)
    assert again.rc == 0 and again.changed == 0, again.stdout
    assert hosts.members() == before, "nothing was restarted"
