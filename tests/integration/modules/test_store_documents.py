# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""store_documents and store_documents_info: records that are never changed, never in clear where they are secret, and whose damage is seen."""

from __future__ import annotations

import json
import secrets
import typing as t
from collections.abc import Callable, Iterator
from pathlib import Path

import pyrage
import pytest
from ansible_collections.exalt.caching.plugins.module_utils._store import Store, open_store

from tests.harness import modules
from tests.harness.modules import ModuleResult, run_module
from tests.harness.targets import Fleet

KEY = "a signing key for tests"
CLEAR = {"name": "redis.conf", "content": {"maxmemory": "2gb", "list": [1, 2.5, None, True, "ü"]}}
SECRET = {"name": "service-secret", "content": {"password": "hunter2-hunter2"}, "secret": True}
Options = dict[str, t.Any]


@pytest.fixture(params=["directory", "s3"])
def options(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Options]:
    if request.param == "directory":
        yield {"store_url": f"file://{tmp_path}/store", "kind": "configuration"}
        return
    fleet: Fleet = request.getfixturevalue("fleet")
    found = {**fleet.store_args, "store_url": f"s3://exalt-cache-backups/test-{secrets.token_hex(6)}", "kind": "configuration"}
    yield found
    store = open_store(found)
    for entry in store.entries(""):
        store.delete(entry.name)


@pytest.fixture
def hidden(monkeypatch: pytest.MonkeyPatch) -> Callable[..., ModuleResult]:
    """Run the module as by a task that says no_log."""
    plain = modules.internal

    def internal(name: str, *, check: bool, diff: bool, verbosity: int) -> dict[str, t.Any]:
        return {**plain(name, check=check, diff=diff, verbosity=verbosity), "_ansible_no_log": True}

    def run(args: Options, check: bool = False) -> ModuleResult:
        with monkeypatch.context() as patch:
            patch.setattr(modules, "internal", internal)
            return run_module("store_documents", args, check=check)

    return run


def good(result: ModuleResult) -> ModuleResult:
    assert result.rc == 0 and not result.crashed, result
    return result


def listing(options: Options) -> list[tuple[str, int]]:
    return [(entry.name, entry.size) for entry in open_store(options).entries("")]


def test_written_once_and_read_back(options: Options) -> None:
    wanted = {**options, "documents": [CLEAR], "signing_key": KEY}
    check = good(run_module("store_documents", wanted, check=True))
    assert check["changed"] and check["id"] is None and listing(options) == [], "check mode wrote"
    first = good(run_module("store_documents", wanted))
    assert first["changed"] and first["diff"] == check["diff"] and "2gb" not in json.dumps(first)
    before = listing(options)
    for again in (wanted, {**wanted, "id": first["id"]}):
        second = good(run_module("store_documents", again))
        assert not second["changed"] and second["id"] == first["id"] and listing(options) == before
    read = good(run_module("store_documents_info", {**options, "newest": True, "signing_key": KEY}))
    (found,) = read["documents"]
    assert found["content"] == CLEAR["content"] and found["signature"] == "good" and found["id"] == first["id"] and read["problems"] == []
    (listed,) = good(run_module("store_documents_info", options))["documents"]
    assert listed["content"] is None and listed["signature"] == "unchecked"
    other = {**wanted, "documents": [{**CLEAR, "content": {}}]}
    refused = run_module("store_documents", {**other, "id": first["id"]})
    assert refused["failed"] and f"configuration/{first['id']} are there with another content of redis.conf" in refused["msg"]
    newer = good(run_module("store_documents", other))
    assert newer["changed"] and newer["id"] != first["id"]
    assert good(run_module("store_documents_info", {**options, "newest": True}))["documents"][0]["content"] == {}
    gone = {**options, "id": newer["id"], "state": "absent"}
    assert good(run_module("store_documents", gone, check=True))["changed"] and len(listing(options)) == 4
    assert good(run_module("store_documents", gone))["changed"] and not good(run_module("store_documents", gone))["changed"]
    assert listing(options) == before


def test_secrets_are_encrypted_or_refused(options: Options, hidden: Callable[..., ModuleResult]) -> None:
    identity = pyrage.x25519.Identity.generate()
    wanted = {**options, "id": "one", "documents": [CLEAR, SECRET], "signing_key": KEY, "encrypt_to": [str(identity.to_public())]}
    assert "the task has to say no_log: true" in run_module("store_documents", wanted)["msg"]
    assert "secrets are never stored in clear" in hidden({**wanted, "encrypt_to": []})["msg"]
    assert "no recipient of age" in hidden({**wanted, "encrypt_to": ["age1nonsense"]})["msg"]
    assert listing(options) == []
    assert hidden(wanted).rc == 0 and hidden(wanted)["changed"] is False
    store = open_store(options)
    for entry in store.entries(""):
        content = store.get(entry.name)
        assert content is not None and b"hunter2" not in content
    changed = hidden({**wanted, "documents": [CLEAR, {**SECRET, "content": {"password": "another one"}}]})
    assert "another content of service-secret" in changed["msg"] and "another one" not in json.dumps(changed)
    read = good(run_module("store_documents_info", {**options, "id": "one", "signing_key": KEY, "identities": [str(identity)]}))
    assert [row["content"] for row in read["documents"]] == [CLEAR["content"], SECRET["content"]]
    without = good(run_module("store_documents_info", {**options, "id": "one", "signing_key": KEY}))
    assert [row["content"] for row in without["documents"]] == [CLEAR["content"], None]
    other = run_module("store_documents_info", {**options, "id": "one", "identities": [str(pyrage.x25519.Identity.generate())]})
    assert other["failed"] and "none of them can decrypt" in other["msg"]
    newer = {**wanted, "signing_key": "a newer one"}
    assert "signed with another key than signing_key" in hidden(newer)["msg"]
    before = listing(options)
    assert hidden({**newer, "previous_signing_keys": ["an older one", KEY]})["changed"] is False and listing(options) == before
    believed = run_module("store_documents_info", {**options, "id": "one", "signing_key": "a newer one", "previous_signing_keys": [KEY]})
    assert {row["signature"] for row in good(believed)["documents"]} == {"good"}
    doubted = run_module("store_documents_info", {**options, "id": "one", "signing_key": "a newer one", "previous_signing_keys": ["an older one"]})
    assert "another key than signing_key and previous_signing_keys" in doubted["msg"]


def _bit(store: Store, name: str) -> None:
    content = store.get(name) or b""
    middle = len(content) // 2
    store.put(name, content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])


@pytest.mark.parametrize(("act", "told"), {
    "index": (lambda store, one: _bit(store, f"{one}/index.json"), "damaged|changed"),
    "document": (lambda store, one: _bit(store, f"{one}/redis.conf.json"), "redis.conf is not what was written"),
    "missing": (lambda store, one: store.delete(f"{one}/redis.conf.json"), "redis.conf is missing"),
    "unsigned": (lambda store, one: store.put(f"{one}/index.json", b'{"content":{},"mac":null}\n'), "it is not signed"),
    "renamed": (lambda store, one: store.put(f"{one}/index.json", store.get("documents/configuration/zero/index.json") or b""),
                "its signature is wrong|damaged"),
}.values())
def test_what_was_tampered_with_is_seen(options: Options, act: Callable[[Store, str], None], told: str) -> None:
    import re
    for name, content in (("zero", 0), ("one", 1)):
        good(run_module("store_documents", {**options, "id": name, "signing_key": KEY, "documents": [{"name": "redis.conf", "content": content}]}))
    act(open_store(options), "documents/configuration/one")
    read = run_module("store_documents_info", {**options, "id": "one", "signing_key": KEY})
    assert read["failed"] and re.search(told, read["msg"]), read
    newest = good(run_module("store_documents_info", {**options, "newest": True, "signing_key": KEY}))
    assert [row["id"] for row in newest["documents"]] == ["zero"]


BAD: dict[str, tuple[Options, str]] = {
    "none": ({"documents": []}, "documents: give at least one"),
    "twice": ({"documents": [CLEAR, CLEAR]}, "documents: redis.conf is there twice"),
    "index": ({"documents": [{**CLEAR, "name": "index"}]}, "index can't be the name"),
    "name": ({"documents": [{**CLEAR, "name": "../x"}]}, "documents: name: '../x' must be"),
    "kind": ({"kind": "a/b", "documents": [CLEAR]}, "kind: 'a/b' must be"),
    "id": ({"id": "a b", "documents": [CLEAR]}, "id: 'a b' must be"),
    "absent": ({"state": "absent"}, "state is absent but all of the following are missing: id"),
    "nothing": ({}, "state is present but all of the following are missing: documents"),
}


@pytest.mark.parametrize(("change", "told"), BAD.values(), ids=BAD)
def test_bad_input(tmp_path: Path, change: Options, told: str) -> None:
    result = run_module("store_documents", {"store_url": f"file://{tmp_path}", "kind": "runs", **change})
    assert result["failed"] and told in result["msg"] and not result.crashed, result


def test_without_a_key_there_is_a_warning(tmp_path: Path) -> None:
    result = good(run_module("store_documents", {"store_url": f"file://{tmp_path}", "kind": "changes", "documents": [CLEAR]}))
    assert any("the documents are not signed" in str(warning) for warning in result["warnings"])


def test_the_newest_of_several_kinds_in_one_call(options: Options) -> None:
    kinds = ["configuration", "updates", "nothing-there"]
    for kind in kinds[:2]:
        for number in ("one", "two"):
            good(run_module("store_documents", {**options, "kind": kind, "id": number, "documents": [{"name": kind, "content": number}], "signing_key": KEY}))
    place = {name: value for name, value in options.items() if name != "kind"}
    read = good(run_module("store_documents_info", {**place, "kinds": kinds, "newest": True, "signing_key": KEY}))
    assert [(row["kind"], row["name"], row["content"]) for row in read["documents"]] == [(kind, kind, "two") for kind in kinds[:2]]
    refused = run_module("store_documents_info", place)
    assert refused["failed"] and "one of the following is required: kind, kinds" in refused["msg"]
