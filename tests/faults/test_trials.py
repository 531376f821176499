# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The random fault trials in small, and the positive controls of their judge. `make faults` makes as many as are wanted."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.faults import __main__ as suite
from tests.faults.trials import FAULTS, Subject
from tests.harness.modules import ModuleResult, run_module
from tests.harness.stage import Stage
from tests.harness.targets import Service


@pytest.mark.hazard("H03")
@pytest.mark.parametrize("module", ["cache_region", "cache_invalidate"])
@pytest.mark.parametrize("fault", FAULTS)
def test_state_is_old_or_declared_and_changed_is_true(service: Callable[..., Service], fault: str, module: str) -> None:
    subject = Subject(service())
    trials = [subject.trial(fault, module, 0)]
    while not any(trial.delivered for trial in trials):     # a fault that never happens shows nothing
        assert len(trials) < 20
        trials.append(subject.trial(fault, module, len(trials)))
    assert [(trial.seed, trial.broken) for trial in trials if trial.broken] == []


def lie(result: ModuleResult, _stage: Stage) -> None:
    result["changed"] = not result.get("changed")


def meddle(_result: ModuleResult, stage: Stage) -> None:
    stage.call("PATCH", "/admin/cache/regions/old0", {"maxSize": 7})


def boast(result: ModuleResult, stage: Stage) -> None:
    result["failed"] = False
    stage.call("DELETE", "/api/v1/cache/regions/new0")


def shout(result: ModuleResult, _stage: Stage) -> None:
    result.stdout += "Traceback (most recent call last)"


@pytest.mark.parametrize(("plant", "told"), [
    (lie, "changed is "), (meddle, "neither as it was nor as declared"), (boast, "it said success, but"), (shout, "the failure is no clear line"),
])
def test_a_planted_violation_is_found(service: Callable[..., Service], plant: Callable[[ModuleResult, Stage], None], told: str) -> None:
    trial = Subject(service(), plant).trial("delay", "cache_region", 1)
    assert any(told in text for text in trial.broken), trial.broken


@pytest.mark.hazard("H03")
def test_what_may_have_been_done_counts_as_changed(service: Callable[..., Service]) -> None:
    """The work is done, the answer is lost, and nobody can look any more: `changed` must not say no."""
    target = service()
    proxy = target.proxy
    proxy.break_with({"method": "POST", "reset": True, "forward": True}, {"method": "GET", "nth": 2, "status": 500})
    options = {**target.args, "retries": 0}
    created = run_module("cache_region", {**options, "regions": [{"name": "products"}]})
    assert created["failed"] and created["changed"] is True and "1 may have been made without an answer, but reading back failed" in created["msg"]
    proxy.break_with()
    refused = run_module("cache_region", {**options, "regions": [{"name": "other"}], "api_token": "wrong-token"})
    assert refused["failed"] and refused.get("changed", False) is False, "nothing was sent"
    proxy.break_with()
    stage = Stage(target)
    stage.entries("products", ["k1", "k2"])
    proxy.break_with({"method": "POST", "status": 500, "forward": True})
    removal = {"invalidations": [{"type": "key", "region": "products", "keys": ["k1"]}]}
    removed = run_module("cache_invalidate", {**options, **removal})
    assert removed["failed"] and removed["changed"] is True and removed["removed"] == 1 and not stage.there("products", "k1")
    proxy.break_with({"method": "POST", "status": 403})
    kept = run_module("cache_invalidate", {**options, "invalidations": [{"type": "key", "region": "products", "keys": ["k2"]}]})
    assert kept["failed"] and kept["changed"] is False and stage.there("products", "k2")


@pytest.mark.parametrize(("name", "value", "told"), [
    ("PARTS", "files, nonesuch", "there is no 'nonesuch'; there are: backups"), ("FILES", "0", "a whole number from 1"),
])
def test_what_is_to_be_tried_is_checked_first(monkeypatch: pytest.MonkeyPatch, name: str, value: str, told: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit, match=told):
        suite.asked()
        suite.number(name, 20)
