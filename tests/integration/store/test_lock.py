# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock on every store: many runs at once, holders that are stopped or killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import typing as t
from pathlib import Path

import pytest
from ansible_collections.exalt.caching.plugins.module_utils._errors import CachingError
from ansible_collections.exalt.caching.plugins.module_utils._resources.operation_lock import Held, Lock
from ansible_collections.exalt.caching.plugins.module_utils._store import Store, open_store

from tests.faults.locks import race
from tests.harness import process

TTL = 1.5


@pytest.mark.hazard("H07")
def test_of_twenty_runs_at_once_one_has_it(options: dict[str, t.Any]) -> None:
    result = race(options, runs=20, rounds=2)
    assert result.winners == [1, 1] and result.odd == [], result


def held(options: dict[str, t.Any], owner: str) -> tuple[subprocess.Popen[str], int]:
    arguments = json.dumps({"store": options, "owner": owner, "ttl": TTL})
    run = process.start("tests.harness.lock_holder", [arguments], stdout=subprocess.PIPE)
    assert run.stdout is not None
    word, _space, token = run.stdout.readline().partition(" ")
    assert word == "held"
    return run, int(token)


def taken(store: Store, owner: str, wait: float = 20.0) -> tuple[int, float]:
    began = time.monotonic()
    return Lock(store, "trial", "topology").take(owner, 60, wait).token, time.monotonic() - began


@pytest.fixture(params=["directory", "s3"])
def quiet(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, t.Any]:
    """Options of a store that works."""
    return {"store_url": f"file://{tmp_path}/store"} if request.param == "directory" else dict(request.getfixturevalue("s3_options"))


@pytest.mark.hazard("H07")
def test_a_stopped_holder_that_wakes_sees_that_it_lost_the_lock(quiet: dict[str, t.Any]) -> None:
    run, token = held(quiet, "the stopped run")
    store = open_store(quiet)
    try:
        time.sleep(2 * TTL + 2.5)
        with pytest.raises(CachingError, match="is held by the stopped run"):   # it is renewed, so nobody gets it
            taken(store, "hasty", 0)
        os.kill(run.pid, signal.SIGSTOP)
        other, _waited = taken(store, "the next run")
        assert other > token
        os.kill(run.pid, signal.SIGCONT)
        assert run.stdout is not None
        assert run.stdout.readline().startswith(f"lost the lock trial (topology) with token {token} was lost: it is held by the next run since ")
        assert run.wait(10) == 3
        assert Lock(store, "trial", "topology").mine(other).owner == "the next run"
    finally:
        process.stop(run)


@pytest.mark.hazard("H07")
def test_a_killed_holder_keeps_the_lock_until_it_expires(quiet: dict[str, t.Any]) -> None:
    run, token = held(quiet, "the killed run")
    store = open_store(quiet)
    run.kill()
    run.wait()
    other, waited = taken(store, "the next run")
    assert other > token and waited >= TTL - 1
    process.stop(run)


@pytest.mark.hazard("H07")
def test_it_is_kept_while_one_long_step_lasts_and_lost_once(quiet: dict[str, t.Any]) -> None:
    """Reading a large backup takes longer than the lock's time; nothing in that step renews it by itself."""
    store = open_store(quiet)
    lock = Lock(store, "trial", "topology")
    token = lock.take("the long run", TTL, 0).token
    held = Held(store, {"name": "trial", "scope": "topology", "token": token, "ttl": f"PT{TTL}S"})
    lost = f"with token {token} was lost: it is held by the next run|is not held with token {token}"   # seen before the next run takes it, or after
    with pytest.raises(CachingError, match=lost), held.kept() as still:
        time.sleep(3 * TTL + 2.5)
        still()
        with pytest.raises(CachingError, match="is held by the long run"):
            taken(store, "hasty", 0)
        lock.release(token)
        other, _waited = taken(store, "the next run")
        end = time.monotonic() + 10
        while time.monotonic() < end:
            still()
            time.sleep(0.02)
    assert time.monotonic() < end and lock.mine(other).owner == "the next run"
    with Held(store, None).kept() as still:   # without a lock nothing is looked at
        still()
