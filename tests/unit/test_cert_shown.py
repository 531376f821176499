# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys that stand where they don't belong are hidden in what is shown, and fingerprints find their node by whatever address they come."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.exalt.caching.plugins.module_utils._errors import CachingError
from ansible_collections.exalt.caching.plugins.module_utils._resources import redis_config
from ansible_collections.exalt.caching.plugins.module_utils._run import _secrets

PRINT = "ab" * 32
BEGIN = "-----BEGIN PRIVATE" + " KEY-----"
KEY = f"{BEGIN}\nMIGHAgEA\n{BEGIN.replace('BEGIN', 'END')}"
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


@pytest.mark.parametrize(("params", "hidden"), [
    ({"certificate_content": CERTIFICATE + KEY + "\n", "name": "n"}, {KEY}), ({"chain_content": KEY + "\n" + CERTIFICATE}, {KEY}),
    ({"trusted_certificates": [CERTIFICATE, CERTIFICATE + KEY]}, {KEY}), ({"certificate_content": f"{BEGIN}\ncut off"}, {f"{BEGIN}\ncut off"}),
    ({"certificate_content": KEY + CERTIFICATE + KEY.replace("MIGH", "MIGI")}, {KEY, KEY.replace("MIGH", "MIGI")}),
    ({"certificate_content": CERTIFICATE, "names": None, "force": True, "labels": {"a": 1}}, set()),
    ({"url": "https://user:word@host/", "instances": [{"url": "https://user:other@host/"}]}, {"word", "other"}),
])
def test_what_ansible_hides_of_options(params: dict[str, t.Any], hidden: set[str]) -> None:
    assert _secrets(params) == hidden


ROLES = {"10.0.0.21:6379": "primary", "fd00::1:6379": "replica", "127.0.0.1:7001": "replica"}


@pytest.mark.parametrize(("given", "moved", "node"), [
    ("10.0.0.21:6379", {}, "10.0.0.21:6379"), ("[fd00::1]:6379", {}, "fd00::1:6379"), ("[FD00:0:0::1]:6379", {}, "fd00::1:6379"),
    ("gateway:7021", {"10.0.0.21:6379": "gateway:7021"}, "10.0.0.21:6379"), ("[fd99::1]:6379", {"[fd00::1]:6379": "[fd99::1]:6379"}, "fd00::1:6379"),
    ("10.0.0.21:6379", {"10.0.0.21:6379": "gateway:7021"}, "10.0.0.21:6379"), ("localhost:7001", {}, "127.0.0.1:7001"),
    ("localhost:7009", {"127.0.0.1:7001": "127.0.0.1:7009"}, "127.0.0.1:7001"),
])
def test_the_node_of_a_fingerprint(given: str, moved: dict[str, str], node: str) -> None:
    assert redis_config._fingerprints({given: PRINT}, ROLES, moved) == {node: PRINT}


@pytest.mark.parametrize(("given", "told"), [
    ({"10.0.0.9:1": PRINT}, "fingerprints: 10.0.0.9:1 is none of the chosen nodes"), ({"10.0.0.21": PRINT}, "fingerprints: '10.0.0.21' is no host:port"),
    ({"127.0.0.1:7001": PRINT, "localhost:7001": "cd" * 32}, "fingerprints: localhost:7001 is 127.0.0.1:7001, and that has two of them"),
])
def test_a_fingerprint_of_no_node(given: dict[str, str], told: str) -> None:
    with pytest.raises(CachingError, match=told):
        redis_config._fingerprints(given, ROLES, {})
