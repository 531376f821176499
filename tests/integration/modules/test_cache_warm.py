# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""cache_warm on the real service, which loads from a real database."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
import typing as t
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fleet import paths
from tests.harness.modules import run_module
from tests.harness.sequence import accepted, walk
from tests.harness.stage import REGIONS, Stage
from tests.harness.targets import Fleet, Service

DIALECTS = ["standard", "accepted", "paged", "wrapped", "map", "hal"]
STATUS = "/api/v1/cache/warm/status"
ITEMS = 20_000
SLOW = {"concurrency": 1, "batch_size": 20}


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("database") / "items.db"
    subprocess.run([sys.executable, "-m", "tests.fleet.service.database", str(path), "--items", str(ITEMS)], check=True, cwd=paths.ROOT)
    return path


@pytest.fixture(scope="module")
def stocked(fleet: Fleet, database: Path) -> Iterator[Callable[[str], Service]]:
    kept: dict[str, Service] = {}

    def make(dialect: str = "standard") -> Service:
        if dialect in kept:
            kept[dialect].renew()
        else:
            kept[dialect] = Service(fleet, dialect.split(","), database=str(database))
        stage = Stage(kept[dialect])
        stage.region("products")
        stage.region("categories")
        kept[dialect].proxy.clear()
        return kept[dialect]

    yield make
    for service in kept.values():
        service.close()


def jobs(stage: Stage) -> dict[str, dict[str, t.Any]]:
    return {job["region"]: job for job in stage.call("GET", STATUS)}


def until(reached: Callable[[], t.Any], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.operation("S041", "S043", "S044")
@pytest.mark.hazard("H03", "H05")
def test_started_and_cancelled_in_the_standard_dialect(stocked) -> None:
    _life(stocked("standard"))


@pytest.mark.parametrize("dialect", DIALECTS[1:])
def test_started_and_cancelled_in_every_dialect(stocked, dialect: str) -> None:
    _life(stocked(dialect))


def _life(target: Service) -> None:
    warmed, = walk("cache_warm", target, [("warm", {"region": "categories", "max_age": "PT1H", "wait_timeout": "PT60S"}, True)])
    assert warmed["job"]["state"] == "completed" and warmed["loaded"] == warmed["job"]["total"] > 0 and warmed["joined"] is False
    started, cancelled = walk("cache_warm", target, [
        ("start", {"region": "products", "state": "started", **SLOW}, True), ("cancel", {"region": "products", "state": "cancelled"}, True),
    ])
    assert started["job"]["state"] == "running" and cancelled["job"]["state"] == "cancelled" and cancelled["loaded"] < ITEMS


@pytest.mark.operation("S041", "S043", "S157")
def test_twenty_thousand_items_with_progress_cancelled_in_the_middle_and_finished_by_the_next_run(stocked, tmp_path: Path) -> None:
    target = stocked()
    stage = Stage(target)
    path = tmp_path / "progress.jsonl"
    options = {**target.args, "region": "products", "strategy": "popular-items", "progress_path": str(path), "wait_timeout": "PT90S"}
    results: list[t.Any] = []
    follower = threading.Thread(target=lambda: results.append(run_module("cache_warm", {**options, **SLOW})))
    follower.start()
    until(lambda: jobs(stage).get("products", {}).get("loaded", 0) > 500)
    accepted(run_module("cache_warm", {**target.args, "region": "products", "state": "cancelled"}))
    follower.join()
    stopped = results[0]
    assert stopped["failed"] and stopped["changed"] is True and 0 < stopped["loaded"] < ITEMS
    assert "the warm-up of products was cancelled by somebody else (CANCELLED, " in stopped["msg"]
    target.proxy.clear()
    whole = accepted(run_module("cache_warm", {**options, "concurrency": 4, "batch_size": 500}))
    assert whole["loaded"] == ITEMS and whole["changed"] is True and len(target.proxy.writes()) == 1
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines[-1]["done"] == lines[-1]["total"] == ITEMS and lines[-1]["rate"] > 0 and lines[-1]["eta"] == 0
    assert [line["done"] for line in lines] == sorted(line["done"] for line in lines)
    assert stage.there("products", "product:1")


@pytest.mark.operation("S042")
@pytest.mark.hazard("H17")
def test_from_the_database_by_a_query(stocked) -> None:
    target = stocked()
    options = {**target.args, "region": "categories", "strategy": "all-items", "data_source": "database", "wait_timeout": "PT60S"}
    query = "SELECT * FROM categories WHERE active = true"
    refused = run_module("cache_warm", {**options, "query": query})
    assert refused["failed"] and "allow_query: true" in refused["msg"] and target.proxy.records() == []
    result = accepted(run_module("cache_warm", {**options, "query": query, "allow_query": True}))
    assert result["job"]["strategy"] == "all-items" and result["loaded"] > 0
    assert accepted(run_module("cache_warm", {**options, "query": query, "allow_query": True, "max_age": 60}))["changed"] is False


def test_a_run_that_was_killed_is_taken_up_and_one_that_runs_is_never_started_twice(stocked) -> None:
    target = stocked()
    options = {**target.args, "region": "products", "wait_timeout": "PT1S", "concurrency": 1, "batch_size": 2}
    late = run_module("cache_warm", options)
    assert late["failed"] and late["changed"] is True
    assert "did not end within 1 s; last seen: RUNNING, " in late["msg"] and "another run joins it" in late["msg"]
    target.proxy.clear()
    other = run_module("cache_warm", {**options, "strategy": "all-items"})
    assert other["failed"] and "another warm-up of products runs, with the strategy popular-items instead of all-items" in other["msg"]
    joined = run_module("cache_warm", options)
    assert joined["failed"] and joined["changed"] is False and joined["joined"] is True and target.proxy.writes() == []
    accepted(run_module("cache_warm", {**target.args, "region": "products", "state": "cancelled"}))


def test_one_that_another_has_begun_meanwhile_is_joined(stocked) -> None:
    target = stocked()
    target.proxy.break_with({"path": f"{STATUS}$", "first": 1, "status": 200, "body": "[]", "headers": {"Content-Type": "application/json"}})
    Stage(target).call("POST", "/api/v1/cache/warm/products", {"strategy": "popular-items", "concurrency": 1, "batchSize": 200})
    result = accepted(run_module("cache_warm", {**target.args, "region": "products", "wait_timeout": "PT90S"}))
    assert result["joined"] is True and result["changed"] is False and result["loaded"] == ITEMS and result["diff"] == {"before": {}, "after": {}}
    assert [record["status"] for record in target.proxy.writes()] == [409]


def test_a_lost_answer_does_not_start_it_twice(stocked) -> None:
    target = stocked()
    target.proxy.break_with({"method": "POST", "first": 1, "reset": True, "forward": True})
    result = accepted(run_module("cache_warm", {**target.args, "region": "categories", "wait_timeout": "PT60S"}))
    assert result["changed"] is True and result["job"]["state"] == "completed" and "got lost" in str(result["warnings"])
    assert len(target.proxy.writes()) == 1


def test_the_database_goes_away_and_comes_back(stocked, database: Path) -> None:
    target = stocked()
    away = database.with_suffix(".away")
    options = {**target.args, "region": "products", "wait_timeout": "PT60S"}
    results: list[t.Any] = []
    follower = threading.Thread(target=lambda: results.append(run_module("cache_warm", {**options, **SLOW})))
    follower.start()
    until(lambda: jobs(Stage(target)).get("products", {}).get("loaded", 0) > 100)
    database.rename(away)
    try:
        follower.join()
        stopped = results[0]
        assert stopped["failed"] and stopped["changed"] is True and 0 < stopped["loaded"] < ITEMS and "database" in stopped["msg"], stopped["msg"]
        target.proxy.clear()
        refused = run_module("cache_warm", options)
        assert refused["failed"] and refused.get("changed", False) is False
        assert "the database is DOWN" in refused["msg"] and "nothing was started" in refused["msg"] and target.proxy.writes() == []
    finally:
        away.rename(database)
    assert accepted(run_module("cache_warm", options))["loaded"] == ITEMS


def test_a_warm_up_is_cancelled_when_health_says_that_the_database_is_down(stocked) -> None:
    target = stocked()
    stage = Stage(target)
    stage.call("POST", "/api/v1/cache/warm/products", {"strategy": "popular-items", "concurrency": 1, "batchSize": 20})
    body = '{"status":"DOWN","details":{"error":"disk is gone"}}'
    target.proxy.break_with({"path": "health/database", "status": 503, "body": body, "headers": {"Content-Type": "application/json"}})
    result = run_module("cache_warm", {**target.args, "region": "products"})
    assert result["failed"] and result["changed"] is True, "cancelling is a change"
    assert "the database is DOWN (disk is gone); the warm-up of products was cancelled (CANCELLED, " in result["msg"]
    assert jobs(stage)["products"]["status"] == "CANCELLED"


@pytest.mark.hazard("H16")
def test_until_the_measured_hit_rate(stocked) -> None:
    target = stocked()
    stage = Stage(target)
    options = {**target.args, "region": "categories", "single_instance": True, "hit_rate_window": "PT1S", "wait_timeout": "PT30S"}
    quiet = accepted(run_module("cache_warm", {**options, "until_hit_rate": 85}))
    assert quiet["hit_rate"] is None and quiet["hit_rate_source"] == "loaded" and "nobody read categories for 1 s" in str(quiet["warnings"])
    stop = threading.Event()

    def load() -> None:
        while not stop.wait(0.02):
            for key in ["category:1"] * 9 + ["nothing"]:
                stage.send("GET", f"{REGIONS}/categories/keys/{key}")

    readers = threading.Thread(target=load)
    readers.start()
    try:
        reached = accepted(run_module("cache_warm", {**options, "until_hit_rate": 85}))
        assert reached["hit_rate_source"] == "measured" and 87 <= reached["hit_rate"] <= 93
        missed = run_module("cache_warm", {**options, "until_hit_rate": 99, "wait_timeout": "PT3S"})
        assert missed["failed"] and missed["changed"] is True and "did not reach 99 % within 3 s; in the last window of 1 s it was " in missed["msg"]
    finally:
        stop.set()
        readers.join()


BAD: list[tuple[str, dict[str, t.Any], str]] = [
    ("no-region", {}, "missing required arguments: region"),
    ("region", {"region": "nope"}, "region: there is no region nope (the service has categories, products); nothing was started"),
    ("region-dots", {"region": ".."}, "'..' can't be the name of a region"),
    ("state", {"region": "products", "state": "warm"}, "warmed, started, cancelled"),
    ("max-age", {"region": "products", "max_age": "P1M"}, "max_age: 'P1M' is not a duration"),
    ("wait", {"region": "products", "wait_timeout": "long"}, "wait_timeout: 'long' is not a duration"),
    ("batch", {"region": "products", "batch_size": 0}, "batch_size: it must be 1 or more, not 0"),
    ("items", {"region": "products", "max_items": -5}, "max_items: it must be 1 or more, not -5"),
    ("concurrency", {"region": "products", "concurrency": 0}, "concurrency: it must be a whole number from 1 to 64"),
    ("strategy", {"region": "products", "strategy": " "}, "strategy: it is empty"),
    ("query-alone", {"region": "products", "query": "SELECT 1"}, "query: raw SQL is sent only with allow_query: true"),
    ("query-two", {"region": "products", "allow_query": True, "query": "SELECT 1; DROP TABLE products"}, "a semicolon, and so more than one statement"),
    ("query-hidden", {"region": "products", "allow_query": True, "query": "SELECT 1 /* ' */; DROP TABLE products --'"}, "can't stand in it"),
    ("query-write", {"region": "products", "allow_query": True, "query": "DELETE FROM products"}, "it must be one SELECT, but begins with 'DELETE"),
    ("rate-share", {"region": "products", "until_hit_rate": 0.85, "single_instance": True}, "until_hit_rate: it is a percentage such as 85"),
    ("rate-high", {"region": "products", "until_hit_rate": 101, "single_instance": True}, "until_hit_rate: it is a percentage"),
    ("rate-state", {"region": "products", "until_hit_rate": 85, "state": "started"}, "goes with state warmed"),
    ("rate-random", {"region": "products", "until_hit_rate": 85}, "instances: this acts on each process of the service"),
    ("window", {"region": "products", "hit_rate_window": 0}, "hit_rate_window: it must be more than 0 seconds"),
]


@pytest.mark.parametrize(("options", "told"), [pytest.param(*row[1:], id=row[0]) for row in BAD])
def test_bad_options(stocked, options: dict[str, t.Any], told: str) -> None:
    target = stocked()
    result = run_module("cache_warm", {**target.args, **options})
    assert result.get("failed") and not result.crashed and told in result["msg"] and "\n" not in result["msg"], result
    assert result.get("changed", False) is False and target.proxy.writes() == []
