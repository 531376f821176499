# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock: what its records mean, and who has it whatever order the calls come in."""

from __future__ import annotations

import os
import typing as t
from pathlib import Path

import pytest
from ansible_collections.exalt.caching.plugins.module_utils._errors import CachingError
from ansible_collections.exalt.caching.plugins.module_utils._lock import KEPT, Record, dump, expendable, folder, load, numbers
from ansible_collections.exalt.caching.plugins.module_utils._resources.operation_lock import Lock
from ansible_collections.exalt.caching.plugins.module_utils._store import Directory, Entry

GOOD = Record(7, "held", "a", 60.0, 5, "n")
PLACE = "locks/fleet/content"


@pytest.mark.parametrize(("state", "ttl", "age", "held"), [
    ("held", 60, 0, True), ("held", 60, 60, True), ("held", 60, 62, True), ("held", 60, 62.1, False), ("released", 60, 0, False), ("held", 0, 3, False),
])
def test_when_a_lock_is_held(state: str, ttl: float, age: float, held: bool) -> None:
    assert Record(1, state, "a", ttl, 1, "n", age).held is held


def test_a_record_comes_back_as_it_was() -> None:
    assert load(dump(GOOD), 7, 3.0, "x") == GOOD._replace(age=3.0)


@pytest.mark.parametrize("content", [
    b"", b"{}", b"[]", b"null", b"x", b'{"state": "held"}', dump(GOOD)[:-1], dump(GOOD._replace(state="maybe")), dump(GOOD._replace(token=8)),
    dump(GOOD._replace(token=0)), dump(GOOD._replace(ttl=-1.0)), dump(GOOD._replace(ttl=1e12)), dump(GOOD).replace(b"60.0", b"NaN"),
    dump(GOOD).replace(b"60.0", b"true"), dump(GOOD).replace(b'"a"', b"4"), b"[" * 100_000,
])
def test_damaged_records_are_no_free_lock(content: bytes) -> None:
    with pytest.raises(CachingError, match="the record there of the lock is damaged"):
        load(content, 7, 0.0, "there")


@pytest.mark.parametrize("name", ["", ".", "-a", "a/b", "a b", "x" * 65, "a\n", "ä"])
def test_names_that_no_lock_can_have(name: str) -> None:
    with pytest.raises(CachingError, match="name: "):
        folder(name, "content")


@pytest.mark.parametrize("name", ["0000000001x", "1", "²000000000", "0000000001/a", "notes.txt"])
def test_strangers_among_the_records_are_told(name: str) -> None:
    with pytest.raises(CachingError, match="is no record of a lock"):
        numbers(PLACE, [Entry(f"{PLACE}/{name}", 1, 0.0)])


def test_only_old_records_go() -> None:
    assert expendable(range(1, 100), 50) == list(range(1, 50 - KEPT)) and expendable([1, 2], 2) == []


class Trial:
    """A lock in a directory whose records can be made older."""

    def __init__(self, root: Path) -> None:
        self.store = Directory(str(root))
        self.root = root

    def lock(self, scope: str = "content") -> Lock:
        return Lock(self.store, "fleet", scope)

    def later(self, seconds: float) -> None:
        for file in (self.root / "locks").rglob("0*"):
            seen = file.stat()
            os.utime(file, (seen.st_atime - seconds, seen.st_mtime - seconds))


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    return Trial(tmp_path)


def lost(act: t.Callable[[], object]) -> CachingError:
    with pytest.raises(CachingError) as caught:
        act()
    assert caught.value.results["lost"] is True
    return caught.value


@pytest.mark.hazard("H07")
def test_one_holder_at_a_time(trial: Trial) -> None:
    mine = trial.lock().take("first run", 60, 0)
    told = r"the lock fleet \(content\) is held by first run since 2\S+Z, until 2\S+Z if it is not renewed; nothing was done"
    with pytest.raises(CachingError, match=told) as caught:
        trial.lock().take("second run", 60, 0)
    assert caught.value.results["holder"]["token"] == mine.token
    assert trial.lock("topology").take("other scope", 60, 0).token == 1
    trial.lock().release(mine.token)
    later = trial.lock().take("second run", 60, 0)
    assert later.token > mine.token
    assert "lost: it is held by second run" in lost(lambda: trial.lock().renew(mine.token, 60)).message
    lost(lambda: trial.lock().release(mine.token))
    trial.lock().release(later.token)
    lost(lambda: trial.lock().release(later.token))


@pytest.mark.hazard("H07")
def test_an_expired_lock_is_taken_over_and_its_holder_learns_it(trial: Trial) -> None:
    mine = trial.lock().take("paused", 60, 0)
    trial.later(61)
    with pytest.raises(CachingError, match="is held by paused"):
        trial.lock().take("hasty", 60, 0)
    trial.later(2)
    other = trial.lock().take("next", 60, 0)
    assert other.token == mine.token + 1
    assert "held by next" in lost(lambda: trial.lock().renew(mine.token, 60)).message
    assert trial.lock().mine(other.token).owner == "next"


def test_an_expired_lock_that_nobody_took_can_be_renewed(trial: Trial) -> None:
    mine = trial.lock().take("slow", 60, 0)
    trial.later(3600)
    assert trial.lock().renew(mine.token, 60).token == mine.token
    with pytest.raises(CachingError, match="is held by slow"):
        trial.lock().take("other", 60, 0)


def test_who_writes_late_has_nothing(trial: Trial) -> None:
    """A run that saw a free lock and slept while many others came and went, and old records were removed."""
    sleeper = trial.lock()
    first = sleeper.take("sleeper", 60, 0)
    sleeper.release(first.token)
    seen = sleeper.look()
    for number in range(KEPT + 5):
        turn = trial.lock().take(f"run {number}", 60, 0)
        trial.lock().release(turn.token)
    holder = trial.lock().take("present", 60, 0)
    assert seen is not None
    place = trial.root / PLACE
    assert not (place / f"{seen.number + 1:010}").exists(), "the number that the sleeper wants is free again"
    assert not sleeper._write(Record(seen.number + 1, "held", "sleeper", 60, seen.number + 1, "late"))
    assert not (place / f"{seen.number + 1:010}").exists() and trial.lock().mine(holder.token).owner == "present"


def test_records_don_t_pile_up(trial: Trial) -> None:
    for _number in range(60):
        trial.lock().release(trial.lock().take("run", 60, 0).token)
    assert len(list((trial.root / PLACE).iterdir())) <= KEPT + 4


def test_a_damaged_record_stops_everybody(trial: Trial) -> None:
    mine = trial.lock().take("run", 60, 0)
    (trial.root / PLACE / f"{mine.number:010}").write_text("{")
    for act in (lambda: trial.lock().take("other", 60, 0), lambda: trial.lock().release(mine.token)):
        with pytest.raises(CachingError, match="locks/fleet/content/0000000001 of the lock is damaged"):
            act()
