# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verbs on a real Docker Engine with Compose and on real hosts with systemd: one suite, the same results on both.

What the platform itself tells is the witness: process numbers, restart counts, restart policies, unit files.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.harness.hosts import HostsFleet, SystemdFleet
from tests.harness.matrix_hosts import of

REGIONS = [{"name": "hosts-products", "default_ttl": "PT2H", "max_size": 500}]
CRASH = "the schema of the configuration is newer than this version"


def running(hosts: HostsFleet) -> int:
    return sum(one.running for one in hosts.service().values())


def test_nothing_for_an_absent_member_leaves_the_machine(hosts: HostsFleet) -> None:
    def route(address: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["ip", "route", "get", address], env=hosts.engine.environment, capture_output=True, text=True, check=False)

    if hosts.engine.given:
        pytest.skip("the networks of a given engine are not ours")
    network = hosts.engine.network.rpartition(".0.0/")[0]
    assert f"dev {hosts.engine.bridge}" in route(f"{network}.0.21").stdout
    assert route(f"{network}.77.1").returncode != 0
    rules = subprocess.run(["ip", "rule", "show"], env=hosts.engine.environment, capture_output=True, text=True, check=True).stdout
    assert f"iif {hosts.engine.bridge} unreachable" in rules
    assert len(hosts.engine.leftovers()) > 3, "the look for leftovers finds nothing while everything runs"


def test_site_brings_the_cache_to_its_declared_state(hosts: HostsFleet) -> None:
    before = hosts.members()
    first = hosts.play("site", caching_regions=REGIONS)
    assert first.rc == 0 and first.changed == 1 and hosts.members() == before, first.stdout


@pytest.mark.hazard("H27")
def test_every_place_is_asked_for_a_version(hosts: HostsFleet, tmp_path: Path) -> None:
    """The engine for its image, or each host for the files of its program: what is there, and what is not."""
    before = hosts.members()
    there, gone = {"compose": ("exalt/caching-service:2.5.0", "exalt/caching-service:9.9.9"), "systemd": ("passwd", "no-such-version")}[hosts.platform]
    command = {"caching_unit_command": "/usr/bin/env X={version} /etc/{version} run"}
    outcome, told = hosts.verbs(tmp_path, [
        ("image", "[caching_verb_image_missing, caching_verb_image_silent]", {"caching_verb_image": image, **command}) for image in (there, gone)])
    assert outcome.rc == 0 and told[0] == [[], []], outcome.stdout
    missing, silent = told[1]
    assert silent == [] and hosts.members() == before
    if hosts.platform == "compose":
        assert len(missing) == 1 and missing[0].startswith("the engine: ") and "9.9.9" in missing[0], missing
    else:
        assert missing == [f"service-{number}: there is no /etc/no-such-version" for number in (1, 2, 3)], missing


@pytest.mark.campaign
@pytest.mark.slow
@pytest.mark.hazard("H06", "H27")
def test_the_verbs_tell_the_same_everywhere(hosts: HostsFleet, tmp_path: Path) -> None:
    """Discover, restart one, logs, a file, one-offs, hold, and what nobody has: one playbook. A hold that stayed is told, and start ends it."""
    before = hosts.members()
    victim = sorted(hosts.service())[-1]
    names = {"compose": "redis-cluster-0", "systemd": "redis-1:6379"}
    written = {"compose": "/tmp/written", "systemd": "/etc/caching-service/environment"}[hosts.platform]
    text = hosts.on("service-1", "cat", written) if isinstance(hosts, SystemdFleet) else "text"
    outcome, told = hosts.verbs(tmp_path, [
        ("discover", "caching_members", {"caching_discover_usage": True}),
        ("restart_one", "caching_members", {"caching_verb_member": victim}),
        ("logs", "caching_verb_logs", {"caching_verb_member": names[hosts.platform]}),
        ("file", "caching_verb_content", {"caching_verb_member": names[hosts.platform], "caching_verb_path": "/etc/redis/redis.conf"}),
        ("one_off", "caching_verb_result", {"caching_verb_command": ["/app/scripts/smoke-test.sh"]}),
        ("one_off", "caching_verb_result", {"caching_verb_command": ["/app/scripts/compatibility-check.sh"],
                                            "caching_verb_environment": {"EXALT_FAULT": "incompatible"}}),
        ("file", "1", {"caching_verb_member": sorted(hosts.service())[0], "caching_verb_path": written, "caching_verb_content": text,
                       "caching_verb_write": True, "caching_verb_secret": True}),
        ("hold", "1", {}),
        ("restart_one", "1", {"caching_verb_member": "nobody"}),
    ])
    assert len(told) == 8, outcome.stdout
    members, restarted, logs, content, good, bad = told[:6]
    assert len(members) == len(before) == 9
    for member in members:
        assert member["ready"] and member["address"] and member["detail"] == "" and member["memory_bytes"] > 2**20
    assert [member["role"] for member in members] == ["service"] * 3 + ["redis"] * 6
    after = hosts.members()
    assert [name for name in after if after[name].process != before[name].process] == [victim] and all(one["ready"] for one in restarted)
    assert "Ready to accept connections" in logs["stdout"] and "\x00" not in logs["stdout"]
    assert "cluster-node-timeout 2000" in content
    assert good["rc"] == 0 and "smoke-test: ok" in good["stdout"], good
    assert bad["rc"] == 1 and "this version needs Redis 8" in bad["stdout"], bad
    assert outcome.rc != 0 and f"nobody is no member of {hosts.platform}; members are" in outcome.stdout
    assert not isinstance(hosts, SystemdFleet) or hosts.on("service-1", "stat", "-c", "%a", written).strip() == "600"
    assert {one.detail for one in hosts.service().values()} == {"no"}
    status = hosts.play("status")
    assert status.rc != 0 and status.stdout.count(f"{victim} stays down when it ends") >= 1, status.stdout
    started = hosts.play("start")
    assert started.rc == 0 and {name: one.detail for name, one in hosts.members().items()} == {name: one.detail for name, one in before.items()}


@pytest.mark.campaign
@pytest.mark.slow
@pytest.mark.hazard("H08", "H09", "H10", "H11", "H12")
def test_stop_flushes_first_and_start_brings_back_as_many(hosts: HostsFleet) -> None:
    """Two are left, stopped and started again; the third one dies again and again: its last words are told in the time that was given."""
    scaled = hosts.play("scale", caching_replicas=2)
    assert scaled.rc == 0 and running(hosts) == 2, scaled.stdout
    before = hosts.members()
    with hosts.cut("service-3"):
        stopped = hosts.play("stop")
    assert hosts.platform == "compose" or "service-3 can't be reached, and stays as it is" in stopped.stdout, stopped.stdout
    assert stopped.rc == 0 and running(hosts) == 0, stopped.stdout
    flushed = stopped.results("cache_task")[0]
    assert flushed["changed"] and [one["status"] for one in flushed["instances"]].count("shut down") >= 2, flushed["instances"]
    after = hosts.members()
    assert {name: after[name].restarts for name in after} == {name: before[name].restarts for name in after}, "it was restarted meanwhile"
    assert {name: after[name].detail for name in after} == {name: before[name].detail for name in after}
    started = hosts.play("start")
    assert started.rc == 0 and running(hosts) == 2, started.stdout
    hosts.break_next()
    try:
        failed = hosts.play("scale", caching_replicas=3, caching_platform_timeout="PT15S")
    finally:
        hosts.repair()
    (record,) = failed.custom["exalt_caching_run"]
    assert failed.rc != 0 and record["verdict"] == "failed" and CRASH in failed.stdout, failed.stdout
    back = hosts.play("scale", caching_replicas=3)
    assert back.rc == 0 and running(hosts) == 3, back.stdout


@pytest.mark.slow
@pytest.mark.hazard("H13")
def test_what_somebody_else_wrote_is_shown_and_stays(hosts: HostsFleet) -> None:
    fleet = of(hosts)
    before = fleet.snapshot()
    refused = fleet.play("deploy")
    words = {"compose": ["docker-compose.prod.yml, redis.conf were not made by exalt.caching: caching_adopt=true",
                         "docker-compose.prod.yml: + # Managed by exalt.caching"],
             "systemd": ["service-3: caching-service.service were not made by exalt.caching: caching_adopt=true",
                         "redis-1: redis@.service: + # Managed by exalt.caching"]}
    said = " ".join(refused.stdout.split())
    assert refused.rc != 0 and all(word in said for word in words[hosts.platform]), refused.stdout
    assert not any(hosts.state.secret(name) in refused.stdout for name in ("redis_password", "admin_token"))
    assert fleet.snapshot() == before


@pytest.mark.campaign
@pytest.mark.slow
def test_units_of_somebody_else_are_taken_over_one_by_one(hosts: HostsFleet) -> None:
    if hosts.platform != "systemd":
        pytest.skip("of systemd alone")
    fleet = of(hosts)
    keys = fleet.put(50)
    elsewhere = fleet.play("deploy", caching_adopt=True, caching_redis_data="/var/lib/other")
    assert elsewhere.rc != 0 and "has its data in /var/lib/redis/" in elsewhere.stdout, elsewhere.stdout
    taken = fleet.play("deploy", caching_adopt=True)
    assert taken.rc == 0 and fleet.lacking() == [] and fleet.kept(keys) == 50, taken.stdout
