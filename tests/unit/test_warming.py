# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Truth tables of what warming needs: queries, warm-ups as services tell of them, progress, cron expressions, hit rates."""

from __future__ import annotations

import json
import re
import time
import typing as t
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.exalt.caching.plugins.module_utils import _cron
from ansible_collections.exalt.caching.plugins.module_utils._errors import CachingError
from ansible_collections.exalt.caching.plugins.module_utils._kpi_window import Reading
from ansible_collections.exalt.caching.plugins.module_utils._progress import Progress
from ansible_collections.exalt.caching.plugins.module_utils._resources import metrics, schedules, warm_jobs, warm_query

BEGIN = datetime(2026, 1, 1)


# ---- queries


@pytest.mark.parametrize("query", [
    "SELECT * FROM categories WHERE active = true", "select 1;", "  SELECT 'it''s', \"update\", `drop` FROM a  ", "SELECT 'drop table x'",
    "SELECT t.update, offset_at, reset_count FROM t ORDER BY 1 LIMIT 10 OFFSET 5", "SELECT *\nFROM a\n\tWHERE b = 'c'", "SELECT '$.a', '$.b' FROM x",
])
@pytest.mark.hazard("H17")
def test_a_select_is_allowed(query: str) -> None:
    assert warm_query.check(query, True) == query.strip().removesuffix(";")


@pytest.mark.parametrize("query", [
    "", " ; ", "UPDATE a SET b = 1", "SELECTED", "(SELECT 1)", "WITH x AS (DELETE FROM a RETURNING *) SELECT * FROM x", "SELECT 1; DROP TABLE a",
    "SELECT 1;;", "SELECT ';'", "SELECT 1 -- x", "SELECT 1 --", "SELECT/**/1", "SELECT /*! 1 */ 1", "SELECT 1 */ x", r"SELECT '\' OR 1 = '", "SELECT 'a",
    'SELECT "a', "SELECT `a", "SELECT $$ ' $$ DROP TABLE x", "SELECT $a$ ' $a$", "SELECT ['] DROP TABLE a [']", "SELECT 1 DROP TABLE a", "SELECT 1DROP TABLE a",
    "SELECT 1.DROP TABLE a", "SELECT * INTO a FROM b", "SELECT 1 INTO OUTFILE 'x'", "SELECT 1 FOR UPDATE", "select 1 exec xp_cmdshell", "SELECT 1\0",
    "SELECT 1 UNION SELECT 2 WAITFOR DELAY '1'", "SELECT \x1b", "SELECT " + "x" * 10_001,
])
@pytest.mark.hazard("H17")
def test_anything_else_is_refused(query: str) -> None:
    with pytest.raises(CachingError) as caught:
        warm_query.check(query, True)
    assert caught.value.message.startswith("query: it ") and "\n" not in caught.value.message


@pytest.mark.hazard("H17")
def test_a_query_needs_a_word_of_its_own() -> None:
    with pytest.raises(CachingError, match="only with allow_query: true"):
        warm_query.check("SELECT 1", False)


@given(st.text(max_size=40), st.sampled_from([";", "--", "/*", "\\", "$$"]), st.text(min_size=1, max_size=40).filter(str.strip))
def test_no_text_around_it_hides_a_second_statement(before: str, sign: str, after: str) -> None:
    with pytest.raises(CachingError):
        warm_query.check(f"SELECT {before}{sign}{after}x", True)


# ---- warm-ups


def job(**fields: t.Any) -> warm_jobs.Job:
    return warm_jobs.parsed({"region": "a", "status": "COMPLETED", **fields})


@pytest.mark.parametrize(("status", "state"), [
    ("QUEUED", "running"), ("RUNNING", "running"), ("in-progress", "running"), ("Warming", "running"), ("COMPLETED", "completed"), ("done", "completed"),
    ("FAILED", "failed"), ("CANCELED", "cancelled"), ("CANCELLED", "cancelled"), ("odd", "running"),
])
def test_states(status: str, state: str) -> None:
    assert job(status=status).state == state


def test_words_of_other_services() -> None:
    found = warm_jobs.parsed({
        "cacheName": "a", "state": "odd", "totalItems": 9, "processed": 4.0, "startTime": 1_767_225_600_000, "endTime": "2026-01-01T00:00:09"})
    assert (found.region, found.state, found.total, found.loaded, found.began, found.ended) == ("a", "unknown", 9, 4, 1767225600.0, 1767225609.0)
    assert warm_jobs.moment("2026-01-01T01:00:00+01:00") == warm_jobs.moment("2026-01-01T00:00:00Z") == warm_jobs.moment(1767225600) == 1767225600.0
    assert warm_jobs.moment("soon") is None and warm_jobs.moment(None) is None
    with pytest.raises(CachingError, match="one without a region"):
        warm_jobs.parsed({"status": "RUNNING"})


def test_the_one_that_counts() -> None:
    old, new = job(startedAt="2026-01-01T00:00:00Z"), job(startedAt="2026-01-02T00:00:00Z")
    running, other = job(status="RUNNING", startedAt="2025-01-01T00:00:00Z"), job(region="b", startedAt="2027-01-01T00:00:00Z")
    assert warm_jobs.pick([new, old, other], "a") == new
    assert warm_jobs.pick([new, running, other], "a") == running
    assert warm_jobs.pick([other], "a") is None


@pytest.mark.parametrize(("fields", "expected"), [
    ({"finishedAt": 940}, True), ({"finishedAt": 939}, False), ({"finishedAt": 2000}, True), ({}, False), ({"status": "FAILED", "finishedAt": 990}, False),
    ({"finishedAt": 990, "strategy": "all-items"}, False), ({"finishedAt": 990, "strategy": "POPULAR_ITEMS"}, True),
])
def test_young_enough(fields: dict[str, t.Any], expected: bool) -> None:
    assert warm_jobs.young(job(**fields), "popular-items", 61, 1000) is expected
    assert warm_jobs.young(None, "popular-items", 61, 1000) is False


# ---- progress


def test_progress_is_written_line_by_line_and_thinned_in_the_result(tmp_path) -> None:
    told: list[str] = []
    path = tmp_path / "new" / "progress.jsonl"
    progress = Progress(str(path), "region a", told.append)
    for done in range(0, 1000, 10):
        progress.step(done, 1000, "RUNNING")
        progress.step(done, 1000, "RUNNING")
    progress.close()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["done"] for line in lines] == list(range(0, 1000, 10)) and lines[-1]["rate"] > 0 and lines[-1]["eta"] >= 0
    assert lines[0]["rate"] is None and lines[0]["eta"] is None and lines[0]["what"] == "region a"
    assert len(progress.steps) <= 40 and progress.steps[0]["done"] == 0 and progress.steps[-1]["done"] == 990
    Progress(str(tmp_path), "region a", told.append).step(1, None)
    assert len(told) == 1 and "can't be written" in told[0]


# ---- cron


@pytest.mark.parametrize("expression", ["0 2 * * *", " 0  2 * * MON-FRI ", "*/15 0-6 1,15 * *", "0 2 L * *", "0 2 * JAN 7"])
def test_expressions(expression: str) -> None:
    assert _cron.check(expression, "x") == " ".join(expression.split())


@pytest.mark.parametrize(("expression", "why"), [
    ("", "has 0 fields"), ("0 2 * *", "has 4 fields"), ("0 0 2 * * *", "has 6 fields"), ("@daily", "has 1 field;"), ("60 * * * *", "bad minute"),
    ("0 24 * * *", "bad hour"),
    ("0 0 30 2 *", "bad day-of-month"), ("a b c d e", "bad minute"), ("0 2 * * MOO", "bad day-of-week"), ("*/0 * * * *", "bad minute"),
])
def test_what_is_none(expression: str, why: str) -> None:
    with pytest.raises(CachingError, match="schedule of a: ") as caught:
        _cron.check(expression, "schedule of a")
    assert why in caught.value.message


@pytest.mark.parametrize(("left", "right", "expected"), [
    ("0 2 * * *", "0 2 * * *", True), ("0 2 * * 0", "0 2 * * SUN", True), ("0 2 * * 7", "0 2 * * 0", True), ("*/30 * * * *", "0,30 * * * *", True),
    ("0 2 * * 1-5", "0 2 * * MON-FRI", True), ("0 2 * * *", "0 3 * * *", False), ("0 2 1 * 1", "0 2 1 * *", False), ("0 2 * * *", "odd", False),
])
def test_the_same_times(left: str, right: str, expected: bool) -> None:
    assert _cron.same(left, right) is expected


def test_seconds_before_are_taken_off() -> None:
    assert _cron.normal("0 0 2 ? * *") == "0 2 * * *" and _cron.normal("30 0 2 * * *") == "30 0 2 * * *" and _cron.normal("0  2 * * *") == "0 2 * * *"


def entry(schedule: str, region: str = "a", enabled: bool = True, zone: str | None = None) -> dict[str, t.Any]:
    return {"schedule": schedule, "region": region, "strategy": "s", "enabled": enabled, "_zone": zone}


@pytest.mark.parametrize(("objects", "zone", "told"), [
    ({"x": entry("0 2 * * *"), "y": entry("5 2 * * MON")}, None, ["schedules x and y both warm a at nearly the same time (Mon 02:00 and Mon 02:05)"]),
    ({"x": entry("0 2 * * *"), "y": entry("10 2 * * *")}, None, []),
    ({"x": entry("0 2 * * *"), "y": entry("0 2 * * *", "b")}, None, []),
    ({"x": entry("0 2 * * *"), "y": entry("0 2 * * *", enabled=False)}, None, []),
    ({"x": entry("0 2 * * *"), "y": entry("not one")}, None, []),
    ({"x": entry("30 2 * * *")}, "Europe/Berlin", [
        "schedule x starts at 02:30, which does not exist on 2026-03-29 in Europe/Berlin",
        "schedule x starts at 02:30, which comes twice on 2026-10-25 in Europe/Berlin"]),
    ({"x": entry("30 2 1 * *")}, "Europe/Berlin", []), ({"x": entry("0 3 * * *")}, "Europe/Berlin", []), ({"x": entry("*/5 * * * *")}, "Europe/Berlin", []),
    ({"x": entry("30 2 * * *")}, "UTC", []),
    ({"x": entry("0 5 * * *", zone="UTC")}, "Europe/Berlin", ["timezone is Europe/Berlin, but the service reads schedules in UTC"]),
])
def test_what_is_warned_of(objects: dict[str, t.Any], zone: str | None, told: list[str]) -> None:
    assert schedules.findings(objects, timedelta(minutes=10), zone, BEGIN) == told


def test_a_year_of_many_schedules_takes_little_time() -> None:
    objects = {f"s{number}": entry("*/5 * * * *", region=f"r{number // 4}") for number in range(200)}
    assert len(schedules.findings(objects, timedelta(minutes=1), "Europe/Berlin", BEGIN)) == 300


# ---- metrics


def reading(at: float, hits: float, misses: float, error: str = "") -> Reading:
    return Reading(at, {"hits": hits, "misses": misses}, {}, {}, {}, error)


@pytest.mark.parametrize(("before", "after", "expected"), [
    ({"a": reading(0, 10, 10)}, {"a": reading(9, 19, 11)}, (90.0, 10)),
    ({"a": reading(0, 10, 10)}, {"a": reading(9, 10, 10)}, (None, 0)),
    ({"a": reading(0, 100, 10)}, {"a": reading(9, 3, 1)}, (75.0, 4)),
    ({"a": reading(0, 0, 0), "b": reading(0, 0, 0)}, {"a": reading(9, 5, 0), "b": reading(9, 0, 5)}, (50.0, 10)),
    ({"a": reading(0, 0, 0), "b": reading(0, 0, 0)}, {"a": reading(9, 5, 0), "b": reading(9, 0, 0, "down")}, (100.0, 5)),
    ({}, {"a": reading(9, 5, 0)}, (None, 0)),
])
@pytest.mark.hazard("H16")
def test_hit_rates(before: dict[str, Reading], after: dict[str, Reading], expected: tuple[float | None, int]) -> None:
    assert metrics.hit_rate(before, after) == expected


def test_metrics_are_put_together_by_their_kind() -> None:
    rows = [{"error": "", "measurements": {"COUNT": 2.0, "TOTAL_TIME": 0.5, "MAX": 0.1}},
            {"error": "", "measurements": {"COUNT": 3.0, "TOTAL_TIME": 0.5, "MAX": 0.3}}]
    assert metrics.combined(rows) == {"sum": {"COUNT": 5.0, "TOTAL_TIME": 1.0}, "max": {"MAX": 0.3}, "complete": True}
    gauges = [{"error": "", "measurements": {"VALUE": 2.0}}, {"error": "down", "measurements": {}}]
    assert metrics.combined(gauges) == {"sum": {"VALUE": 2.0}, "max": {"VALUE": 2.0}, "complete": False}
    odd = {"measurements": [{"statistic": "count", "value": 1}, {"value": "NaN"}, {"statistic": "MAX", "value": float("nan")}, "x"], "availableTags": None}
    assert metrics.parsed(odd) == {"measurements": {"COUNT": 1}, "available_tags": {}}


def test_hundreds_of_schedules_of_one_region_are_compared_at_once() -> None:
    """By their starts in order of time, not each with each: what meets is told, five times and then as a number."""
    entries = {
        f"warm-{number:03}": {"schedule": f"{number % 60} {number % 24} * * *", "region": "products", "enabled": True} for number in range(300)
    }
    started = time.process_time()
    told = schedules.findings(entries, timedelta(minutes=10), None, datetime(2026, 3, 1))
    each_minute = {f"often-{number:03}": {"schedule": "* * * * *", "region": "products", "enabled": True} for number in range(300)}
    told_often = schedules.findings(each_minute, timedelta(minutes=10), None, datetime(2026, 3, 1))
    assert time.process_time() - started < 10
    assert len(told) == len(told_often) == 6 and "both warm products at nearly the same time" in told[0]
    assert re.fullmatch(r"at least \d+ more pairs of schedules of products are as near", told[-1])
    two = {name: entries[name] for name in ("warm-000", "warm-001")}
    assert schedules.findings(two, timedelta(minutes=61), None, datetime(2026, 3, 1)) == []
    assert len(schedules.findings(two, timedelta(minutes=62), None, datetime(2026, 3, 1))) == 1
    assert schedules.findings(entries, timedelta(0), None, datetime(2026, 3, 1)) == []
