# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every module of the service against answers that are wrong: one clear line, nothing written, never a good figure."""

from __future__ import annotations

import typing as t
from collections.abc import Iterator

import pytest

from tests.harness.modules import run_module
from tests.harness.stage import Stage
from tests.harness.targets import Service, Services
from tests.integration.modules.test_bad_input import QUICK, clear_line

ALONE = {"single_instance": True}
MODULES: dict[str, dict[str, t.Any]] = {
    "cache_entry": {"region": "products", "entries": [{"key": "k9", "value": 1}]},
    "cache_warm": {"region": "products", "wait_timeout": "PT2S"},
    "cache_warm_schedule": {"schedules": [{"name": "n", "schedule": "0 1 * * *", "region": "products", "strategy": "popular-items"}]},
    "cache_feature": {"features": [{"name": "write-through", "enabled": True}]},
    "cache_settings": {"redis_pool": {"max_total": 90, "max_idle": 40, "min_idle": 5}, **ALONE, "wait_timeout": 1},
    "cache_info": {"subset": ["regions", "features", "schedules", "warming"]},
}
# What comes instead of any answer, and what is told of it whoever reads it.
ANSWERS: dict[str, tuple[dict[str, t.Any], str]] = {
    "html": ({"status": 200, "body": "<html><title>Login</title></html>"}, "the body is not JSON; it begins: <html>"),
    "half": ({"status": 200, "body": '[{"name": "pro'}, "the body is not JSON"),
    "deep": ({"status": 200, "body": "[" * 100_000}, "the body is not JSON"),
    "unauthorised": ({"status": 401, "body": "{}"}, "401 Unauthorized"),
    "forbidden": ({"status": 403, "body": '{"message": "no"}'}, "403 Forbidden: no"),
    "broken": ({"status": 500, "body": '{"message": "pool exhausted"}'}, "500 Internal Server Error: pool exhausted"),
    "gateway": ({"html502": True}, "502 Bad Gateway"),
    "wait": ({"status": 503, "retry_after": 3600, "body": ""}, "asks to wait 3600 s (Retry-After)"),
    "login": ({"status": 302, "headers": {"Location": "https://sso.example/login"}}, "which is not followed"),
    "reset": ({"reset": True}, "no answer (Connection reset by peer)"),
    "cut": ({"cut": 3}, "the connection ended in the middle of the answer"),
}
NO_LIST: dict[str, str] = {"number": "42", "null": "null", "no-names": '[{"x": 1}]', "odd": '{"error": "x", "code": 7}'}
# What only measures goes on without the one that it can't ask.
MEASURES: dict[str, dict[str, t.Any]] = {
    "cache_kpi_info": {"window": 1, **ALONE},
    "cache_report": {"window": 1, **ALONE},
}


@pytest.fixture(scope="module")
def stocked(_services: Services) -> Service:
    target = _services.get(())
    Stage(target).region("products")
    return target


@pytest.fixture
def target(stocked: Service) -> Iterator[Service]:
    stocked.proxy.clear()
    yield stocked
    stocked.proxy.break_with()


@pytest.mark.hazard("H03")
@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("module", MODULES)
def test_what_is_no_answer_is_told(target: Service, module: str, answer: str) -> None:
    fault, told = ANSWERS[answer]
    target.proxy.break_with({"path": ".", **fault})
    retries = 1 if answer == "wait" else 0
    result = run_module(module, {**target.args, **QUICK, "retries": retries, **MODULES[module]}, timeout=60)
    if answer == "cut" and "Connection reset by peer" in result.get("msg", ""):    # the end was seen before what came first
        told = "no answer (Connection reset by peer)"
    clear_line(result, told)
    assert target.proxy.writes() == [] or module == "cache_settings"


@pytest.mark.parametrize("answer", NO_LIST)
@pytest.mark.parametrize("module", [name for name in MODULES if name not in ("cache_settings", "cache_entry")])
def test_what_is_no_list_is_told(target: Service, module: str, answer: str) -> None:
    target.proxy.break_with({"method": "GET", "path": "regions$|features$|schedules$|warm/status$", "status": 200, "body": NO_LIST[answer]})
    clear_line(run_module(module, {**target.args, **QUICK, **MODULES[module]}, timeout=60), "")
    assert target.proxy.writes() == []


@pytest.mark.hazard("H16", "H19")
@pytest.mark.parametrize("answer", ["html", "broken", "reset"])
@pytest.mark.parametrize("module", MEASURES)
def test_what_can_not_be_measured_is_unknown_and_never_ok(target: Service, tmp_path: t.Any, module: str, answer: str) -> None:
    fault, _told = ANSWERS[answer]
    target.proxy.break_with({"path": ".", **fault})
    more = {"destination": str(tmp_path)} if module == "cache_report" else {}
    result = run_module(module, {**target.args, **QUICK, **MEASURES[module], **more}, timeout=60)
    if result.get("failed"):
        clear_line(result, "")
    assert result.get("verdict", "unknown") == "unknown" and target.proxy.writes() == []
    assert {kpi["state"] for kpi in result.get("kpis", [])} <= {"unknown"} and len(result.get("unknown", range(9))) == 9


def test_nothing_of_all_this_has_changed_the_service(stocked: Service) -> None:
    stage = Stage(stocked)
    assert list(stage.regions()) == ["products"] and not stage.there("products", "k9")
    flags = {entry["name"]: entry for entry in stage.call("GET", "/admin/features")}
    assert flags["write-through"]["enabled"] is False and stage.call("GET", "/admin/cache/warm/schedules") == []
