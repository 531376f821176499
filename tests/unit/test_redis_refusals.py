# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an answer of a node that speaks TLS, or wants a certificate, is told as."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.exalt.caching.plugins.module_utils._redis import Redis

CUT = "Error while reading from 10.0.0.1:6379 : (104, 'Connection reset by peer')"
ASKED = "(1, '[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert certificate required (_ssl.c:2580)')"


@pytest.mark.parametrize("text, tls, certificate, hint", [
    (CUT, False, False, " (it may speak TLS: redis_tls)"), (CUT, True, True, ""),
    (CUT, True, False, " (it may want a client certificate: redis_client_cert and redis_client_key)"),
    (ASKED, True, False, " (it may want a client certificate: redis_client_cert and redis_client_key)"),
    ("Connection refused", False, False, ""), ("Connection refused", True, False, ""),
])
def test_what_a_node_wants_is_guessed_from_how_it_refuses(tmp_path: Path, text: str, tls: bool, certificate: bool, hint: str) -> None:
    (tmp_path / "client.pem").touch()
    given = {"redis_nodes": ["10.0.0.1:6379"], "redis_tls": tls, **({"redis_client_cert": str(tmp_path / "client.pem")} if certificate else {})}
    assert Redis(given).refusal_at("10.0.0.1:6379", OSError(text)).message == f"Redis at 10.0.0.1:6379 can't be read: {text}{hint}"
