# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration as structure: merged, compared, its versions, and what running processes have not read."""

from __future__ import annotations

import typing as t

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.exalt.caching.plugins.filter.configuration_pending import configuration_pending
from ansible_collections.exalt.caching.plugins.filter.configuration_plan import configuration_plan
from ansible_collections.exalt.caching.plugins.module_utils import _configuration as pure
from hypothesis import given
from hypothesis import strategies as some

TEXT = "cache:\n  # as measured\n  redis:\n    pool:\n      maxTotal: 256\nserver:\n  port: 8403\n"
LIVE = ["cache.redis.pool.*"]
Present = dict[str, str]


def there(text: str = TEXT, jvm: str = "-Xmx1g", revisions: str = "") -> Present:
    return {"text": text, "jvm": jvm, "revisions": revisions}


def pool(**values: t.Any) -> dict[str, t.Any]:
    return {"cache": {"redis": {"pool": values}}}


@pytest.mark.parametrize(("wanted", "told"), [
    (pool(maxTotal=300), ["cache.redis.pool.maxTotal: 256 → 300 (live)"]),
    (pool(**{"max-total": 300}), ["cache.redis.pool.maxTotal: 256 → 300 (live)"]),
    ({"cache.redis.pool.maxTotal": 300}, ["cache.redis.pool.maxTotal: 256 → 300 (live)"]),
    ({"server": {"port": 8404}}, ["server.port: 8403 → 8404 (at the next start)"]),
    ({"server": {"port": None}}, ["server.port: 8403 → unset (at the next start)"]),
    ({"server": {"ssl": {"key-store-password": "hush"}}}, ["server.ssl.key-store-password: unset → (secret 9a2fa9f5) (at the next start)"]),
    ({"spring": {"profiles": ["a", "b"]}}, ['spring.profiles: unset → ["a", "b"] (at the next start)']),
    (pool(maxTotal=256), []), ({}, []), ({"server": {"ssl": {"enabled": None}}}, []),
    (pool(maxTotal="256"), ['cache.redis.pool.maxTotal: 256 → "256" (live)']),
])
def test_what_is_declared_is_merged_and_told_by_key(wanted: dict[str, t.Any], told: list[str]) -> None:
    plan = configuration_plan(there(), wanted, live=LIVE)
    if told and "(secret " in told[0]:
        assert "hush" not in str(plan["differences"]) and "(secret " in plan["differences"][0]
    else:
        assert plan["differences"] == told
    assert plan["changed"] == bool(told) and plan["comments_lost"] == bool(told)
    assert told or plan["text"] == TEXT, "what does not have to change stays to the letter"
    again = configuration_plan({**there(), "text": plan["text"], "revisions": plan["revisions"]}, wanted, live=LIVE)
    assert not again["changed"] and again["revisions"] == plan["revisions"]


@pytest.mark.parametrize(("wanted", "jvm", "told"), [
    ({"spring": {"datasource": {"url": "jdbc:postgresql://u:hunter2@db/x"}}}, "-Xmx1g",
     'spring.datasource.url: unset → "jdbc:postgresql://u:(redacted)@db/x" (at the next start)'),
    ({"spring": {"datasource": {"url": "jdbc:oracle:thin:u/hunter2@//db/x"}}}, "-Xmx1g",
     'spring.datasource.url: unset → "jdbc:oracle:thin:u/(redacted)@//db/x" (at the next start)'),
    ({"sinks": [{"user": "u", "password": "hunter2"}]}, "-Xmx1g",
     'sinks: unset → [{"user": "u", "password": "(redacted)"}] (at the next start)'),
    ({}, "-Xmx1g -Djavax.net.ssl.keyStorePassword=hunter2,3",
     'JAVA_OPTS: "-Xmx1g" → "-Xmx1g -Djavax.net.ssl.keyStorePassword=(redacted)" (at the next start)'),
    ({}, '"-Dx.password=hunter2 and 3" -Xss1m', 'JAVA_OPTS: "-Xmx1g" → "\\"-Dx.password=(redacted)\\" -Xss1m" (at the next start)'),
    ({}, "-Dencryption-key=hunter2 -Dname=open", 'JAVA_OPTS: "-Xmx1g" → "-Dencryption-key=(redacted) -Dname=open" (at the next start)'),
])
def test_no_secret_within_a_value_is_told(wanted: dict[str, t.Any], jvm: str, told: str) -> None:
    assert configuration_plan(there(), wanted, jvm, live=LIVE)["differences"] == [told]


@pytest.mark.parametrize(("text", "wanted", "why"), [
    ("a: [", {}, "application.yml is no YAML"), ("a: 1\n---\nb: 2\n", {}, "application.yml has 2 documents (profiles)"),
    ("- a\n", {}, "application.yml is no mapping"), (TEXT, ["a"], "caching_configuration: it must be a mapping"),
])
def test_what_can_not_be_merged_is_told_in_one_line(text: str, wanted: t.Any, why: str) -> None:
    with pytest.raises(AnsibleFilterError) as refused:
        configuration_plan(there(text), wanted)
    assert why in str(refused.value) and "\n" not in str(refused.value)


def test_versions_and_the_way_back() -> None:
    present = there()
    for number, total in enumerate((300, 310, 320, 330), 2):
        plan = configuration_plan(present, pool(maxTotal=total), live=LIVE, keep=2, now=f"2026-11-26T00:0{number}:00Z")
        assert plan["version"] == number
        present = {name: plan[name] for name in present}
    kept = pure.read_revisions(present["revisions"])
    assert [one.version for one in kept] == [5, 4, 3]
    back = configuration_plan(present, {}, live=LIVE, keep=2, revision="3", now="2026-11-26T01:00:00Z")
    assert back["differences"] == ["cache.redis.pool.maxTotal: 330 → 310 (live)"] and back["version"] == 6
    previous = configuration_plan({name: back[name] for name in present}, {}, live=LIVE, revision="previous")
    assert previous["text"] == present["text"]
    with pytest.raises(AnsibleFilterError, match="there is no revision 1 of the configuration; there are: 5, 4, 3"):
        configuration_plan(present, {}, revision="1")
    with pytest.raises(AnsibleFilterError, match="no previous revision"):
        configuration_plan(there(), {}, revision="previous")


@pytest.mark.hazard("H28")
def test_going_back_twice_does_not_go_forward() -> None:
    plan = configuration_plan(there(), pool(maxTotal=300), live=LIVE, now="2026-11-26T00:01:00Z")
    back = configuration_plan(plan, live=LIVE, revision="previous", now="2026-11-26T00:02:00Z")
    again = configuration_plan(back, live=LIVE, revision="previous", now="2026-11-26T00:03:00Z")
    assert back["changed"] and back["text"] == TEXT and not again["changed"] and again["text"] == TEXT
    assert back["compared"] == again["compared"] == ["cache.redis.pool.maxTotal"], "a rerun looks whether it is read"
    further = configuration_plan(back, pool(maxTotal=320), live=LIVE, now="2026-11-26T00:04:00Z")
    assert further["compared"] == ["cache.redis.pool.maxTotal"]
    assert configuration_plan(further, live=LIVE, revision="previous", now="2026-11-26T00:05:00Z")["text"] == TEXT


def test_a_change_by_hand_is_kept_as_a_version_of_its_own() -> None:
    plan = configuration_plan(there(), pool(maxTotal=300), now="2026-11-26T00:01:00Z")
    by_hand = {"text": "cache: {}\n", "jvm": "-Xmx1g", "revisions": plan["revisions"]}
    after = configuration_plan(by_hand, pool(maxTotal=300), now="2026-11-26T00:02:00Z")
    assert [(one.version, one.text) for one in pure.read_revisions(after["revisions"])][1] == (3, "cache: {}\n") and after["version"] == 4


def test_what_waits_for_the_next_start() -> None:
    old, new = {"name": "old", "started": "2026-11-26T00:00:00Z"}, {"name": "new", "started": "2026-11-26T00:02:00.123456Z"}
    plan = configuration_plan(there(), {**pool(maxTotal=300), "server": {"port": 1}}, "-Xmx2g", LIVE, now="2026-11-26T00:01:00Z")
    now = {name: plan[name] for name in there()}
    assert configuration_pending(now, [old, new], LIVE) == [
        "JAVA_OPTS is pending until old start anew", "server.port is pending until old start anew"]
    back = configuration_plan(now, {"server": {"port": 8403}}, "-Xmx1g", LIVE, now="2026-11-26T00:03:00Z")
    assert configuration_pending({name: back[name] for name in now}, [old], LIVE) == [], "it has what it started with"
    assert configuration_pending(there(), [old, {"name": "unknown", "started": None}], LIVE) == []


keys = some.text("abcXY-_", min_size=1, max_size=4).filter(lambda key: key.strip("-_"))
values = some.integers(-9, 9) | some.booleans() | some.text("xyz ", max_size=5) | some.lists(some.integers(0, 3), max_size=2)
trees = some.recursive(some.dictionaries(keys, values, max_size=3), lambda inner: some.dictionaries(keys, values | inner, max_size=3), max_leaves=8)


def unique(tree: t.Any) -> bool:
    """No two spellings of one key, and nothing empty, which has no value to compare."""
    if not isinstance(tree, dict):
        return True
    return len({pure.canonical(key) for key in tree}) == len(tree) and all(unique(value) and value != {} for value in tree.values())


@given(trees.filter(unique), trees.filter(unique))
def test_a_merge_is_what_was_wanted_and_leaves_the_rest(present: t.Any, wanted: t.Any) -> None:
    plan = configuration_plan(there(yaml.safe_dump(present)), wanted)
    after = {pure.canonical(name): value for name, value in pure.flat(yaml.safe_load(plan["text"]) or {}).items()}
    asked = {pure.canonical(name): value for name, value in pure.flat(wanted).items()}
    assert asked.items() <= after.items()
    for name, value in pure.flat(present).items():
        name = pure.canonical(name)
        touched = any(name == one or name.startswith(f"{one}.") or one.startswith(f"{name}.") for one in asked)
        assert touched or after[name] == value
    assert not configuration_plan({**there(plan["text"]), "revisions": plan["revisions"]}, wanted)["changed"]


def test_a_container_that_started_again_has_read_the_file_and_keeps_its_options() -> None:
    plan = configuration_plan(there(), {"server": {"port": 1}}, "-Xmx2g", LIVE, now="2026-11-26T00:01:00Z")
    now = {name: plan[name] for name in there()}
    again = {"name": "again", "started": "2026-11-26T00:02:00Z", "created": "2026-11-26T00:00:00Z"}
    assert configuration_pending(now, [again], LIVE) == ["JAVA_OPTS is pending until again start anew"]
    anew = {"name": "anew", "started": "2026-11-26T00:03:00Z", "created": "2026-11-26T00:02:00Z"}
    assert configuration_pending(now, [anew], LIVE) == []


@pytest.mark.parametrize(("started", "told"), [
    ("2026-11-26T00:00:59Z", ["Secret caching-service-secret is pending until one start anew"]), ("2026-11-26T00:01:00Z", []),
    ("2026-11-26T00:01:00.5Z", []), (None, []),
])
def test_a_secret_waits_for_the_next_start(started: str | None, told: list[str]) -> None:
    now = {**there(), "written": {"Secret caching-service-secret": "2026-11-26T00:01:00Z"}}
    assert configuration_pending(now, [{"name": "one", "started": started}], LIVE) == told


def says(value: t.Any, read: t.Any = None, error: str = "") -> dict[str, t.Any]:
    inputs = {} if read is None else {"max-total": {"value": read, "origin": "a file"}}
    bean = {"prefix": "cache.redis.pool", "properties": {"maxTotal": value}, "inputs": inputs}
    return {"name": "one", "error": error, "properties": {"contexts": {"a": {"beans": {"pool": bean}}}}}


@pytest.mark.parametrize(("process", "told"), [
    (says(300), []), (says("300"), []), (says(256, 300), []), (says(256), ["one (cache.redis.pool.maxTotal is 256)"]),
    (says(300, 256), ["one (cache.redis.pool.maxTotal is 256)"]), (says(300, error="no answer"), ["one (no answer)"]), (says(None), []),
    (says("******"), []), (says("******", "******"), []), (says(256, "******"), ["one (cache.redis.pool.maxTotal is 256)"]),
    (says("***300"), ['one (cache.redis.pool.maxTotal is "***300")']),
])
def test_what_a_process_masks_speaks_for_nothing(process: dict[str, t.Any], told: list[str]) -> None:
    assert pure.unread([process], pool(maxTotal=300), ["cache.redis.pool.maxTotal"]) == told
