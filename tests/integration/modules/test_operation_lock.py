# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""operation_lock: taken, renewed, released, lost, and named by whoever does not get it."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

from tests.harness.modules import ModuleResult, run_module


@pytest.fixture
def base(tmp_path: Path) -> dict[str, t.Any]:
    return {"store_url": f"file://{tmp_path}/store", "name": "production-eu"}


def good(result: ModuleResult) -> ModuleResult:
    assert result.rc == 0 and not result.crashed, result
    return result


@pytest.mark.hazard("H07")
def test_a_lock_from_taking_to_losing(base: dict[str, t.Any], tmp_path: Path) -> None:
    free = good(run_module("operation_lock", {**base, "owner": "first"}, check=True))
    assert free["changed"] and free["token"] == 0 and free["holder"] is None and not (tmp_path / "store").exists()
    held = good(run_module("operation_lock", {**base, "owner": "first"}))
    assert held["changed"] and held["acquired"] and held["holder"]["owner"] == "first" and held["diff"]["after"] == {"lock": "held by first"}
    other = run_module("operation_lock", {**base, "owner": "second"})
    assert other["failed"] and "the lock production-eu (content) is held by first since " in other["msg"] and other["holder"]["token"] == held["token"]
    seen = good(run_module("operation_lock", {**base, "owner": "second"}, check=True))
    assert seen["holder"]["owner"] == "first", "check mode fails on nothing and shows the holder"
    renewed = good(run_module("operation_lock", {**base, "state": "renewed", "token": held["token"], "ttl": "PT1H"}))
    assert renewed["token"] == held["token"] and renewed["holder"]["until"] > held["holder"]["until"] and not renewed["acquired"]
    released = good(run_module("operation_lock", {**base, "state": "released", "token": held["token"]}))
    assert released["changed"] and released["holder"] is None and released["token"] == 0
    again = run_module("operation_lock", {**base, "state": "released", "token": held["token"]})
    assert again["failed"] and again["lost"] and "is not held with token" in again["msg"]
    third = good(run_module("operation_lock", {**base, "owner": "third", "wait_timeout": "PT5S"}))
    assert third["token"] > held["token"]
    late = run_module("operation_lock", {**base, "state": "renewed", "token": held["token"]})
    assert late["failed"] and late["lost"] and "was lost: it is held by third" in late["msg"]


BAD: dict[str, tuple[dict[str, t.Any], str]] = {
    "no-store": ({"store_url": ""}, "store_url: give a store"), "name": ({"name": "a/b"}, "name: 'a/b' must be"),
    "ttl": ({"ttl": "PT5S"}, "ttl: it must be between 10 seconds and 30 days"), "ttl-text": ({"ttl": "long"}, "ttl: 'long' is not a duration"),
    "token": ({"state": "released"}, "state is released but all of the following are missing: token"),
}


@pytest.mark.parametrize(("change", "told"), BAD.values(), ids=BAD)
def test_bad_input(base: dict[str, t.Any], change: dict[str, t.Any], told: str) -> None:
    result = run_module("operation_lock", {**base, **change})
    assert result["failed"] and told in result["msg"] and not result.crashed, result


def test_what_check_mode_took_can_be_released(base: dict[str, t.Any]) -> None:
    assert not good(run_module("operation_lock", {**base, "state": "released", "token": 0}, check=True))["changed"]
