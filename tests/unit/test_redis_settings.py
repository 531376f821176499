# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What values of settings mean, and what is refused before a node is asked."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.exalt.caching.plugins.module_utils import _redis_settings as settings
from ansible_collections.exalt.caching.plugins.module_utils._errors import CachingError

LIMITS = "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60"


@pytest.mark.parametrize("name, have, want, same", [
    ("maxmemory", "1073741824", "1gb", True), ("maxmemory", "1073741824", "1024MB", True), ("maxmemory", "1000000000", "1g", True),
    ("maxmemory", "1073741824", "1g", False), ("maxmemory", "100", "100b", True), ("maxmemory-clients", "5%", "5%", True),
    ("appendonly", "yes", True, True), ("appendonly", "no", False, True), ("appendonly", "yes", "YES", True), ("appendonly", "yes", "no", False),
    ("timeout", "60", 60, True), ("save", "3600 1 300 100", "300 100 3600 1", True), ("save", "3600 1 300 100", ["300 100", "3600 1"], True),
    ("save", "3600 1", "3600 10", False), ("save", "", "", True), ("save", "", [], True), ("save", "3600 1", "", False),
    ("client-output-buffer-limit", LIMITS, "replica 256mb 64mb 60", True), ("client-output-buffer-limit", LIMITS, "slave 256mb 64mb 60", True),
    ("client-output-buffer-limit", LIMITS, "pubsub 32mb 8mb 60 replica 256mb 64mb 60", True),
    ("client-output-buffer-limit", LIMITS, "replica 512mb 64mb 60", False), ("client-output-buffer-limit", LIMITS, "nonsense", False),
    ("notify-keyspace-events", "AKE", "KEA", True), ("notify-keyspace-events", "g$lshztxedK", "Kg$lshztxed", True),
    ("notify-keyspace-events", "AKE", "KE", False), ("maxmemory-policy", "allkeys-lru", "ALLKEYS-LRU", True),
    ("oom-score-adj-values", "0 200 800", "0  200 800", True), ("bind", "127.0.0.1 ::1", ["127.0.0.1", "::1"], True), ("bind", "a b", "b a", False),
    ("tls-cert-file", "/tls/A.crt", "/tls/a.crt", False), ("proc-title-template", "a  b", "a b", False),
    ("requirepass", "canary", "canary", True), ("requirepass", "canary", "canarz", False), ("masterauth", "", "canary", False),
])
def test_values_are_compared_by_meaning(name: str, have: str, want: t.Any, same: bool) -> None:
    text = settings.sent(name, want)
    assert (settings.alike(name, have, text) == settings.canonical(name, text)) is same


@pytest.mark.hazard("H58")
def test_secrets_are_shown_as_digests() -> None:
    for name in ("requirepass", "masterauth", "primaryauth", "tls-key-file-pass", "tls-client-key-file-pass"):
        shown = settings.canonical(name, "canary")
        assert settings.is_secret(name) and "canary" not in shown and shown.startswith("(secret of 6 characters, SHA-256 "), shown
        assert settings.canonical(name, "") == ""
    assert not any(settings.is_secret(name) for name in ("tls-auth-clients", "masteruser", "maxmemory", "tls-key-file", "acl-pubsub-default"))


@pytest.mark.parametrize("given, told", [
    ({"max memory": 1}, "'max memory' is no name"), ({"max*": 1}, "is no name"), ({"": 1}, "is no name"), ({"maxmemory": None}, "maxmemory needs a text"),
    ({"save": {"a": 1}}, "save needs a text"), ({"maxmemory": 1, "MAXMEMORY": 2}, "maxmemory is there twice"),
])
def test_what_is_no_setting(given: dict[str, t.Any], told: str) -> None:
    with pytest.raises(CachingError, match=f"^settings: .*{told.replace('*', '.')}"):
        settings.named(given, "settings")


def test_a_certificate_goes_out_with_its_key() -> None:
    now = {"tls-cert-file": "/c", "tls-key-file": "/k", "tls-client-cert-file": "", "tls-client-key-file": ""}
    assert settings.together({"tls-cert-file": "/new"}, now) == {"tls-cert-file": "/new", "tls-key-file": "/k"}
    assert settings.together({"tls-client-key-file": "/new"}, now) == {"tls-client-key-file": "/new"}
    assert settings.together({"maxmemory": "1"}, now) == {"maxmemory": "1"}


def test_what_a_node_says_is_told_by_the_setting() -> None:
    said = "CONFIG SET failed (possibly related to argument 'maxmemory') - argument must be a memory value"
    assert settings.refusal(said) == "maxmemory: argument must be a memory value" and settings.refusal("other") == "other"
