# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet that playbook deploy has made, on a real Docker Engine and on real hosts with systemd: what a second deploy changes, and what not.

The tests follow each other, on the fleet that the table of operations has left where that ran before.
"""

from __future__ import annotations

import pytest

from tests.harness.hosts import HostsFleet
from tests.harness.matrix_hosts import Deployed, of

CRASH = "the schema of the configuration is newer than this version"
CHECKED = ("configure", "scale", "stop", "start", "backup")


@pytest.fixture(scope="module")
def made(hosts: HostsFleet) -> Deployed:
    fleet = of(hosts)
    if not fleet.is_ours():
        fleet.clear()
        done = fleet.play("deploy")
        assert done.rc == 0, done.stdout
    return fleet


def changed(made: Deployed) -> dict[str, object]:
    return {"caching_environment": {**made.declared["caching_environment"], "EXALT_NOTE": "changed"}}


@pytest.mark.slow
def test_check_mode_changes_no_file_unit_or_container(made: Deployed) -> None:
    """One run of several playbooks; the next test is the control that the comparison sees a change."""
    before = made.snapshot()
    check = made.play("deploy", *(f"exalt.caching.{name}" for name in CHECKED), check=True, **changed(made), **made.store(), caching_replicas=2,
                      caching_jvm="-Xmx200m", caching_configuration={"cache": {"name": "checked"}}, caching_redis_settings={"hz": 20})
    assert check.rc == 0 and check.changed > 5, check.stdout
    assert "EXALT_NOTE" in check.stdout and "hz 20" in check.stdout and "cache.name: unset → \"checked\"" in check.stdout, check.stdout
    assert made.snapshot() == before


@pytest.mark.slow
@pytest.mark.hazard("H18")
def test_options_of_the_virtual_machine_wait_for_the_next_deploy(made: Deployed) -> None:
    members, files = made.members(), made.snapshot()
    refused = made.play("configure", caching_jvm="-Xmx8g")
    assert refused.rc != 0 and "caching_jvm: -Xmx of 8192 MiB does not fit the container's 512 MiB" in refused.stdout, refused.stdout
    assert made.snapshot() == files
    done = made.play("configure", caching_jvm="-Xmx200m")
    assert done.rc == 0 and "JAVA_OPTS is pending until" in done.stdout and made.members() == members, done.stdout
    assert made.snapshot() != files, "the comparison does not see a change"
    rolled = made.play("deploy", caching_jvm="-Xmx200m", **changed(made))
    assert rolled.rc == 0 and "pending" not in rolled.stdout and "EXALT_NOTE" in rolled.stdout, rolled.stdout
    after = made.members()
    assert {name for name in members if after.get(name) == members[name]} == {name for name in members if "redis" in name}, "Redis was touched"
    assert len(after) == len(members) == 9


@pytest.mark.slow
def test_what_is_broken_ends_with_its_words_and_the_others_go_on(made: Deployed) -> None:
    before = made.members()
    failed = made.play("deploy", **made.broken(), caching_platform_timeout="PT15S")
    assert failed.rc != 0 and CRASH in failed.stdout and "Traceback" not in failed.stdout, failed.stdout
    after = made.members()
    assert sum(after.get(name) == one for name, one in before.items() if "service" in name) == 2, "two of three go on as before"
    back = made.play("deploy")
    assert back.rc == 0 and made.instances() == 3, back.stdout


def test_replicas_are_on_other_hosts_than_their_primaries(made: Deployed) -> None:
    assert made.lacking() == []
    pairs = made.shards()
    assert len(pairs) == 3 and all(primary != replica for primary, replica in pairs), pairs


def test_secrets_are_read_by_nobody_else(made: Deployed) -> None:
    secrets = [made.hosts.state.secret(name) for name in ("redis_password", "admin_token")]
    assert all(made.readable(one) == [] for one in secrets)
    assert made.readable("caching-service") != [], "the look for readable files finds nothing"
