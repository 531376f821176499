# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock in the frame: playbooks that change something take it and give it back, the others don't ask for it."""

from __future__ import annotations

import json
import secrets
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.exalt.caching.plugins.module_utils._resources.operation_lock import Lock
from ansible_collections.exalt.caching.plugins.module_utils._store import open_store

from tests.harness.plays import play
from tests.harness.targets import Fleet

FULL = {
    "caching_regions": [{"name": "lock-products", "max_size": 500}],
    "caching_features": [{"name": "lock-flag", "enabled": True}],
    "caching_schedules": [{"name": "lock-schedule", "schedule": "0 3 * * *", "region": "lock-products", "strategy": "popular-items"}],
    "caching_settings": {"redis_pool": {"max_total": 64}},
}
GONE = {
    "caching_regions": [{"name": "lock-products", "state": "absent"}], "caching_features": [], "caching_settings": {},
    "caching_schedules": [{"name": "lock-schedule", "state": "absent"}], "caching_delete_limit": 100,
}
CONTROL = ("set_fact", "set_stats", "debug", "assert", "include_tasks", "include_role", "import_tasks", "validate_argument_spec")


class Held:
    """The fleet's lock in a store of its own."""

    def __init__(self, url: str, args: dict[str, t.Any]) -> None:
        self.url = url
        self.store = open_store({**args, "store_url": url})
        self.lock = Lock(self.store, "local", "content")

    def run(self, fleet: Fleet, playbook: str, check: bool = False, **extra: t.Any) -> t.Any:
        return play(playbook, fleet.inventory, check=check, extra_vars={"caching_store_url": self.url, **extra})

    def records(self) -> list[dict[str, t.Any]]:
        """What runs left in the store, oldest first."""
        found = sorted(entry.name for entry in self.store.entries("documents/runs") if entry.name.endswith("/run.json"))
        return [json.loads(self.store.get(name) or b"") for name in found]

    @property
    def states(self) -> list[str]:
        return [entry.name.partition("content/")[2] for entry in self.store.entries("locks/local")]


@pytest.fixture
def held(fleet: Fleet) -> Iterator[Held]:
    found = Held(f"s3://exalt-cache-backups/test-{secrets.token_hex(6)}", fleet.store_args)
    yield found
    for entry in found.store.entries(""):
        found.store.delete(entry.name)


@pytest.mark.hazard("H07")
def test_who_has_the_lock_is_named_and_nothing_is_changed(fleet: Fleet, held: Held) -> None:
    token = held.lock.take("the weekly update by anna", 600, 0).token
    outcome = held.run(fleet, "configure", caching_regions=FULL["caching_regions"])
    assert outcome.rc == 2 and outcome.changed == 0, outcome.stdout
    assert "the lock local (content) is held by the weekly update by anna since 2" in outcome.stdout
    assert held.lock.mine(token).owner == "the weekly update by anna", "and it is still theirs"
    for playbook, check in (("status", False), ("configure", True)):
        seen = held.run(fleet, playbook, check, caching_regions=[])
        assert seen.rc == 0 and not any(one["acquired"] for one in seen.results("operation_lock") if "acquired" in one), seen.stdout
        assert ("under way since 2" in seen.stdout and ", by the weekly update by anna" in seen.stdout) is not check, seen.stdout
        assert ("is held by the weekly update by anna, so that a real run would not begin now" in seen.stdout) is check, seen.stdout
        assert held.lock.mine(token).owner == "the weekly update by anna"
    for wrong, told in (({"caching_lock_ttl": "soon"}, "ttl: "), ({"caching_store_url": "s3://no-such-bucket/x"}, "no-such-bucket")):
        seen = held.run(fleet, "backup", True, **{"caching_operation_scope": "topology", **wrong})
        assert seen.rc == 2 and told in seen.stdout and seen.changed == 0, seen.stdout
    held.lock.release(token)


@pytest.mark.hazard("H07")
def test_the_lock_is_given_back_also_after_a_failure(fleet: Fleet, held: Held) -> None:
    assert held.run(fleet, "configure", caching_regions=[{"name": "lock-x", "max_size": -1}]).rc == 2
    assert held.run(fleet, "configure", caching_regions=[]).rc == 0
    seen = held.lock.look()
    assert seen is not None and seen.state == "released" and seen.owner.startswith("configure by ") and len(held.states) == 4
    (record,) = held.records()
    assert record["verdict"] == "failed" and "max_size" in record["reason"] and record["changes"] == {}, record


@pytest.mark.hazard("H07")
def test_who_changes_both_needs_both_locks(fleet: Fleet, held: Held) -> None:
    """The first one is given back where the second one can't be had, and both after the run."""
    first = Lock(held.store, "local", "topology")
    token = held.lock.take("an invalidation", 600, 0).token
    refused = held.run(fleet, "configure", caching_operation_scope="both", caching_regions=[])
    assert refused.rc == 2 and "the lock local (content) is held by an invalidation" in refused.stdout, refused.stdout
    seen = first.look()
    assert seen is not None and seen.state == "released" and held.lock.mine(token).owner == "an invalidation"
    held.lock.release(token)
    done = held.run(fleet, "configure", caching_operation_scope="both", caching_regions=[])
    assert done.rc == 0 and [one.state for lock in (first, held.lock) if (one := lock.look())] == ["released"] * 2, done.stdout


@pytest.mark.hazard("H07")
def test_a_run_that_lost_the_lock_says_so(fleet: Fleet, held: Held, tmp_path: Path) -> None:
    """It is taken away while the run is at work, as after a pause that was too long."""
    role = tmp_path / "roles" / "thief" / "tasks"
    role.mkdir(parents=True)
    (role / "main.yml").write_text(
        "- exalt.caching.operation_lock: {name: local, state: released, token: '{{ caching_lock_token }}'}\n"
        "  module_defaults: {group/exalt.caching.store: '{{ caching_store_options }}'}\n"
        "- exalt.caching.operation_lock: {name: local, owner: somebody else}\n"
        "  module_defaults: {group/exalt.caching.store: '{{ caching_store_options }}'}\n")
    (tmp_path / "play.yml").write_text(
        "- hosts: caching_fleet\n  gather_facts: false\n  tasks:\n"
        "    - ansible.builtin.import_role: {name: exalt.caching.caching, tasks_from: operation, rolespec_validate: false}\n"
        "      vars: {caching_operation: trial, caching_operation_scope: content, caching_steps: [{role: thief, entry: main}]}\n")
    outcome = play(str(tmp_path / "play.yml"), fleet.inventory, extra_vars={"caching_store_url": held.url})
    assert outcome.rc == 2 and "trial of local did not reach its goal: Release the lock failed" in outcome.stdout, outcome.stdout
    (record,) = outcome.custom["exalt_caching_run"]
    assert record["verdict"] == "failed" and "Release the lock: the lock local (content) with token 1 was lost" in record["reason"], record


def test_without_a_store_there_is_a_warning_or_an_error(fleet: Fleet) -> None:
    plain = play("configure", fleet.inventory, extra_vars={"caching_store_url": "", "caching_regions": []})
    assert plain.rc == 0 and plain.stdout.count("Warning: without caching_store_url nothing keeps another run from changing local") == 1
    required = play("configure", fleet.inventory, extra_vars={"caching_store_url": "", "caching_regions": [], "caching_lock_required": True})
    assert required.rc == 2 and "caching_lock_required: the lock needs a store; set caching_store_url" in required.stdout


def test_with_everything_declared_a_site_run_has_seven_module_tasks(fleet: Fleet, held: Held) -> None:
    try:
        assert held.run(fleet, "site", **FULL).rc == 0
        second = held.run(fleet, "site", **FULL)
        assert second.rc == 0 and second.changed == 0, second.stdout
        tasks = [task["task"] for task in second.tasks if task["action"].rpartition(".")[2] not in CONTROL and task["state"] != "skipped"]
        assert len(tasks) == 7 and len([task for task in tasks if "lock" in task]) == 2, tasks
        (record,) = held.records()
        assert (record["playbook"], record["fleet"], record["verdict"]) == ("site", "local", "ok") and "written" not in record["changes"], record
        assert "lock-products" in record["changes"]["regions"]["created"], record
    finally:
        assert held.run(fleet, "configure", **GONE).rc == 0
