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
