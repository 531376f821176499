# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Truth tables: what answers say about the mode, how much a job did, and flags in the shapes of several services."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.exalt.caching.plugins.module_utils._errors import CachingError
from ansible_collections.exalt.caching.plugins.module_utils._resources import features, mode, tasks


@pytest.mark.parametrize("body, expected", [
    ({"local_cache_mode": {"enabled": True}}, {"mode": "local_cache"}),
    ({"local_cache_mode": {"active": False, "since": None}}, {"mode": "normal"}),
    ({"local_cache_mode": {"mode": "LOCAL"}}, {"mode": "local_cache"}),
    ({"local_cache_mode": {"mode": "local-cache", "regions": ["b", "a"]}}, {"mode": "local_cache", "regions": ["a", "b"]}),
    ({"status": "UP", "components": {"localCache": {"status": "UP", "details": {"enabled": True}}}}, {"mode": "local_cache"}),
    ({"status": "UP", "components": {"cache": {"status": "UP", "details": {"mode": "local"}}}}, {"mode": "local_cache"}),
    ({"status": "UP", "components": {"cache": {"status": "UP", "details": {"localCacheMode": False}}}}, {"mode": "normal"}),
    ({"status": "UP", "details": {"cacheMode": "distributed"}}, {"mode": "normal"}),
    ({"status": "UP", "components": {"redis": {"status": "UP", "details": {"mode": "cluster"}}}}, {}),
    ({"status": "UP", "components": {"redis": {"status": "DOWN"}}}, {}),
    ({"local_cache_mode": None}, {}), ({"local_cache_mode": "maybe"}, {}), (None, {}), ([], {}), ("local", {}),
])
def test_which_mode_an_answer_tells(body: t.Any, expected: dict[str, t.Any]) -> None:
    assert mode.told(body) == expected


@pytest.mark.parametrize("body, number", [
    ({"removed": 5, "durationMs": 12}, 5), ({"removed": 0}, 0), ({"optimized": 2, "freedBytes": 1024}, 1026), ([], 0), (["a", "b"], 2),
    ({"changed": ["a"]}, 1), ({"regions": {"products": {"removed": 2}, "users": {"removed": 1}}}, 3), ({"message": "done"}, None), ({}, None),
    (None, None), ("ok", None), (7, 7), (True, None), ({"scanned": 100, "expiredRemoved": 4, "timestamp": 5, "updatedAt": 7}, 4),
    ({"totalChecked": 9, "status": "OK"}, None), ({"count": 3}, 3), ({"changed": False}, None),
])
def test_how_much_a_job_says_that_it_did(body: t.Any, number: int | None) -> None:
    assert tasks.changes(body) == number


def test_flags_in_the_shapes_of_several_services() -> None:
    answers = [{"name": "a", "enabled": "true", "regions": ["y", "x"], "rolloutPercentage": 25.0}, {"feature": "b", "enabled": False, "regions": None}]
    assert features.parsed(answers) == {
        "a": {"enabled": True, "regions": ["x", "y"], "rollout_percentage": 25}, "b": {"enabled": False, "regions": [], "rollout_percentage": None}}
    assert features.parsed([{"name": "a", "enabled": True}])["a"]["regions"] is None, "not shown is not the same as empty"
    with pytest.raises(CachingError, match="without a name"):
        features.parsed([{"enabled": True}])
