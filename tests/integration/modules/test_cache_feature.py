# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""cache_feature on the real service, in every dialect that touches it."""

from __future__ import annotations

import typing as t

import pytest

from tests.harness.modules import run_module
from tests.harness.sequence import accepted, walk
from tests.harness.stage import Stage
from tests.integration.modules.test_bad_input import refused

DIALECTS = ["standard", "paged", "wrapped", "hal", "map", "null-fields", "absent-fields", "put-merges", "fixed-features", "hal,absent-fields,put-merges"]


def flag(name: str, **fields: t.Any) -> dict[str, t.Any]:
    return {"name": name, **fields}


def _life(service, dialect: str) -> None:
    target = service(*dialect.split(","))
    stage = Stage(target)
    for name in ("products", "users"):
        stage.region(name)
    stage.call("PUT", "/admin/features/cache-compression", {"enabled": False})
    stage.call("PUT", "/admin/features/write-through", {"enabled": False, "rolloutPercentage": 0, "regions": []})
    first, second, third = walk("cache_feature", target, [
        ("on", {"features": [flag("cache-compression", enabled=True),
                             flag("write-through", enabled=True, regions=["users", "products"], rollout_percentage=25)]}, True),
        ("more", {"features": [flag("cache-compression", enabled=True), flag("write-through", rollout_percentage=50)]}, True),
        ("off", {"features": [flag("cache-compression", enabled=False), flag("write-through", enabled=False, rollout_percentage=0, regions=[])]}, True),
    ])
    assert first["summary"]["updated"] == ["cache-compression", "write-through"]
    assert second["summary"]["updated"] == ["write-through"] and second["summary"]["unchanged"] == ["cache-compression"]
    flags = {entry["name"]: entry for entry in second["features"]}
    assert flags["write-through"] == flag("write-through", enabled=True, regions=["products", "users"], rollout_percentage=50), "the rest is kept"
    assert {entry["name"]: entry["enabled"] for entry in third["features"]}["write-through"] is False


@pytest.mark.operation("S024", "S025", "S026")
def test_the_whole_life_in_the_standard_dialect(service) -> None:
    _life(service, "standard")


@pytest.mark.parametrize("dialect", [name for name in DIALECTS if name != "standard"])
def test_the_whole_life_in_every_dialect(service, dialect: str) -> None:
    _life(service, dialect)


def test_a_new_flag_is_made_where_the_service_makes_flags(service) -> None:
    target = service()
    result, = walk("cache_feature", target, [("new", {"features": [flag("dark-mode/ü", enabled=True)]}, True)])
    assert result["summary"]["created"] == ["dark-mode/ü"]


def test_a_service_with_fixed_flags_says_so(service) -> None:
    target = service("fixed-features")
    result = run_module("cache_feature", {**target.args, "features": [flag("dark-mode", enabled=True)]})
    assert result["failed"] and result["changed"] is False and "does not know this flag and makes no new ones" in result["msg"]


def test_reading_only(service) -> None:
    target = service()
    result = accepted(run_module("cache_feature", target.args))
    assert result["changed"] is False and result["requests"] == {"read": 1, "write": 0}
    assert target.proxy.calls() == ["GET /admin/features"]


def test_two_hundred_flags_are_one_list(service) -> None:
    target = service()
    features = [flag(f"f{number}", enabled=bool(number % 2), rollout_percentage=number % 101) for number in range(200)]
    first = accepted(run_module("cache_feature", {**target.args, "features": features}))
    assert first["requests"] == {"read": 2, "write": 200}
    again = accepted(run_module("cache_feature", {**target.args, "features": features}))
    assert again["changed"] is False and again["requests"] == {"read": 1, "write": 0}


@pytest.mark.parametrize("fault", [
    {"method": "PUT", "first": 1, "reset": True, "forward": True}, {"method": "PUT", "first": 2, "status": 503, "retry_after": 0},
    {"method": "GET", "first": 2, "html502": True},
], ids=["lost-answer", "busy", "bad-gateway"])
def test_passing_faults_are_outlived(service, fault: dict[str, t.Any]) -> None:
    target = service()
    target.proxy.break_with(fault)
    result = accepted(run_module("cache_feature", {**target.args, "features": [flag("write-through", enabled=True, rollout_percentage=5)]}))
    assert result["changed"] is True and target.proxy.delivered()[0] >= 1


def test_partial_failure_is_told_and_completed(service) -> None:
    target = service()
    features = [flag(f"f{number}", enabled=True) for number in range(4)]
    target.proxy.break_with({"method": "PUT", "path": "features/f2", "status": 500, "body": "boom"})
    result = run_module("cache_feature", {**target.args, "features": features})
    assert result["failed"] and result["changed"] is True and [failure["name"] for failure in result["failures"]] == ["f2"]
    target.proxy.break_with()
    assert accepted(run_module("cache_feature", {**target.args, "features": features}))["summary"]["created"] == ["f2"]


BAD: dict[str, tuple[dict[str, t.Any], str]] = {
    "text": ({"features": "write-through"}, "dictionary requested"),
    "nameless": ({"features": [{"enabled": True}]}, "missing required arguments: name"),
    "empty-name": ({"features": [flag(" ", enabled=True)]}, "features: ' ' can't be the name of a feature flag"),
    "dots": ({"features": [flag("..", enabled=True)]}, "features: '..' can't be the name of a feature flag"),
    "line-end": ({"features": [flag("a\nb", enabled=True)]}, "can't be the name of a feature flag"),
    "surrogate": ({"features": [flag("\udc80", enabled=True)]}, "can't be the name of a feature flag"),
    "twice": ({"features": [flag("a", enabled=True), flag("a", enabled=False)]}, "features: a is declared twice"),
    "nothing": ({"features": [flag("a")]}, "features: a declares nothing"),
    "too-much": ({"features": [flag("a", rollout_percentage=101)]}, "rollout_percentage of a goes from 0 to 100, not 101"),
    "negative": ({"features": [flag("a", rollout_percentage=-1)]}, "rollout_percentage of a goes from 0 to 100, not -1"),
    "fraction": ({"features": [flag("a", rollout_percentage=2.5)]}, "rollout_percentage"),
    "perhaps": ({"features": [flag("a", enabled="perhaps")]}, "enabled"),
    "no-such-region": ({"features": [flag("a", enabled=True, regions=["products", "nope"])]}, "features: regions of a: there is no region nope"),
    "bad-region": ({"features": [flag("a", regions=[""])]}, "features: regions of a: '' can't be the name of a region"),
    "guide-word": ({"features": [flag("a", rolloutPercentage=5)]}, "rolloutPercentage"),
    "wait": ({"features": [], "wait_timeout": "P1M"}, "wait_timeout: 'P1M' is not a duration"),
    "token": ({"features": [], "admin_token": "wrong"}, "is admin_token right for this service?"),
}


def test_bad_input_is_one_clear_line_and_nothing_is_written(service) -> None:
    target = service()
    Stage(target).region("products")
    for options, told in BAD.values():
        target.proxy.clear()
        refused(target, "cache_feature", options, told)
