# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""cache_report: once for each date, kept, and sent once to each receiver."""

from __future__ import annotations

import json
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from pathlib import Path

import jsonschema
import pytest

from tests.fleet import paths
from tests.harness.modules import ModuleResult, run_module
from tests.harness.sequence import accepted, walk
from tests.harness.stage import REGIONS, Stage
from tests.harness.targets import Service

RECEIVED = {"path": "/reports/cache", "status": 202, "body": ""}


def options(target: Service, folder: Path, **more: t.Any) -> dict[str, t.Any]:
    return {"destination": str(folder / "reports"), "window": 1, "single_instance": True, "date": today(), **more}


def today() -> str:
    return time.strftime("%Y-%m-%d", time.gmtime())


def make(target: Service, folder: Path, check: bool = False, **more: t.Any) -> ModuleResult:
    return run_module("cache_report", {**target.args, **options(target, folder, **more)}, check=check)


def read(result: ModuleResult) -> dict[str, t.Any]:
    return t.cast("dict[str, t.Any]", json.loads(Path(result["json_path"]).read_text(encoding="utf-8")))


@pytest.fixture(autouse=True)
def _not_at_midnight() -> None:
    """A report belongs to a date: a test must not begin on one and end on the next."""
    left = 86400 - time.time() % 86400
    if left < 60:
        time.sleep(left + 1)


@pytest.mark.operation("S054", "S055", "S056", "S057", "S058", "S073")
@pytest.mark.hazard("H19")
@pytest.mark.parametrize("period", ["weekly"])
def test_it_is_made_and_sent_once(service, tmp_path, period: str) -> None:
    target = service()
    stage = Stage(target)
    stage.region("products", defaultTtl="PT2H")
    stage.entries("products", ["a", "b"])
    target.proxy.break_with(RECEIVED)
    wanted = options(
        target, tmp_path, period=period, publish_url=f"{target.url}/reports/cache", publish_token="canary-report-token", title="production"
    )
    (result,) = walk("cache_report", target, [("first", wanted, True)])
    assert result["published"] is True and result["summary"]["published"] == [f"{target.url}/reports/cache"]
    assert target.proxy.delivered() == [1]
    report = read(result)
    assert report["title"] == "production" and report["measured"]["since"] == "window" and report["date"] == today()
    assert [region["name"] for region in report["regions"]] == ["products"] and report["regions"][0]["size"] == 2
    assert report["weekly_report"] is not None and report["top_regions"] is not None and report["recommendations"] is not None
    assert {kpi["name"] for kpi in report["kpis"] if kpi["value"] is None} <= set(report["missing"]), "null has a reason"
    assert "<svg" in Path(result["html_path"]).read_text(encoding="utf-8")
    folder = tmp_path / "reports"
    assert sorted(path.suffix for path in folder.iterdir()) == [".html", ".json", ".json"], "no temporary file is left"
    assert all("canary-report-token" not in path.read_text() for path in folder.iterdir()) and "canary-report-token" not in result.stdout
    assert all(token not in path.read_text() for path in folder.iterdir() for token in target.tokens.values())


@pytest.mark.hazard("H19")
def test_a_failed_publication_is_told_and_sent_by_the_next_run(service, tmp_path) -> None:
    target = service()
    url = f"{target.url}/reports/cache"
    target.proxy.break_with(
        {"path": "/reports/cache", "status": 500, "body": '{"message": "disk full"}', "headers": {"Content-Type": "application/json"}}
    )
    failed = make(target, tmp_path, publish_url=url)
    assert failed["failed"] and failed["changed"] is True and failed["published"] is False
    assert "was not published: " in failed["msg"] and "answered 500: disk full; run again to send it" in failed["msg"] and "\n" not in failed["msg"]
    first = read(failed)
    assert make(target, tmp_path, publish_url=url)["changed"] is False, "nothing was done by a second failure"
    target.proxy.break_with({**RECEIVED, "status": 409})
    target.proxy.clear()
    sent = accepted(make(target, tmp_path, publish_url=url))
    assert sent["changed"] is True and sent["published"] is True and read(sent) == first, "the same report"
    (record,) = target.proxy.writes()
    assert record["path"] == "/reports/cache" and not record.get("role"), "no token of the service is sent there"
    assert accepted(make(target, tmp_path, publish_url=url))["changed"] is False


def test_the_next_report_covers_the_time_since_this_one(service, tmp_path) -> None:
    target = service()
    stage = Stage(target)
    stage.region("products")
    stage.entries("products", ["a"])
    before = read(accepted(make(target, tmp_path)))
    yesterday = (date.fromisoformat(today()) - timedelta(1)).isoformat()
    folder = tmp_path / "reports"
    for path in folder.iterdir():
        path.unlink()
    (folder / f"cache-report-daily-{yesterday}.json").write_text(json.dumps({**before, "date": yesterday}))
    (folder / f"cache-report-daily-{yesterday[:8]}00.json").write_text("{}")
    for _number in range(30):
        stage.send("GET", f"{REGIONS}/products/keys/a")
    stage.send("GET", f"{REGIONS}/products/keys/none")
    result = accepted(make(target, tmp_path, window="PT1H"))
    report = read(result)
    assert result.seconds < 60 and report["measured"]["since"] == "report"
    assert (report["counted"]["hits"], report["counted"]["misses"]) == (30, 1) and [point["date"] for point in report["trend"]] == [
        yesterday,
        today(),
    ]
    assert "is left out of the trend" in str(result["warnings"])
    again = accepted(make(target, tmp_path, date=yesterday))
    assert again["changed"] is True and again["html_path"].endswith(f"{yesterday}.html"), "an older one gets its page later"


def test_what_the_service_does_not_tell_is_null_with_a_reason(service, tmp_path) -> None:
    target = service()
    target.proxy.break_with({"path": "/analytics/|/regions", "status": 404, "body": ""})
    report = read(accepted(make(target, tmp_path, formats=["json"])))
    assert report["regions"] is None and report["top_regions"] is None and report["recommendations"] is None
    assert all("404" in report["missing"][name] for name in ("regions", "top_regions", "recommendations"))


def test_a_page_alone_is_written_with_its_json(service, tmp_path) -> None:
    result = accepted(make(service(), tmp_path, formats=["html"]))
    assert Path(result["json_path"]).exists() and Path(result["html_path"]).exists()


def test_without_the_service_nothing_is_good(service, tmp_path) -> None:
    target = service()
    target.proxy.break_with({"status": 503, "body": ""})
    result = accepted(make(target, tmp_path, retries=0))
    assert result["verdict"] == "unknown" and len(read(result)["kpis"]) == 9 and read(result)["readings"] == {}


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"period": "monthly"}, "daily, weekly"),
        ({"date": "yesterday"}, "date: 'yesterday' is not a date"),
        ({"date": "2026-02-30"}, "is not a date"),
        ({"date": "2020-01-01"}, "there is no daily report of 2020-01-01"),
        ({"formats": []}, "formats: give json, html or both"),
        ({"formats": ["pdf"]}, "formats"),
        ({"compare_with": -1}, "compare_with: it goes from 0 to 366"),
        ({"publish_url": "monitoring"}, "publish_url: 'monitoring' is not a URL"),
        ({"publish_url": "http://me:secret@host/x"}, "publish_url: a user or password"),
        ({"window": 0}, "window: it goes from one second"),
        ({"thresholds": {"x": 1}}, "there is no figure 'x'"),
        ({"single_instance": False}, "instances: this acts on each process"),
        ({"destination": " "}, "destination: give a directory"),
        ({"destination": __file__}, "is not a directory"),
        ({"region_limit": -5}, "region_limit"),
    ],
)
def test_bad_input_is_one_clear_line(service, tmp_path, more: dict[str, t.Any], told: str) -> None:
    target = service()
    result = make(target, tmp_path, **more)
    assert result["failed"] and not result.crashed and told in result["msg"] and "\n" not in result["msg"], result
    assert "internal error" not in result["msg"] and target.proxy.writes() == [] and not (tmp_path / "reports").exists()


def test_two_runs_at_the_same_time_make_one_report(service, tmp_path) -> None:
    target = service()
    Stage(target).region("products")
    with ThreadPoolExecutor(3) as threads:
        results = list(threads.map(lambda _number: make(target, tmp_path), range(3)))
    made = [result for result in results if result.get("changed")]
    assert len(made) == 1, "one has made it"
    for result in results:
        assert not result.get("failed") or "another run has made " in result["msg"] and result["msg"].endswith("run again")
    assert sorted(path.suffix for path in (tmp_path / "reports").iterdir()) == [".html", ".json"]
    published = json.loads((paths.ROOT / "docs/report.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(published)
    jsonschema.Draft202012Validator(published).validate(read(made[0]))


def test_a_file_that_is_no_report_is_not_overwritten(service, tmp_path) -> None:
    target = service()
    (tmp_path / "reports").mkdir()
    path = tmp_path / "reports" / f"cache-report-daily-{today()}.json"
    path.write_text('{"mine": true}')
    result = make(target, tmp_path)
    assert result["failed"] and "is there, but is no report" in result["msg"] and path.read_text() == '{"mine": true}'
