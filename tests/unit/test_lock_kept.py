# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock while a backup is verified: renewed for as long as that takes, and the verification stops where it is lost."""

from __future__ import annotations

import time
import typing as t
from pathlib import Path

import pytest
from ansible_collections.exalt.caching.plugins.module_utils import _manifest
from ansible_collections.exalt.caching.plugins.module_utils._errors import CachingError
from ansible_collections.exalt.caching.plugins.module_utils._progress import Progress
from ansible_collections.exalt.caching.plugins.module_utils._resources import verification
from ansible_collections.exalt.caching.plugins.module_utils._resources.backup import Backup
from ansible_collections.exalt.caching.plugins.module_utils._resources.operation_lock import Lock
from ansible_collections.exalt.caching.plugins.module_utils._store import Store, open_store

from tests.harness.made_sets import make

TTL = 1.0
FOREVER = 60.0
OPTIONS: dict[str, t.Any] = {
    "signing_key": None, "encrypt_to": [], "quiesce": "PT0S", "max_age": "PT0S", "parallel": 0, "compression_level": 1, "bandwidth_limit": 0,
    "cluster": "demo", "max_lag": "PT1M", "redis_username": None, "read_from": "replica",
}


class Quiet(Progress):
    def __init__(self) -> None: ...

    def step(self, *_told: t.Any, **_more: t.Any) -> None: ...


@pytest.fixture(name="store")
def _store(tmp_path: Path) -> Store:
    return open_store({"store_url": f"file://{tmp_path}"})


def lock(store: Store) -> Lock:
    return Lock(store, "demo", "topology")


def given(token: int) -> dict[str, t.Any]:
    return {"name": "demo", "scope": "topology", "token": token, "ttl": f"PT{TTL:.0f}S"}


def verify(store: Store, token: int, monkeypatch: pytest.MonkeyPatch, seconds: float) -> tuple[str, t.Callable[[], t.Any]]:
    """A backup that was just written, and its verification, which takes this long."""
    identifier = make(store, "demo", time.time(), verified=False)
    document = store.get(f"{_manifest.folder('demo', identifier)}/{_manifest.MANIFEST}") or b""
    backup = Backup({**OPTIONS, "lock": given(token)}, t.cast("t.Any", None), store, print)
    real = verification.verify

    def slow(*arguments: t.Any) -> str:
        time.sleep(seconds)
        return real(*arguments)

    monkeypatch.setattr(verification, "verify", slow)
    manifest, _signature = _manifest.opened("manifest", document, None)
    return identifier, lambda: backup._verify(manifest, document, Quiet())


@pytest.mark.hazard("H07")
def test_the_lock_is_renewed_while_a_backup_is_verified(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = lock(store).take("the backup", TTL, 0)
    identifier, run = verify(store, mine.token, monkeypatch, 2 * TTL + 3)   # longer than the ttl and the margin of clocks
    assert run()[0]
    found = lock(store).mine(mine.token)
    assert found.held and found.number > mine.number + 3
    assert store.get(f"{_manifest.folder('demo', identifier)}/{_manifest.VERIFIED}")


@pytest.mark.hazard("H07")
def test_a_backup_whose_lock_is_lost_while_it_is_verified_does_not_count(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = lock(store).take("the backup", TTL, 0)
    identifier, run = verify(store, mine.token, monkeypatch, TTL)
    real = verification.verify

    def stolen(*arguments: t.Any) -> str:
        lock(store).release(mine.token)
        lock(store).take("somebody else", FOREVER, 0)
        return real(*arguments)

    monkeypatch.setattr(verification, "verify", stolen)
    with pytest.raises(CachingError, match="was written, but was not verified: .* was lost: it is held by somebody else .* It counts for nothing") as told:
        run()
    assert told.value.results["changed"] and not told.value.results["backup"]["verified"]
    assert store.get(f"{_manifest.folder('demo', identifier)}/{_manifest.VERIFIED}") is None
