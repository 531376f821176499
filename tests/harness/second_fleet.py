# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A second local fleet, on a network of its own and with TLS on Redis, beside the one of all tests."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import typing as t
from collections.abc import Iterator
from pathlib import Path

from tests.fleet import paths


class SecondFleet:
    """It lives in the cache folder `cache`; what is unpacked into the usual one is used."""

    def __init__(self, cache: Path, network: str) -> None:
        self.cache, self.network = cache, network
        kept = paths.cache() / "redis-server"
        if kept.exists() and not (cache / "redis-server").exists():
            (cache / "redis-server").symlink_to(kept)

    def command(self, word: str, **environment: str) -> tuple[int, str]:
        given = {**os.environ, "EXALT_CACHING_CACHE": str(self.cache), "EXALT_CACHING_NETWORK": self.network, "EXALT_CACHING_TLS": "1", **environment}
        ran = subprocess.run([sys.executable, "-m", "tests.fleet.local", word], cwd=paths.ROOT, env=given, capture_output=True, text=True,
                             stdin=subprocess.DEVNULL, timeout=120, check=False)
        return ran.returncode, ran.stdout + ran.stderr

    @property
    def known(self) -> dict[str, t.Any]:
        found: dict[str, t.Any] = json.loads((self.cache / f"fleet/local-{self.network}/fleet.json").read_text())
        return found


@contextlib.contextmanager
def second_fleet(cache: Path, network: str) -> Iterator[SecondFleet]:
    fleet = SecondFleet(cache, network)
    try:
        code, text = fleet.command("up")
        assert code == 0, text
        yield fleet
    finally:
        fleet.command("down")
