# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet with 300 regions, 40 flags, 60 schedules and its own settings: exported, and brought to what was exported."""

from __future__ import annotations

import resource
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.harness.modules import run_module
from tests.harness.plays import play
from tests.harness.sequence import accepted
from tests.harness.targets import Pair

REGIONS: list[dict[str, t.Any]] = [
    {"name": f"region-{number:03}", "default_ttl": f"PT{1 + number % 48}H", "max_size": 100 + number, "eviction_policy": ("LRU", "LFU")[number % 2],
     "enable_compression": number % 3 == 0} for number in range(297)
] + [{"name": "ü/ {{ not a template }}"}, {"name": "yes"}, {"name": "007"}]
FEATURES = [{"name": f"flag-{number}", "enabled": number % 2 == 0, "regions": [f"region-{number:03}"], "rollout_percentage": number} for number in range(40)]
SCHEDULES = [{"name": f"warm-{number}", "schedule": f"{number % 60} {number % 24} * * *", "region": f"region-{number:03}", "strategy": "popular-items",
              "enabled": number % 5 != 0} for number in range(60)]
SETTINGS: dict[str, t.Any] = {"redis_pool": {"max_total": 90, "max_idle": 40, "min_idle": 5}, "compression": {"enabled": True, "threshold": 2048}}
STRATEGIES = {f"region-{number:03}": "refresh-ahead" for number in range(0, 300, 3) if number < 297}
LONGEST = 6.0       # seconds of a site run with nothing to do
BUSY = 2.0          # processor time, which counts here, still doubles where others share the caches of a core


@pytest.fixture(scope="module")
def pair(fleet) -> Iterator[Pair]:
    found = Pair(fleet, ["leave-mode", "mode-readable"])
    try:
        args = found.args
        accepted(run_module("cache_region", {**args, "regions": REGIONS}))
        accepted(run_module("cache_feature", {**args, "features": FEATURES}))
        accepted(run_module("cache_warm_schedule", {**args, "schedules": SCHEDULES}))
        accepted(run_module("cache_settings", {**args, **SETTINGS, "strategies": STRATEGIES}))
        yield found
    finally:
        found.close()


@pytest.mark.long
def test_site_of_what_export_wrote_changes_nothing(pair: Pair, tmp_path: Path) -> None:
    args = pair.args
    inventory = tmp_path / "hosts.yml"
    variables = {
        "ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}", "caching_service_url": args["service_url"],
        "caching_instances": args["instances"], **{f"caching_{role}_token": token for role, token in pair.first.tokens.items()},
    }
    inventory.write_text(yaml.safe_dump({"caching_fleet": {"hosts": {"large": variables}}}))
    for member in pair.members:
        member.proxy.clear()
    exported = play("export", inventory)
    assert exported.rc == 0 and pair.writes() == [[], []], exported.stdout
    assert "large: 300 regions, 42 flags, 60 schedules, 5 sections of settings, 99 strategies in " in exported.stdout
    written = yaml.load((tmp_path / "host_vars" / "large.yml").read_text(), Loader=_Loader)     # beside the inventory: site finds it by itself
    assert {entry["name"] for entry in written["caching_regions"]} == {entry["name"] for entry in REGIONS}
    assert len(written["caching_features"]) == 42 and len(written["caching_schedules"]) == 60 and written["caching_strategies"] == STRATEGIES
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    outcome = play("site", inventory, extra_vars={"caching_purge": True})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert outcome.rc == 0 and outcome.changed == 0, outcome.stdout
    tasks = [task["task"] for task in outcome.tasks if task["action"].startswith("exalt.caching.") and task["state"] != "skipped"]
    assert len(tasks) <= 7, tasks
    assert pair.writes() == [[], []]
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"site with nothing to do on 300 regions: {outcome.seconds:.1f} s, {used:.1f} s of processor time")
    assert used < LONGEST * BUSY
    check = play("site", inventory, extra_vars={"caching_features": "[{name: flag-0, enabled: false}]"}, check=True)
    assert check.rc == 0 and check.changed == 1 and pair.writes() == [[], []], "a difference is seen among all of them"


class _Loader(yaml.SafeLoader):
    """Knows Ansible's !unsafe."""


_Loader.add_constructor("!unsafe", lambda loader, node: loader.construct_sequence(node, deep=True) if isinstance(node, yaml.SequenceNode)
                        else loader.construct_mapping(t.cast("yaml.MappingNode", node), deep=True))
