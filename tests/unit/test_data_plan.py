# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which file goes to which node, what its nodes must be like, and what they must have loaded."""

from __future__ import annotations

import pytest
from ansible_collections.exalt.caching.plugins.module_utils import _data_plan
from ansible_collections.exalt.caching.plugins.module_utils._resources.data_loaded import judged

THIRDS = {"a:1": ((0, 5460),), "b:1": ((5461, 10922),), "c:1": ((10923, 16383),)}
NAMES = ["0-5460", "5461-10922", "10923-16383"]


@pytest.mark.hazard("H43")
@pytest.mark.parametrize(("sources", "primaries", "found"), [
    (NAMES, THIRDS, ["a:1", "b:1", "c:1"]),
    (NAMES, {"c:1": THIRDS["a:1"], "a:1": THIRDS["b:1"], "b:1": THIRDS["c:1"], "d:1": ()}, ["c:1", "a:1", "b:1"]),
    (["0-5460,10923-16383", "5461-10922"], {"a:1": ((10923, 16383), (0, 5460)), "b:1": ((5461, 8000), (8001, 10922))}, ["a:1", "b:1"]),
    (["0", "1-16383"], {"a:1": ((0, 0),), "b:1": ((1, 16383),)}, ["a:1", "b:1"]),
])
def test_each_file_goes_to_the_owner_of_its_slots(sources: list[str], primaries: dict[str, _data_plan.Ranges], found: list[str]) -> None:
    owners, problems = _data_plan.owners(sources, primaries)
    assert [owners[name] for name in sources] == found and problems == []


@pytest.mark.parametrize(("sources", "primaries", "told"), [
    (["0-8191", "8192-16383"], THIRDS, "the slots 0-8191, 8192-16383 in one file"),
    (NAMES, {**THIRDS, "a:1": ((0, 5459),), "d:1": ((5460, 5460),)}, "the slots 0-5460 in one file"),
    (NAMES[:2], THIRDS, "c:1 owns slots that the backup does not have"),
    (NAMES, {}, "no primary has exactly these now"),
])
def test_another_layout_is_for_replay(sources: list[str], primaries: dict[str, _data_plan.Ranges], told: str) -> None:
    problems = _data_plan.owners(sources, primaries)[1]
    assert told in "; ".join(problems) and "use mode replay" in problems[0]


GOOD = {"dir": "/data", "dbfilename": "dump.rdb", "appendonly": "yes", "appenddirname": "appendonlydir", "appendfilename": "appendonly.aof", "save": ""}


@pytest.mark.parametrize(("change", "version", "told"), [
    ({}, ("redis", (7, 0)), ""), ({}, ("valkey", (9, 1)), ""), ({}, ("redis", (6, 2)), "needs 7.0 or newer"),
    ({"dir": "data"}, ("redis", (7, 0)), "no path from the root"), ({"appendfilename": None}, ("redis", (7, 0)), "does not tell appendfilename"),
    ({"appenddirname": None, "appendonly": "no"}, ("redis", (7, 0)), ""),
])
def test_what_nodes_must_be_like(change: dict[str, str | None], version: tuple[str, tuple[int, int]], told: str) -> None:
    settings = {name: value for name, value in {**GOOD, **change}.items() if value is not None}
    problems = _data_plan.unfit({"a:1": settings}, {"a:1": version})
    assert told in "; ".join(problems) and bool(problems) is bool(told)


def test_a_key_of_another_slot_is_found() -> None:
    assert _data_plan.astray({1, 2}, {1: b"a", 2: b"b"}, "1-2") == []
    (told,) = _data_plan.astray({1}, {1: b"a", 7: b"\xff"}, "1")
    assert "keys of 1 other slots" in told and "is of slot 7" in told


@pytest.mark.hazard("H46")
@pytest.mark.parametrize(("loaded", "expired", "evicted", "told"), [
    ("10", "0", "0", ""), ("7", "3", "0", ""), ("9", "0", "0", "it has loaded 9 keys, and 10 are in its file"), ("0", "0", "0", "it has loaded 0 keys"),
    ("11", "0", "0", "it has loaded 11 keys"), ("10", "0", "2", "it has evicted 2 keys"), (None, "0", "0", "it does not tell"),
])
def test_what_was_loaded(loaded: str | None, expired: str, evicted: str, told: str) -> None:
    info = {"rdb_last_load_keys_loaded": loaded, "rdb_last_load_keys_expired": expired, "evicted_keys": evicted}
    problems = judged({name: value for name, value in info.items() if value is not None}, 10)
    assert told in "; ".join(problems) and bool(problems) is bool(told)
