# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Report, key figures, status with Redis, and progress, as playbooks on the real fleet."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.harness import process
from tests.harness.plays import play
from tests.harness.stage import Stage
from tests.harness.targets import Service

KPI = [
    {
        "hosts": "caching_fleet",
        "gather_facts": False,
        "tasks": [{"name": "Key figures", "ansible.builtin.import_role": {"name": "exalt.caching.monitoring", "tasks_from": "kpi"}}],
    }
]


def test_report_twice(fleet, proxies, tmp_path) -> None:
    wanted = {**proxies.extra_vars, "caching_reports_directory": str(tmp_path), "caching_kpi_window": 1}
    check = play("report", fleet.inventory, check=True, extra_vars=wanted)
    assert check.rc == 0 and check.changed == 1 and not list(tmp_path.iterdir()), check.stdout
    first = play("report", fleet.inventory, extra_vars=wanted)
    assert first.rc == 0 and first.changed == 1, first.stdout
    names = sorted(path.suffix for path in (tmp_path / "local").iterdir())
    assert names == [".html", ".json"]
    (record,) = first.custom["exalt_caching_run"]
    assert [Path(path).suffix for path in record["artifacts"]] == [".json", ".html"] and record["changes"]["report"]["written"] == record[
        "artifacts"
    ]
    second = play("report", fleet.inventory, extra_vars=wanted)
    assert second.rc == 0 and second.changed == 0, second.stdout


def test_a_report_that_is_not_published_fails_and_is_kept(fleet, proxies, tmp_path) -> None:
    wanted = {
        **proxies.extra_vars,
        "caching_reports_directory": str(tmp_path),
        "caching_kpi_window": 1,
        "caching_report_publish_url": f"{proxies.proxy.url}/reports/cache",
    }
    outcome = play("report", fleet.inventory, extra_vars=wanted)
    assert outcome.rc != 0 and "was not published" in outcome.stdout and len(list((tmp_path / "local").iterdir())) == 2


def test_key_figures_are_shown_and_judged(fleet, proxies, tmp_path) -> None:
    path = tmp_path / "kpi.yml"
    path.write_text(yaml.safe_dump(KPI))
    wanted = {**proxies.extra_vars, "caching_kpi_window": 1, "caching_kpi_measurements": '{"cpu_usage": 97}'}
    bad = play(str(path), fleet.inventory, extra_vars=wanted)
    assert bad.rc != 0 and re.search(r"cpu_usage +97.0 % +critical +97 % is above 90 %", bad.stdout), bad.stdout
    good = play(str(path), fleet.inventory, extra_vars={**wanted, "caching_kpi_gate": "never"})
    assert good.rc == 0 and "local: critical, measured for" in good.stdout


def test_status_shows_redis_and_key_figures(fleet, proxies) -> None:
    outcome = play("status", fleet.inventory, extra_vars={**proxies.extra_vars, "caching_status_kpis": True, "caching_kpi_window": 1})
    assert outcome.rc == 0 and len(re.findall(r"127\.\S+:6379 +(?:primary|replica) +[\d.]+ % of its memory", outcome.stdout)) == 6, outcome.stdout
    assert re.search(r"cpu_usage +unknown", outcome.stdout)
    gone = play("status", fleet.inventory, extra_vars={**proxies.extra_vars, "caching_redis_nodes": ["127.0.0.1:1"]})
    assert gone.rc != 0 and "Redis: 127.0.0.1:1" in gone.stdout and "NOT healthy" in gone.stdout
    closed = play("status", fleet.inventory, extra_vars={"caching_service_url": "http://127.0.0.1:1", "caching_instances": fleet.facts["instances"],
                                                         "caching_retries": 0})
    assert closed.rc != 0 and re.search(r"because the address that clients use: GET http://127.0.0.1:1/\S+ no connection", closed.stdout), closed.stdout
    assert closed.stdout.count("all components UP") == 3


@pytest.mark.campaign
@pytest.mark.hazard("H02", "H29")
def test_fallback_with_a_frozen_instance_is_told_and_left_again(fleet) -> None:
    """The fleet's service has no call that leaves the mode: its processes are started again, one after the other, and it is proved."""
    names = [instance["name"] for instance in fleet.facts["instances"]]
    quick = {"caching_timeout": "PT4S", "caching_retries": 0, "caching_fallback_reason": "a trial"}
    fleet.supervisorctl("signal", "STOP", names[1])
    try:
        entered = play("fallback", fleet.inventory, extra_vars=quick)
    finally:
        fleet.supervisorctl("signal", "CONT", names[1])
    assert entered.rc != 0 and f'"{names[0]}: local_cache"' in entered.stdout and f'"{names[2]}: local_cache"' in entered.stdout, entered.stdout
    assert re.search(rf'"{names[1]}: unknown, .*no complete answer within 4 s', entered.stdout), entered.stdout
    assert f"1 of 3 changes to instances failed: {names[1]} (update)" in entered.stdout
    try:
        again = play("fallback", fleet.inventory, extra_vars={"caching_fallback_reason": "a trial"})
        assert again.rc == 0 and all(f'"{name}: local_cache"' in again.stdout for name in names), again.stdout
        shown = play("status", fleet.inventory)
        assert shown.rc == 0 and shown.stdout.count("in local-cache mode") == 3, shown.stdout
        pids = [fleet.supervisorctl("pid", name) for name in names]
    finally:
        left = play("fallback", fleet.inventory, extra_vars={"caching_fallback_state": "normal"})
    assert left.rc == 0 and all(f'"{name}: normal' in left.stdout for name in names), left.stdout
    (record,) = left.custom["exalt_caching_run"]
    assert record["changes"]["fallback"]["restarted"] == names
    after = [fleet.supervisorctl("pid", name) for name in names]
    assert not set(pids) & set(after), "each was started again"
    # This service tells nothing of its mode once it is normal; the frozen one entered after its run had given it up, and was recorded when it was found.
    calm = play("fallback", fleet.inventory, extra_vars={"caching_fallback_state": "normal"})
    assert calm.rc == 0 and calm.changed == 0 and after == [fleet.supervisorctl("pid", name) for name in names], calm.stdout


@pytest.fixture(scope="module")
def stocked(fleet, tmp_path_factory) -> Iterator[Service]:
    """A service with a database of its own to warm from."""
    path = tmp_path_factory.mktemp("database") / "items.sqlite"
    subprocess.run([sys.executable, "-m", "tests.fleet.service.database", str(path), "--items", "20000"], check=True, env=process.environment(None))
    target = Service(fleet, (), database=str(path))
    yield target
    target.close()


@pytest.mark.parametrize("given", [True, False])
def test_progress_is_printed_while_the_module_runs(stocked, fleet, tmp_path, given: bool) -> None:
    target = stocked
    Stage(target).region("products")
    task = {**target.args, "region": "products", "strategy": "all-items", "batch_size": 200, "wait_timeout": "PT90S"}
    if given:
        task["progress_path"] = str(tmp_path / "progress.jsonl")
    path = tmp_path / "warm.yml"
    path.write_text(
        yaml.safe_dump([{"hosts": "caching_fleet", "gather_facts": False, "tasks": [{"name": "Warm", "exalt.caching.cache_warm": task}]}])
    )
    outcome = play(str(path), fleet.inventory)
    assert outcome.rc == 0, outcome.stdout
    assert re.search(r"^.*products: [\d,]+ of [\d,]+", outcome.stdout, re.M), outcome.stdout
    assert outcome.stdout.index("products: ") < outcome.stdout.index("PLAY RECAP")


@pytest.mark.long
@pytest.mark.operation("S041")
def test_warm_shows_its_progress_and_status_shows_it_elsewhere(stocked, fleet, tmp_path) -> None:
    target = stocked
    stage = Stage(target)
    stage.region("products")
    stage.region("categories")
    inventory = tmp_path / "hosts.yml"
    variables = {
        "ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}", "caching_service_url": target.url,
        "caching_management_url": target.url, "caching_single_instance": True, **{f"caching_{role}_token": token for role, token in target.tokens.items()},
    }
    inventory.write_text(yaml.safe_dump({"caching_fleet": {"hosts": {"trial": variables}}}))
    wanted = [{"region": "products", "strategy": "all-items", "concurrency": 1, "batch_size": 1, "state": "started"}]
    started = play("warm", inventory, extra_vars={"caching_warm": wanted})
    assert started.rc == 0 and "regions started: products" in started.stdout, started.stdout
    status = play("status", inventory)
    assert status.rc == 0 and re.search(r"warm-up +products +[\d,]+ of 20,000 loaded, all-items", status.stdout), status.stdout
    cancelled = play("warm", inventory, extra_vars={"caching_warm": [{"region": "products", "state": "cancelled"}]})
    assert cancelled.rc == 0 and "products: cancelled, " in cancelled.stdout and "regions cancelled: products" in cancelled.stdout, cancelled.stdout
    target.proxy.clear()
    typo = play("warm", inventory, extra_vars={"caching_warm": [{"region": "products", "max_itmes": 5}]})
    assert typo.rc != 0 and "wait_timeout, progress_path, not max_itmes" in typo.stdout and target.proxy.writes() == [], typo.stdout
    several = [{"region": "nowhere"}, {"region": "categories", "strategy": "all-items", "max_age": "PT1H"}]
    outcome = play("warm", inventory, extra_vars={"caching_warm": several})
    assert outcome.rc != 0 and re.search(r"categories: completed, 200 of 200 loaded in [\d.]+ s \(all-items\)", outcome.stdout), outcome.stdout
    (record,) = outcome.custom["exalt_caching_run"]
    assert record["verdict"] == "failed" and record["changes"]["regions"]["warmed"] == ["categories"], "what went well is recorded beside what failed"
    assert re.search(r"failed: \[\S+\] \(item=nowhere\)(?s:.*?)no region", outcome.stdout), outcome.stdout
    assert record["reason"].startswith("Warm: ") and "no region" in record["reason"] and record["changes"]["regions"]["unchanged"] == [], record
    calm = play("warm", inventory, extra_vars={"caching_warm": several[1:]})
    assert calm.rc == 0 and calm.changed == 0 and "(all-items), as it was" in calm.stdout, calm.stdout
