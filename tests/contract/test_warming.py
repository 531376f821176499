# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Warm-ups really read the database and fill the region, and any instance tells of them."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.contract.conftest import REGIONS, Answer, Api, Start, entry, wait_until
from tests.fleet.service import database

WARM = "/api/v1/cache/warm"
# Word for word from the operations guide
POPULAR = {"strategy": "popular-items", "concurrency": 10, "batchSize": 100, "maxItems": 10000}
QUERY = {
    "strategy": "all-items",
    "dataSource": "database",
    "query": "SELECT * FROM categories WHERE active = true",
}
SLOW = {"strategy": "all-items", "concurrency": 1, "batchSize": 1}  # 3,000 batches: seconds, also on a fast machine


def job_of(api: Api, region: str) -> dict[str, Any]:
    return next((job for job in api.done("GET", f"{WARM}/status") if job["region"] == region), {"status": None})


def ended(api: Api, region: str, seconds: float = 30) -> dict[str, Any]:
    assert wait_until(lambda: job_of(api, region)["status"] in ("COMPLETED", "FAILED", "CANCELLED"), seconds)
    return job_of(api, region)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data.sqlite"
    database.make(path, 3000)
    return path


def test_the_most_popular_items(api: Api, data: Path, member: Start) -> None:
    _process, one = member("--database", str(data))
    one.region("products")
    answer = one("POST", f"{WARM}/products", {**POPULAR, "maxItems": 500})
    assert (answer.status, answer.body["status"], answer.body["region"]) == (202, "QUEUED", "products")
    job = ended(one, "products")
    assert (job["status"], job["message"]) == ("COMPLETED", None)
    assert (job["total"], job["loaded"], job["failed"]) == (500, 500, 0)
    assert job["startedAt"] <= job["finishedAt"]
    assert one.size("products") == 500
    with contextlib.closing(sqlite3.connect(data)) as connection:
        rows = connection.execute("SELECT id, popularity FROM products ORDER BY popularity DESC, id").fetchall()
    assert one.done("GET", entry("products", f"product:{rows[499][0]}"))["value"]["popularity"] == rows[499][1]
    assert not one.keys("products", f"product:{rows[500][0]}")
    assert one.done("GET", f"{REGIONS}/products/stats")["puts"] == 500


def test_a_query(api: Api, data: Path, member: Start) -> None:
    _process, one = member("--database", str(data))
    one.region("categories")
    one.done("POST", f"{WARM}/categories", QUERY)
    assert ended(one, "categories")["loaded"] == 27
    assert one.keys("categories", "category:1", "category:10", "category:30") == {"category:1"}


@pytest.mark.slow
def test_the_guide_s_warm_up_of_the_fleet_s_database(api: Api) -> None:
    api.region("products", maxSize=50000)
    api.done("POST", f"{WARM}/products", POPULAR)
    seen = set()

    def finished() -> bool:
        job = job_of(api, "products")
        seen.add(job["loaded"])
        return str(job["status"]) == "COMPLETED"

    assert wait_until(finished, 30)
    assert any(0 < loaded < 10000 for loaded in seen), "no progress was to be seen"
    assert api.size("products") == 10000


def test_no_more_than_the_region_holds(data: Path, member: Start) -> None:
    _process, one = member("--database", str(data))
    one.region("products", maxSize=200)
    one.done("POST", f"{WARM}/products", {"strategy": "popular-items"})
    assert (ended(one, "products")["loaded"], one.size("products")) == (200, 200)


def test_one_at_a_time_cancel_and_again(data: Path, member: Start) -> None:
    _first, one = member("--database", str(data))
    _second, other = member("--database", str(data))
    one.region("products")
    one.done("POST", f"{WARM}/products", SLOW)
    assert other("POST", f"{WARM}/products", SLOW).status == 409
    assert wait_until(lambda: 0 < job_of(other, "products")["loaded"] < 3000)
    assert other.done("DELETE", f"{WARM}/products")["status"] == "CANCELLED"
    assert other("DELETE", f"{WARM}/products").status == 404
    job = job_of(one, "products")
    assert (job["status"], job["message"]) == ("CANCELLED", "cancelled on request")
    time.sleep(0.5)
    loaded = job_of(one, "products")["loaded"]
    assert 0 < loaded < 3000
    assert one.size("products") == loaded
    other.done("POST", f"{WARM}/products", {"strategy": "all-items"})
    assert ended(one, "products")["loaded"] == one.size("products") == 3000


def _remove(data: Path) -> Callable[[], object]:
    data.rename(data.with_suffix(".away"))
    return lambda: data.with_suffix(".away").rename(data)


def _lock(data: Path) -> Callable[[], object]:
    connection = sqlite3.connect(data, isolation_level=None)
    for _attempt in range(50):
        with contextlib.suppress(sqlite3.OperationalError):
            connection.execute("BEGIN EXCLUSIVE")
            return connection.close
    raise AssertionError("no lock")


@pytest.mark.parametrize(("harm", "reason"), [(_remove, "unable to open database file"), (_lock, "database is locked")])
def test_the_database_goes_away(
    data: Path, member: Start, harm: Callable[[Path], Callable[[], object]], reason: str
) -> None:
    _process, one = member("--database", str(data))
    one.region("products")
    one.done("POST", f"{WARM}/products", SLOW)
    assert wait_until(lambda: job_of(one, "products")["loaded"] > 0)
    back = harm(data)
    try:
        job = ended(one, "products")
        assert (job["status"], job["message"]) == ("FAILED", f"the database can't be read: {reason}")
        assert 0 < job["loaded"] < 3000
        assert one("GET", "/actuator/health/database").status == 503
    finally:
        back()
    assert one("GET", "/actuator/health/database").status == 200
    one.done("POST", f"{WARM}/products", {"strategy": "all-items"})
    assert ended(one, "products")["loaded"] == 3000


def test_a_killed_instance_leaves_no_job_behind(data: Path, member: Start) -> None:
    process, one = member("--database", str(data))
    _second, other = member("--database", str(data))
    one.region("products")
    one.done("POST", f"{WARM}/products", SLOW)
    assert wait_until(lambda: job_of(other, "products")["loaded"] > 0)
    process.kill()
    assert ended(other, "products")["message"] == "the instance that ran it has ended"
    assert other("POST", f"{WARM}/products", {"maxItems": 5}).status == 202


def test_a_stopped_instance_tells(data: Path, member: Start) -> None:
    process, one = member("--database", str(data))
    _second, other = member("--database", str(data))
    one.region("products")
    one.done("POST", f"{WARM}/products", SLOW)
    assert wait_until(lambda: job_of(other, "products")["loaded"] > 0)
    process.terminate()
    assert ended(other, "products", 4)["message"] == "the instance was stopped"


@pytest.mark.parametrize(
    ("region", "body", "message"),
    [("nothing", {}, "the database can't be read: no such table: nothing"),
     ("products", {"query": "SELECT wrong FROM products"}, "the database can't be read: no such column: wrong"),
     ("products", {"query": "SELECT name FROM products LIMIT 3"}, "3 rows have no id")],
)
def test_what_can_t_be_loaded(data: Path, member: Start, region: str, body: object, message: str) -> None:
    _process, one = member("--database", str(data))
    one.region(region)
    one.done("POST", f"{WARM}/{region}", body)
    job = ended(one, region)
    assert (job["status"], job["loaded"], job["message"]) == ("FAILED", 0, message)


@pytest.mark.parametrize(
    ("field", "value"),
    [("strategy", "all"), ("concurrency", 0), ("concurrency", 101), ("batchSize", 0), ("maxItems", -1),
     ("maxItems", "many"), ("dataSource", "oracle"), ("query", 5), ("query", "DELETE FROM products"),
     ("query", "SELECT 1; DELETE FROM products"), ("query", "SELECT 1 -- and more")],
)
def test_invalid_requests(api: Api, field: str, value: object) -> None:
    api.region("products")
    answer: Answer = api("POST", f"{WARM}/products", {field: value})
    assert (answer.status, [error["field"] for error in answer.body["errors"]]) == (400, [field])
    assert api.done("GET", f"{WARM}/status") == []


def test_shapes_of_the_status(make_api: Callable[..., Api]) -> None:
    for dialects in (("wrapped",), ("map",), ("paged",), ("hal",)):
        api = make_api(*dialects)
        api.region("categories")
        api.done("POST", f"{WARM}/categories", {"maxItems": 1})
        body = api.done("GET", f"{WARM}/status")
        found = {"wrapped": body.get("jobs"), "map": [*body.values()], "paged": body.get("content"),
                 "hal": body.get("_embedded", {}).get("jobs")}[dialects[0]]
        assert [job["region"] for job in found] == ["categories"]
    accepted = make_api("accepted")
    accepted("POST", REGIONS, {"name": "categories"})
    assert wait_until(lambda: "categories" in accepted.regions())
    assert accepted("POST", f"{WARM}/categories", {}).body == {"status": "ACCEPTED"}
    assert wait_until(lambda: job_of(accepted, "categories")["status"] == "COMPLETED")
