# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a restore decides before it writes: versions, memory, and which record goes on."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.exalt.caching.plugins.module_utils._resources import replay_sample, restore_checks
from ansible_collections.exalt.caching.plugins.module_utils._resources.restore_record import Record
from ansible_collections.exalt.caching.plugins.module_utils._store import open_store

from tests.harness import rdb_bytes as raw


@pytest.mark.parametrize(("info", "known"), [
    ({"redis_version": "7.0.15"}, ("redis", 10)), ({"redis_version": "7.2.4"}, ("redis", 11)), ({"redis_version": "7.4.0"}, ("redis", 12)),
    ({"redis_version": "8.2.1"}, ("redis", 12)), ({"redis_version": "6.2.6"}, ("redis", 9)), ({"redis_version": "4.0.1"}, ("redis", 8)), ({}, ("redis", 8)),
    ({"server_name": "valkey", "redis_version": "7.2.4", "valkey_version": "8.1.0"}, ("valkey", 11)),
    ({"server_name": "valkey", "redis_version": "7.2.4", "valkey_version": "9.1.2"}, ("valkey", 80)),
])
def test_what_a_server_reads(info: dict[str, str], known: tuple[str, int]) -> None:
    assert restore_checks.newest_rdb(info) == known


@pytest.mark.parametrize(("flavour", "version", "target", "taken"), [
    ("redis", 10, {"redis_version": "7.0.0"}, True), ("redis", 11, {"redis_version": "7.0.0"}, False), ("redis", 12, {"redis_version": "7.4.0"}, True),
    ("redis", 10, {"server_name": "valkey", "valkey_version": "9.1.2"}, True), ("redis", 12, {"server_name": "valkey", "valkey_version": "9.1.2"}, False),
    ("valkey", 80, {"server_name": "valkey", "valkey_version": "9.0.0"}, True), ("valkey", 80, {"server_name": "valkey", "valkey_version": "8.1.0"}, False),
    ("valkey", 80, {"redis_version": "8.2.0"}, False), ("valkey", 11, {"redis_version": "7.2.0"}, True),
])
def test_never_into_a_lower_version_nor_above_the_shared_ones_into_the_other_flavour(
    flavour: str, version: int, target: dict[str, str], taken: bool
) -> None:
    assert (restore_checks.refusal(flavour, version, {"a:1": target}) == []) is taken


@pytest.mark.parametrize(("limit", "used", "needed", "emptied", "problem", "note"), [
    (0, 5, 10**9, False, False, True), (100, 20, 72, False, False, False), (100, 20, 73, False, True, False), (100, 90, 72, True, False, False),
])
def test_memory(limit: int, used: int, needed: int, emptied: bool, problem: bool, note: bool) -> None:
    info = {"maxmemory": str(limit), "used_memory": str(used), "used_memory_startup": "10", "maxmemory_policy": "allkeys-lru"}
    problems, notes = restore_checks.lacks_memory(needed * 2, {"a:1": (0.5, info)}, emptied)
    assert bool(problems) is problem and bool(notes) is note


def test_a_record_goes_on_only_for_the_same_request_on_the_same_target(tmp_path) -> None:
    store = open_store({"store_url": f"file://{tmp_path}"})
    params: dict[str, t.Any] = {"cluster": "demo", "id": "newest", "mode": "replay", "patterns": [], "on_conflict": "fail", "flush": True}
    Record(store, params, ["n1", "n2"], print).start("b1", "s1")
    found = Record(store, params, ["n2", "n3"], print)
    assert found.started and (found.started["backup"], found.started["safety_backup"]) == ("b1", "s1")
    for changed in ({"flush": False}, {"patterns": ["x"]}):
        assert Record(store, {**params, **changed}, ["n1"], print).started is None
    other = Record(store, params, ["m1"], print)     # a drill, say: its own run does not hide the one that was cut off
    assert other.started is None
    other.start("b1", None)
    other.finish({"keys_per_second": 5})
    found = Record(store, params, ["n1"], print)
    assert found.started and found.started["safety_backup"] == "s1" and found.rate() == 5
    found.finish({"keys_per_second": 7})
    assert Record(store, params, ["n1"], print).started is None


def test_a_record_that_is_not_signed_with_the_key_begins_a_new_restore(tmp_path) -> None:
    """Who can write to the store must not choose what a restore flushes for."""
    store, told = open_store({"store_url": f"file://{tmp_path}"}), list[str]()
    params: dict[str, t.Any] = {"cluster": "demo", "id": "newest", "mode": "replay", "patterns": [], "on_conflict": "fail", "flush": True}
    params["signing_key"] = "k"
    Record(store, {**params, "signing_key": None}, ["n1"], print).start("an old one", None)
    Record(store, {**params, "signing_key": "another"}, ["n1"], told.append).start("an old one", None)
    found = Record(store, params, ["n1"], told.append)
    assert found.started is None and found.number == 3 and "taken for a new restore" in told[-1]
    found.start("b1", "s1")
    again = Record(store, params, ["n1"], told.append)
    assert again.started and again.started["safety_backup"] == "s1"
    newer = Record(store, {**params, "signing_key": "newer", "previous_signing_keys": ["older", "k"]}, ["n1"], told.append)
    assert newer.started and newer.started["safety_backup"] == "s1", "signed with the key before"


def test_the_digest_of_a_value_is_that_of_its_parts_however_packed() -> None:
    one, other = raw.text(b"a" * 100), raw.A_HUNDRED
    for kind, value in ((0, other), (4, raw.number(1) + raw.text(b"f") + other), (2, raw.number(2) + raw.text(b"b") + other)):
        plain = value.replace(other, one)
        assert replay_sample.digest(kind, value) == replay_sample.digest(kind, plain) != replay_sample.digest(kind, plain[:-1] + b"z")
    swapped = raw.number(2) + other + raw.text(b"b")
    assert replay_sample.digest(2, swapped) == replay_sample.digest(2, raw.number(2) + raw.text(b"b") + one)
    assert replay_sample.digest(18, raw.number(2) + raw.number(1) + one + raw.number(1) + raw.text(b"b")) != replay_sample.digest(
        18, raw.number(2) + raw.number(1) + raw.text(b"b") + raw.number(1) + one)
