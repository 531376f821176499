# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pytest plugin: several workers (pytest-xdist), each with a local fleet on addresses of its own.

A file of tests is the unit of work. The gates share one copy of the collection and the platforms' fleets are there
once, so each of these folders is one unit.
"""

from __future__ import annotations

import os
import typing as t

import pytest

# Before anything reads the addresses: a worker has its own network, as many as 127.0.1 to 127.0.8.
if os.environ.get("PYTEST_XDIST_WORKER"):
    os.environ["EXALT_CACHING_NETWORK"] = f"127.0.{1 + int(os.environ['PYTEST_XDIST_WORKER'].removeprefix('gw'))}"


def unit(nodeid: str) -> str:
    """What a test is given to a worker with: its file, or its whole folder."""
    path = nodeid.partition("::")[0]
    return next((folder for folder in ("tests/gates", "tests/integration/platforms") if path.startswith(folder)), path)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: t.Any) -> t.Any:
    from xdist.scheduler import LoadScopeScheduling

    class Units(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return unit(nodeid)

    config.option.loadscopereorder = False
    return Units(config, log)
