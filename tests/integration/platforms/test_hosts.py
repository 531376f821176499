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

from tests.harness.hosts import HostsFleet

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


def test_site_changes_once_and_check_mode_nothing(hosts: HostsFleet) -> None:
    before = hosts.members()
    check = hosts.play("site", check=True, caching_regions=REGIONS)
    assert check.rc == 0 and check.changed == 1, check.stdout
    first = hosts.play("site", caching_regions=REGIONS)
    assert first.rc == 0 and first.changed == 1, first.stdout
    second = hosts.play("site", caching_regions=REGIONS)
    assert second.rc == 0 and second.changed == 0, second.stdout
    assert hosts.members() == before


@pytest.mark.hazard("H06")
def test_discover_tells_where_members_are(hosts: HostsFleet, tmp_path: Path) -> None:
    outcome, members = hosts.verb(tmp_path, "discover", "caching_members", caching_discover_usage=True)
    assert outcome.rc == 0, outcome.stdout
    assert len(members) == len(hosts.members()) == 9
    for member in members:
        assert member["ready"] and member["address"] and member["detail"] == "" and member["memory_bytes"] > 2**20
    assert [member["role"] for member in members] == ["service"] * 3 + ["redis"] * 6


@pytest.mark.hazard("H08", "H09", "H10", "H11", "H12")
def test_stop_flushes_first_and_start_brings_back_as_many(hosts: HostsFleet) -> None:
    scaled = hosts.play("scale", caching_replicas=2)
    assert scaled.rc == 0 and running(hosts) == 2, scaled.stdout
    before = hosts.members()
    check = hosts.play("stop", check=True)
    assert check.rc == 0 and hosts.members() == before, check.stdout
    stopped = hosts.play("stop")
    assert stopped.rc == 0 and running(hosts) == 0, stopped.stdout
    flushed = stopped.results("cache_task")[0]
    assert flushed["changed"] and [one["status"] for one in flushed["instances"]].count("shut down") >= 2, flushed["instances"]
    after = hosts.members()
    assert {name: after[name].restarts for name in after} == {name: before[name].restarts for name in after}, "it was restarted meanwhile"
    assert {name: after[name].detail for name in after} == {name: before[name].detail for name in after}
    started = hosts.play("start")
    assert started.rc == 0 and running(hosts) == 2, started.stdout
    back = hosts.play("scale", caching_replicas=3)
    assert back.rc == 0 and running(hosts) == 3, back.stdout
    again = hosts.play("start")
    assert again.rc == 0 and again.changed == 0, again.stdout


def test_one_member_is_restarted_and_its_log_read(hosts: HostsFleet, tmp_path: Path) -> None:
    before = hosts.members()
    victim = sorted(hosts.service())[-1]
    outcome, members = hosts.verb(tmp_path, "restart_one", "caching_members", caching_verb_member=victim)
    assert outcome.rc == 0 and all(member["ready"] for member in members), outcome.stdout
    after = hosts.members()
    assert [name for name in after if after[name].process != before[name].process] == [victim]
    redis = next(member["name"] for member in members if member["role"] == "redis")
    _outcome, logs = hosts.verb(tmp_path, "logs", "caching_verb_logs", caching_verb_member=redis)
    assert "Ready to accept connections" in logs["stdout"] and "\x00" not in logs["stdout"]
    missing, _nothing = hosts.verb(tmp_path, "restart_one", "1", caching_verb_member="nobody")
    assert missing.rc != 0 and f"nobody is no member of {hosts.platform}; members are" in missing.stdout


@pytest.mark.hazard("H27")
def test_a_one_off_runs_as_the_service_and_tells_how_it_ended(hosts: HostsFleet, tmp_path: Path) -> None:
    before = hosts.members()
    urls = {"compose": "http://caching-service:8403", "systemd": hosts.facts.get("service_url", "")}
    good = hosts.verb(tmp_path, "one_off", "caching_verb_result", caching_verb_command=["/app/scripts/smoke-test.sh"],
                      caching_verb_environment={"CACHING_SERVICE_URL": urls[hosts.platform]})[1]
    assert good["rc"] == 0 and "smoke-test: ok" in good["stdout"], good
    bad = hosts.verb(tmp_path, "one_off", "caching_verb_result", caching_verb_command=["/app/scripts/compatibility-check.sh"],
                     caching_verb_environment={"EXALT_FAULT": "incompatible"})[1]
    assert bad["rc"] == 1 and "this version needs Redis 8" in bad["stdout"], bad
    assert hosts.members() == before


def test_a_file_of_a_member_is_read(hosts: HostsFleet, tmp_path: Path) -> None:
    names = {"compose": "redis-cluster-0", "systemd": "redis-1:6379"}
    outcome, content = hosts.verb(tmp_path, "file", "caching_verb_content", caching_verb_member=names[hosts.platform],
                                  caching_verb_path="/etc/redis/redis.conf")
    assert content and "cluster-node-timeout 2000" in content, outcome.stdout


def test_a_wait_ends_with_the_cause(hosts: HostsFleet) -> None:
    """A process that dies again and again: its last words are in the message, within the time that was given."""
    hosts.break_next()
    try:
        failed = hosts.play("scale", caching_replicas=4 if hosts.platform == "compose" else 3, caching_platform_timeout="PT20S")
    finally:
        hosts.repair()
    (record,) = failed.custom["exalt_caching_run"]
    assert failed.rc != 0 and record["verdict"] == "failed" and CRASH in failed.stdout, failed.stdout
    assert hosts.play("status").rc == 0
