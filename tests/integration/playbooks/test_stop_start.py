# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stop, start and scale on the local fleet; supervisor's own word is the witness."""

from __future__ import annotations

import typing as t
from collections.abc import Iterator

import pytest

from tests.harness.plays import Outcome, play
from tests.harness.scratch import free_ports

NAMES = [f"caching-service-{number}" for number in (1, 2, 3)]


@pytest.fixture
def states(fleet) -> Iterator[t.Callable[[], dict[str, str]]]:
    """State and process of each instance, as supervisor tells; all of them run again afterwards."""
    def told() -> dict[str, str]:
        lines = [line.split() for line in fleet.supervisorctl("status").splitlines() if line.startswith("caching-service-")]
        return {words[0]: " ".join(words[1:2] + words[3:4] if words[1] == "RUNNING" else words[1:2]) for words in lines}

    yield told
    for name in NAMES:
        fleet.supervisorctl("start", name)
    assert play("status", fleet.inventory).rc == 0


def ended(outcome: Outcome, changed: bool) -> dict[str, t.Any]:
    assert outcome.rc == 0 and (outcome.changed > 0) is changed, outcome.stdout
    record: dict[str, t.Any] = outcome.custom["exalt_caching_run"][0]
    assert bool(record["changes"]) is changed, record
    return record


@pytest.mark.long
@pytest.mark.hazard("H09", "H10", "H12")
def test_stop_flushes_first_and_start_brings_everything_back(fleet, states) -> None:
    before = states()
    ended(play("stop", fleet.inventory, check=True), True)
    assert states() == before, "check mode stopped something"
    stopped = play("stop", fleet.inventory)
    ended(stopped, True)
    assert states() == dict.fromkeys(NAMES, "STOPPED")
    (flushed,) = stopped.results("cache_task")
    assert [one["status"] for one in flushed["instances"]] == ["shut down"] * 3, flushed
    again = play("stop", fleet.inventory)
    ended(again, False)
    assert "nothing was flushed: no process of the service runs" in again.stdout, again.stdout
    judged = play("status", fleet.inventory)
    assert judged.rc != 0 and "is not healthy" in judged.stdout, judged.stdout
    ended(play("start", fleet.inventory, check=True), True)
    assert states() == dict.fromkeys(NAMES, "STOPPED")
    ended(play("start", fleet.inventory), True)
    after = states()
    assert all(state.startswith("RUNNING") for state in after.values()) and not set(after.values()) & set(before.values())
    ended(play("start", fleet.inventory), False)
    assert states() == after


@pytest.mark.hazard("H09")
def test_an_instance_that_is_ready_is_not_taken_for_down(fleet, states) -> None:
    """Such as one at another port than the inventory says."""
    before, place = states(), f"http://127.0.0.1:{free_ports(1)[0]}"
    wrong = [{"name": NAMES[0], "url": place, "management_url": place}]
    refused = play("stop", fleet.inventory, extra_vars={"caching_instances": wrong, "caching_service_url": place})
    assert refused.rc != 0 and f"{NAMES[0]}: nobody listens there, and the platform says" in refused.stdout, refused.stdout
    assert states() == before


@pytest.mark.long
def test_scale_keeps_what_runs(fleet, states) -> None:
    before = states()
    fewer = {"caching_replicas": 2}
    ended(play("scale", fleet.inventory, check=True, extra_vars=fewer), True)
    assert states() == before
    ended(play("scale", fleet.inventory, extra_vars=fewer), True)
    now = states()
    assert sorted(state for state in now.values() if state == "STOPPED") == ["STOPPED"]
    assert {name: state for name, state in now.items() if state != "STOPPED"}.items() <= before.items(), "one that stays was restarted"
    ended(play("scale", fleet.inventory, extra_vars=fewer), False)
    ended(play("scale", fleet.inventory, extra_vars={"caching_replicas": 3}), True)
    assert all(state.startswith("RUNNING") for state in states().values())
    none = play("scale", fleet.inventory, extra_vars={"caching_replicas": 0})
    assert none.rc != 0 and "caching_replicas is 0: that ends every instance without a flush" in none.stdout and none.changed == 0, none.stdout
    most = play("scale", fleet.inventory, extra_vars={"caching_replicas": 9})
    assert most.rc != 0 and "9 instances are wanted, and supervisor has 3 programs" in most.stdout and most.changed == 0
