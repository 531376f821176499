# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Truth tables of entries (values, digests, lifetimes) and of what hides secrets."""

from __future__ import annotations

import json
import typing as t
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.exalt.caching.plugins.module_utils import _redact
from ansible_collections.exalt.caching.plugins.module_utils._errors import CachingError
from ansible_collections.exalt.caching.plugins.module_utils._resources import entries

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4), max_leaves=12,
)


# ---- values


@given(JSON)
def test_a_value_is_the_same_after_a_way_through_json(value: t.Any) -> None:
    try:
        expected = entries.fingerprint(value)
    except CachingError:
        return  # a lone surrogate is no UTF-8
    assert entries.fingerprint(json.loads(json.dumps(value))) == expected


@pytest.mark.parametrize(("left", "right", "same"), [
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True), (1, 1.0, True), ([1.0], [1], True), (1, "1", False), (1, True, False), (0, False, False), ("", None, False),
    ([1, 2], [2, 1], False), ({"a": None}, {}, False), (199.99, 199.990, True), ("ß", "\u00df", True),
])
def test_digests(left: t.Any, right: t.Any, same: bool) -> None:
    assert (entries.fingerprint(left)[0] == entries.fingerprint(right)[0]) is same


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, b"x", "\ud800"])
def test_what_json_can_not_hold(value: t.Any) -> None:
    with pytest.raises(CachingError, match="something that JSON can hold"):
        entries.fingerprint(value)


# ---- lifetimes


@pytest.mark.parametrize(("ttl", "left", "tolerance", "expected"), [
    (3600, 3600, "10%", "PT1H"), (3600, 3240, "10%", "PT1H"), (3600, 3239, "10%", "less than PT54M"), (3600, 3960, "10%", "PT1H"),
    (3600, 3961, "10%", "more than PT1H6M"), (10, 5, "10%", "PT10S"), (10, 4, "10%", "less than PT5S"), (3600, 1, "100%", "PT1H"),
    (3600, 3541, "PT1M", "PT1H"), (3600, 3539, "60", "less than PT59M"), (3, 1, "0", "PT3S"),
])
def test_time_left_in_the_words_of_a_lifetime(ttl: int, left: int, tolerance: str, expected: str) -> None:
    assert entries.judge(Decimal(ttl), Decimal(left), entries.tolerance(tolerance)(Decimal(ttl))) == expected


# ---- answers


@pytest.mark.parametrize(("data", "expected"), [
    ({"key": "k", "value": 1, "ttl": "PT1M"}, (1, 60, None)), ({"value": 1, "ttl": 60, "tags": ["a"]}, (1, 60, ["a"])), ({"value": 1}, (1, None, None)),
    ({"value": 1, "price": 2}, ({"value": 1, "price": 2}, None, None)), (5, (5, None, None)), ([1], ([1], None, None)),
    ({"value": 1, "ttl": -1}, (1, None, None)), ({"value": 1, "ttl": "-PT1S"}, (1, None, None)), ({"value": 1, "ttl": "for ever"}, (1, None, None)),
    ({"value": 1, "remainingTtl": 7}, (1, 7, None)),
])
def test_one_entry(data: t.Any, expected: tuple[t.Any, ...]) -> None:
    found = entries.parse_entry(data)
    assert (found["value"], found["left"], found["tags"]) == expected


@pytest.mark.parametrize("data", [
    {"entries": [{"key": "a", "value": 1}, {"key": "other", "value": 2}], "missing": ["b"]}, [{"key": "a", "value": 1}], {"a": 1}, {"a": 1, "b": None},
    {"values": {"a": 1}}, {"a": {"key": "a", "value": 1}}, {"found": {"a": {"value": 1}}, "missing": []},
    {"results": [{"key": "a", "value": 1}, {"key": "b", "value": None}]},
])
def test_many_entries(data: t.Any) -> None:
    found = entries.parse_many(data, ["a", "b"])
    assert {key: entry["value"] for key, entry in found.items()} == {"a": 1}


def test_no_entries_at_all() -> None:
    assert entries.parse_many({"entries": []}, ["a"]) == entries.parse_many({}, ["a"]) == entries.parse_many({"missing": ["a"]}, ["a"]) == {}
    for odd in ("x", [1], [{"value": 1}]):
        with pytest.raises(CachingError, match="holds no entries"):
            entries.parse_many(odd, ["a"])


# ---- secrets


SECRET_NAMES = ["password", "spring.data.redis.password", "apiKey", "api-key", "API_KEY", "signingKey", "key", "accessToken", "client_secret", "REDIS_PASSWD",
                "credentials", "masterauth", "requirepass", "Authorization", "keyStorePassword", "auth", "db.pwd"]


@pytest.mark.hazard("H04")
def test_names_of_secrets() -> None:
    assert [name for name in SECRET_NAMES if not _redact.is_secret(name)] == []
    harmless = ["keyPrefix", "author", "monkey", "passive", "username", "bypass", "keyspace", "host", "enabled", "compass", "maxTotal", "key-serializer"]
    assert [name for name in harmless if _redact.is_secret(name)] == []


@pytest.mark.parametrize("text", [
    "redis://:{}@h:6379", "redis://user:{}@h/0", "amqp://u:{}@h1,amqp://u:{}@h2", "jdbc:mysql://h/db?user=a&password={}&ssl=true",
    "-Xmx2g -Djavax.net.ssl.keyStorePassword={}", '"-Dx.password={} {}" -Xmx2g', "-Dstore.key={},{} -Xmx2g", "jdbc:oracle:thin:u/{}@//db/x",
    "redis-server --requirepass {} --port 1", "requirepass {}", "Authorization: Bearer {}", "user=a;pwd={};x=1", "password: {}", 'secret = "{}"',
    '{{"password": "{}", "a": 1}}', '[{{"apiKey": "{}"}}]', "-----BEGIN " + "PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----",
])
@pytest.mark.hazard("H01", "H04")
def test_secrets_in_texts(text: str) -> None:
    shown = _redact.text(text.format(*["hunter2secret"] * 2))
    assert "hunter2secret" not in shown and _redact.HIDDEN in shown


@pytest.mark.parametrize("text", ["the token was not accepted", "a password is needed", "https://host:8403/path", "PT2H", "https://h/a:b@c", "{not json",
                                  "-Dname=a -Dkeyed=b,c"])
def test_harmless_texts_stay(text: str) -> None:
    assert _redact.text(text) == text


@given(st.sampled_from(SECRET_NAMES), st.lists(st.sampled_from(["a", "properties", 0]), max_size=5), st.sampled_from([0, 1, 2, 3]))
def test_no_depth_and_no_shape_hides_one(name: str, way: list[t.Any], shape: int) -> None:
    canary = "canary-1f2e"
    data: t.Any = [{name: canary}, {name: {"value": canary, "origin": canary}}, {"name": name, "value": canary}, {name: [canary, {"x": canary}]}][shape]
    for step in way:
        data = [data, 1] if step == 0 else {step: data, "other": True}
    assert canary not in json.dumps(_redact.redacted(data))


def test_the_shape_and_flags_stay() -> None:
    data = {"host": "h", "password": "x", "tokens": {"enabled": True, "given": None, "ttl": 5}, "port": 1, "secret": "", "nodes": ["redis://:x@h"]}
    assert _redact.redacted(data) == {"host": "h", "password": _redact.HIDDEN, "tokens": {"enabled": True, "given": None, "ttl": _redact.HIDDEN}, "port": 1,
                                      "secret": "", "nodes": [f"redis://:{_redact.HIDDEN}@h"]}
