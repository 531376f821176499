# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report's schema and its page."""

from __future__ import annotations

import copy
import json
import re
import typing as t

import jsonschema
import pytest
from ansible_collections.exalt.caching.plugins.module_utils import _kpi, _report_page
from ansible_collections.exalt.caching.plugins.module_utils._errors import CachingError
from ansible_collections.exalt.caching.plugins.module_utils._report_schema import SCHEMA
from ansible_collections.exalt.caching.plugins.module_utils._resources import report as reports

from tests.fleet import paths

STAMP = "2026-11-23T06:00:00Z"


def report(**values: float | None) -> dict[str, t.Any]:
    """A whole report with these key figures; all others are unknown."""
    kpis = _kpi.judge({name: _kpi.Figure(value, "" if value is not None else "not told") for name, value in values.items()}, _kpi.THRESHOLDS)
    trend = [{"date": f"2026-11-{day}", "requests": None, "values": {name: values.get(name) for name in _kpi.THRESHOLDS}} for day in (21, 22, 23)]
    return {
        "schema_version": 1,
        "period": "daily",
        "date": "2026-11-23",
        "title": "production <eu>",
        "generated_at": STAMP,
        "measured": {"from": STAMP, "to": STAMP, "seconds": 86400.0, "since": "report"},
        "verdict": "unknown",
        "kpis": [{**kpi, "change": None} for kpi in kpis],
        "counted": dict.fromkeys(("requests", "hits", "misses", "puts", "evictions")),
        "gauges": dict.fromkeys(("entries", "connections", "connections_active", "redis_used", "redis_max", "jvm_used", "jvm_max")),
        "regions": [
            {
                "name": "<script>alert(1)</script>",
                "size": 5,
                "max_size": 10,
                "memory_usage": 2048,
                "default_ttl": "PT2H",
                "hits": 9,
                "misses": 1,
                "hit_rate": 90.0,
            }
        ],
        "instances": [{"name": "one", "url": "http://10.0.0.1:8403", "measured": False, "restarted": False, "error": "<b>no</b> answer"}],
        "top_regions": None,
        "recommendations": [{"text": "<img src=x>"}],
        "weekly_report": None,
        "trend": trend,
        "missing": {"top_regions": "404"},
        "readings": {},
    }


@pytest.mark.operation("S057")
@pytest.mark.hazard("H19")
def test_the_schema_is_published_and_reports_keep_to_it() -> None:
    published = json.loads((paths.ROOT / "docs" / "report.schema.json").read_text(encoding="utf-8"))
    assert published == json.loads(json.dumps(SCHEMA)), "docs/report.schema.json is out of date"
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    good = report(hit_rate=91.5, cpu_usage=None)
    reports.check(good)
    for part, value in (("verdict", "fine"), ("kpis", good["kpis"][1:]), ("date", "23.11.2026"), ("title", None), ("counted", {}), ("extra", 1)):
        with pytest.raises(CachingError):
            reports.check({**copy.deepcopy(good), part: value})


@pytest.mark.parametrize("values", [{}, {"hit_rate": 91.5, "response_time": 3.25, "memory_usage": 85.9, "eviction_rate": 0.0}])
def test_the_page_needs_nothing_else_and_trusts_no_name(values: dict[str, float]) -> None:
    page = _report_page.render(report(**values))
    assert not re.search(r"<script|<link|@import|<img|<iframe|(src|href)=\"(?!#)", page), "it loads or runs something"
    assert not re.search(r"url\((?!#)", page)
    assert "production &lt;eu&gt;" in page and "&lt;script&gt;alert(1)&lt;/script&gt;" in page and "&lt;b&gt;no&lt;/b&gt; answer" in page
    assert 'name="viewport"' in page and "prefers-color-scheme:dark" in page and "24 hours" in page
    assert page.count("<svg") == len(values) + 2 and page == _report_page.render(report(**values)), "the same report is the same page"


@pytest.mark.parametrize(("seconds", "text"), [(5, "5 seconds"), (150, "2.5 minutes"), (7200, "2 hours"), (86400, "24 hours"), (604800, "7 days")])
def test_spans(seconds: float, text: str) -> None:
    assert _report_page.span(seconds) == text


@pytest.mark.parametrize(
    ("part", "shown"),
    [
        ([{"region": "a", "hits": 5}], ["region: a, hits: 5"]),
        (["x", "y"], ["x", "y"]),
        ({"recommendations": ["x"]}, ["x"]),
        ("text", "text"),
        ({"a": 1, "b": 2}, '{\n  "a": 1,\n  "b": 2\n}'),
    ],
)
def test_what_the_service_tells_in_its_own_shape(part: t.Any, shown: t.Any) -> None:
    assert _report_page.lines(part) == shown
