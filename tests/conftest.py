# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures for tests that need something real: the local fleet, single services, recording proxies."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator

import pytest

from tests.fleet import paths
from tests.fleet.local import lifecycle
from tests.harness.targets import Fleet, FleetProxy, Service, Services

# pygal leaves an importer of Python 2's kind behind, on which pytest's own import of later files ends.
importlib.import_module("pygal")
sys.meta_path[:] = [one for one in sys.meta_path if hasattr(one, "find_spec")]


def pytest_configure() -> None:
    """A platform that is asked for and has no fleet is a failure, not a skip."""
    known = {folder.parent.name for folder in (paths.ROOT / "tests/fleet").glob("*/__main__.py")} - {"service"}
    for name in os.environ.get("PLATFORMS", "").replace(",", " ").split():
        if name not in known | {"all"}:
            raise pytest.UsageError(f"PLATFORMS: there is no trial fleet '{name}'; there are: {', '.join(sorted(known))}")


@pytest.fixture(scope="session")
def fleet() -> Iterator[Fleet]:
    """The local fleet; it is started if it isn't up, and then also stopped."""
    started = lifecycle.up()
    try:
        yield Fleet()
    finally:
        if started:
            lifecycle.down()


@pytest.fixture(scope="session")
def _services(fleet: Fleet) -> Iterator[Services]:
    services = Services(fleet)
    try:
        yield services
    finally:
        services.close()


@pytest.fixture
def service(_services: Services) -> Callable[..., Service]:
    """`service()` or `service("paged", "seconds")`: an empty service of these dialects behind a recording proxy."""
    def make(*dialects: str) -> Service:
        return _services.get(dialects)

    return make


@pytest.fixture(scope="session")
def _fleet_proxy(fleet: Fleet) -> Iterator[FleetProxy]:
    proxy = FleetProxy(fleet)
    try:
        yield proxy
    finally:
        proxy.proxy.close()


@pytest.fixture
def proxies(_fleet_proxy: FleetProxy) -> FleetProxy:
    """Recording proxies before the fleet's instances, without records or faults."""
    _fleet_proxy.proxy.break_with()
    _fleet_proxy.proxy.clear()
    return _fleet_proxy
