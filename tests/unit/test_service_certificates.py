# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The reference service towards Redis: each new connection is made with the newest certificates that could be read."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from tests.fleet.certificates import Authority
from tests.fleet.service.certificates import trusting
from tests.fleet.service.redis_client import Encrypted


def test_new_connections_take_the_newest_files(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    old, new = Authority("old"), Authority("new")
    old.supply(tmp_path, "caching-service", "127.0.0.1")
    trust = trusting(*(str(tmp_path / name) for name in ("ca.crt", "tls.crt", "tls.key")))
    kind = type("Encrypted", (Encrypted,), {"trust": trust})
    connection, first = kind(host="127.0.0.1", port=1), trust.context
    assert connection._connection_arguments()["ssl"] is first and not trust.look() and len(first.get_ca_certs()) == 1
    old.supply(tmp_path, "caching-service", "127.0.0.1", trust=old.certificate + new.certificate)
    assert trust.look() and len(trust.context.get_ca_certs()) == 2 and connection._connection_arguments()["ssl"] is trust.context is not first
    second = trust.context
    with caplog.at_level(logging.WARNING):
        for _look in range(3):
            (tmp_path / "current" / "tls.key").write_text("half")
            assert not trust.look() and trust.context is second
    assert 1 <= sum("the old one stays" in line for line in caplog.messages) <= 3
    new.supply(tmp_path, "caching-service", "127.0.0.1")
    assert trust.look() and len(trust.context.get_ca_certs()) == 1
