# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks of the declared cache on a service of two processes: configure, export, fallback, warm, and the staged rollout."""

from __future__ import annotations

import contextlib
import threading
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.harness.plays import Outcome, play
from tests.harness.stage import REGIONS, Stage
from tests.harness.targets import Pair

DECLARED: dict[str, t.Any] = {
    "caching_regions": [{"name": "products", "default_ttl": "PT2H", "max_size": 5000}, {"name": "users", "default_ttl": "PT1H", "max_size": 100}],
    "caching_features": [{"name": "write-through", "enabled": True, "regions": ["products"], "rollout_percentage": 25}],
    "caching_settings": {"redis_pool": {"max_total": 90, "max_idle": 40, "min_idle": 5},
                         "redis_timeouts": {"connection_timeout": "PT2S", "socket_timeout": "PT3S"}},
    "caching_strategies": {"products": "refresh-ahead"},
    "caching_schedules": [{"name": "nightly", "schedule": "0 1 * * *", "region": "products", "strategy": "popular-items"}],
}
ROLLOUT = """
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.import_role: {name: exalt.caching.caching, tasks_from: operation, rolespec_validate: false}
      vars: {caching_operation: rollout, caching_steps: [{role: exalt.caching.cache, entry: rollout}]}
"""


@pytest.fixture(scope="module")
def made(fleet) -> Iterator[Pair]:
    pair = Pair(fleet, ["leave-mode", "mode-readable"])
    try:
        yield pair
    finally:
        pair.close()


@pytest.fixture
def pair(made: Pair) -> Pair:
    made.renew()
    return made


@pytest.fixture
def inventory(pair: Pair, tmp_path: Path) -> Path:
    args = pair.args
    variables = {
        "ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}", "caching_service_url": args["service_url"],
        "caching_instances": args["instances"], **{f"caching_{role}_token": token for role, token in pair.first.tokens.items()},
    }
    path = tmp_path / "hosts.yml"
    path.write_text(yaml.safe_dump({"caching_fleet": {"hosts": {"trial": variables}}}))
    return path


def calm(outcome: Outcome, changed: int) -> Outcome:
    assert outcome.rc == 0 and outcome.changed == changed, outcome.stdout + outcome.stderr
    return outcome


@contextlib.contextmanager
def misses(stage: Stage) -> Iterator[None]:
    """Somebody reads keys that are not there, for as long as this lasts."""
    over = threading.Event()

    def read() -> None:
        while not over.wait(0.02):
            stage.send("GET", f"{REGIONS}/products/keys/nothing")

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield
    finally:
        over.set()
        reader.join()


def clear(pair: Pair) -> None:
    for member in pair.members:
        member.proxy.clear()


@pytest.mark.long
def test_configure_and_export_of_everything(pair: Pair, inventory: Path, tmp_path: Path) -> None:
    check = play("configure", inventory, check=True, extra_vars={**DECLARED, "caching_features": [], "caching_strategies": {}, "caching_schedules": []})
    assert check.rc == 0 and pair.writes() == [[], []], check.stdout
    first = calm(play("configure", inventory, "--diff", extra_vars=DECLARED), 4)
    (record,) = first.custom["exalt_caching_run"]
    assert record["changes"]["features"]["updated"] == ["write-through"] and record["changes"]["settings"]["updated"] == ["one", "two"]
    clear(pair)
    as_text = {name: yaml.safe_dump(value) for name, value in DECLARED.items()}
    calm(play("configure", inventory, extra_vars=as_text), 0)
    assert pair.writes() == [[], []]
    target = tmp_path / "out" / "trial.yml"
    assert play("export", inventory, extra_vars={"caching_export_path": str(target)}).rc == 0
    exported = yaml.safe_load(target.read_text())
    assert exported["caching_strategies"]["products"] == "refresh-ahead" and exported["caching_settings"]["redis_pool"]["max_total"] == 90
    assert [entry["name"] for entry in exported["caching_schedules"]] == ["nightly"]
    assert {"name": "write-through", "enabled": True, "regions": ["products"], "rollout_percentage": 25} in exported["caching_features"]
    clear(pair)
    after = calm(play("site", inventory, "-e", f"@{target}", extra_vars={"caching_purge": True}), 0)
    assert pair.writes() == [[], []]
    tasks = [task for task in after.tasks if task["action"].startswith("exalt.caching.") and task["state"] != "skipped"]
    assert len(tasks) <= 6, [task["task"] for task in tasks]
    assert play("export", inventory, extra_vars={"caching_export_path": str(target)}).changed == 0, "the same state writes the same file"


def test_nothing_declared_is_nothing_asked(pair: Pair, inventory: Path) -> None:
    calm(play("configure", inventory), 0)
    assert [member.proxy.records() for member in pair.members] == [[], []]


@pytest.mark.hazard("H29")
def test_fallback_there_and_back(pair: Pair, inventory: Path) -> None:
    entered = calm(play("fallback", inventory, extra_vars={"caching_fallback_reason": "Redis is away"}), 1)
    assert all(f"{name}: local_cache" in entered.stdout for name in ("one", "two"))
    calm(play("fallback", inventory, extra_vars={"caching_fallback_reason": "Redis is away"}), 0)
    left = calm(play("fallback", inventory, extra_vars={"caching_fallback_state": "normal"}), 1)
    assert all(f"{name}: normal" in left.stdout for name in ("one", "two"))


def test_warm_by_survey(pair: Pair, inventory: Path) -> None:
    refused = play("warm", inventory)
    assert refused.rc != 0 and "caching_warm: give a list of what to warm" in refused.stdout
    Stage(pair.first).region("products")
    calm(play("warm", inventory, check=True, extra_vars={"caching_warm_region": "products"}), 1)
    assert pair.writes() == [[], []]


def test_unknown_sections_are_refused(pair: Pair, inventory: Path) -> None:
    outcome = play("configure", inventory, extra_vars={"caching_settings": {"pool": {"max_total": 5}}})
    assert outcome.rc != 0 and "caching_settings: it must be a mapping of redis_connection" in outcome.stdout and pair.writes() == [[], []]


@pytest.mark.long
def test_a_rollout_walks_up_and_back_down(pair: Pair, inventory: Path, tmp_path: Path) -> None:
    """The gate is broken by a hit rate of nothing: somebody reads what is not there."""
    playbook = tmp_path / "rollout.yml"
    playbook.write_text(ROLLOUT)
    stage = Stage(pair.first)
    stage.region("products")
    options = {"caching_rollout_feature": "write-through", "caching_rollout_steps": "[10, 50, 100]", "caching_rollout_window": "PT1S"}
    up = play(str(playbook), inventory, extra_vars={**options, "caching_kpi_gate": "never"})
    assert up.rc == 0, up.stdout
    assert sorted(sum(pair.writes(), [])) == ["PUT /admin/features/write-through"] * 3
    flags = {entry["name"]: entry for entry in stage.call("GET", "/admin/features")}
    assert flags["write-through"]["rolloutPercentage"] == 100 and flags["write-through"]["enabled"] is True
    again = play(str(playbook), inventory, extra_vars=options)
    assert again.rc == 0 and again.changed == 0, "it is up already"
    stage.call("PUT", "/admin/features/write-through", {"enabled": True, "rolloutPercentage": 10, "regions": []})
    clear(pair)
    with misses(stage):
        down = play(str(playbook), inventory, extra_vars={**options, "caching_rollout_regions": ["products"]})
    assert down.rc != 0 and "was stopped at 50 % and is back at 10 %" in down.stdout, down.stdout
    flags = {entry["name"]: entry for entry in stage.call("GET", "/admin/features")}
    assert flags["write-through"]["rolloutPercentage"] == 10 and flags["write-through"]["regions"] == []
